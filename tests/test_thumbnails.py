import io
import struct
import threading
import zlib
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from analysis import thumbnails
from analysis.thumbnails import ImageProblem


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    size=st.sampled_from(thumbnails.SIZES),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]),
)
def test_a_thumbnail_fits_its_size_keeps_the_shape_and_never_grows(
    width: int, height: int, size: int, kind: str
) -> None:
    small = decoded(thumbnails.shrink(encoded(Image.new("RGB", (width, height), "teal"), kind), size))
    assert small.format == "WEBP"
    shrink = min(1.0, size / max(width, height))
    assert abs(small.width - width * shrink) <= 1
    assert abs(small.height - height * shrink) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
def test_every_mode_of_pixels_becomes_a_thumbnail(mode: str) -> None:
    gradient = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    image = Image.fromarray(gradient * np.uint16(200)) if mode == "I;16" else Image.fromarray(gradient).convert(mode)
    small = decoded(thumbnails.shrink(encoded(image, "TIFF"), 96)).convert("L")
    assert small.getpixel((2, 10)) < 30 < 200 < small.getpixel((90, 10))


def test_transparency_is_kept() -> None:
    image = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert decoded(thumbnails.shrink(encoded(image, "PNG"), 96)).convert("RGBA").getpixel((5, 5))[3] == 0


def test_orientation_is_applied_and_metadata_is_gone() -> None:
    image = Image.new("RGB", (400, 200), "teal")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    small = thumbnails.shrink(encoded(image, "JPEG", exif=exif, icc_profile=profile, comment=b"secret too"), 160)
    shown = decoded(small)
    assert shown.size == (80, 160)
    assert not shown.getexif()
    assert "icc_profile" not in shown.info
    assert b"secret" not in small


def test_made_once_at_an_address_of_its_content(tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (300, 300), "teal"), "PNG")
    file = tmp_path / "a.png"
    file.write_bytes(data)
    made = thumbnails.thumbnail(file, digest(data), 96, tmp_path / "thumbnails")
    assert made == tmp_path / "thumbnails" / "96" / digest(data)[:2] / f"{digest(data)}.webp"
    file.unlink()
    assert thumbnails.thumbnail(file, digest(data), 96, tmp_path / "thumbnails") == made


def test_two_makers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    data = encoded(Image.effect_noise((600, 600), 80), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        thumbnails.thumbnail(tmp_path / "a.png", digest(data), 160, tmp_path / "t")

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    (made,) = [path for path in (tmp_path / "t").rglob("*") if path.is_file()]
    decoded(made.read_bytes()).load()


def test_a_disk_that_fills_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (30, 30)), "PNG")
    (tmp_path / "a.png").write_bytes(data)

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        thumbnails.thumbnail(tmp_path / "a.png", digest(data), 96, tmp_path / "t")
    assert not [path for path in (tmp_path / "t").rglob("*") if path.is_file()]


def bomb() -> bytes:
    """A small PNG whose header announces 50,000 × 50,000 pixels."""
    data = encoded(Image.new("L", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", 50_000, 50_000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


NO_IMAGES = [
    (b"", "not an image"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not an image"),
    (b"\x89PNG\r\n\x1a\n and nothing more", "(not an image|damaged)"),
    (bomb(), "megapixels"),
]
CUT_SHORT = [(encoded(Image.effect_noise((200, 200), 50), kind)[:2000], "damaged") for kind in ("PNG", "JPEG", "TIFF")]


@pytest.mark.parametrize(("data", "reason"), [*NO_IMAGES, *CUT_SHORT])
def test_no_thumbnail_of_what_is_no_sound_image(data: bytes, reason: str) -> None:
    with pytest.raises(ImageProblem, match=reason) as caught:
        thumbnails.shrink(data, 96)
    assert caught.value.cause == "unreadable"


@pytest.mark.parametrize(("data", "reason"), NO_IMAGES)
def test_what_is_no_image_is_not_sent_as_one(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ImageProblem, match=reason):
        thumbnails.full_picture(tmp_path / "x", digest(data))


def test_a_full_picture_is_the_file_itself_or_png(tmp_path: Path) -> None:
    for kind, media_type in [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
    ]:
        data = encoded(Image.new("RGB", (20, 10), "teal"), kind)
        (tmp_path / "x").write_bytes(data)
        assert thumbnails.full_picture(tmp_path / "x", digest(data)) == thumbnails.Picture(data, media_type)
    data = encoded(Image.new("RGB", (20, 10), "teal"), "BMP")
    (tmp_path / "x").write_bytes(data)
    shown = thumbnails.full_picture(tmp_path / "x", digest(data))
    assert shown.media_type == "image/png"
    assert decoded(shown.data).size == (20, 10)


def test_a_changed_and_a_vanished_file_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(Image.new("RGB", (3, 3)), "PNG"))
    with pytest.raises(ImageProblem) as changed:
        thumbnails.read_verified(file, digest(b"other bytes"))
    file.unlink()
    with pytest.raises(ImageProblem) as missing:
        thumbnails.read_verified(file, digest(b"other bytes"))
    assert (changed.value.cause, missing.value.cause) == ("changed", "missing")


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/passwd", "", ".", "a\0b"])
def test_a_path_out_of_the_image_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ImageProblem):
        thumbnails.inside(tmp_path, path)


def test_paths_and_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    assert thumbnails.inside(tmp_path, "a/b.png") == tmp_path / "a" / "b.png"


@pytest.mark.parametrize(
    ("content_hash", "size"), [("../../x", 96), ("0" * 32, 97), ("0" * 31 + "/", 96), ("A" * 32, 96)]
)
def test_an_address_can_only_be_a_hash_and_a_known_size(content_hash: str, size: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no thumbnail"):
        thumbnails.thumbnail(tmp_path / "x", content_hash, size, tmp_path)
