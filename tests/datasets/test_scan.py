import hashlib
import io
import os
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analysis.datasets import scan as scan_module
from analysis.datasets.scan import MAX_PIXELS, find_files, scan


def encoded(image_format: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A noisy image in the format."""
    stream = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(stream, image_format, **options)
    return stream.getvalue()


def thumbnailed_jpeg() -> bytes:
    """A JPEG with a whole JPEG, end marker included, in a block before its own pixels."""
    return encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + encoded("JPEG", (8, 8)))


WHOLE = {
    "JPEG": encoded("JPEG"),
    "progressive": encoded("JPEG", progressive=True),
    "thumbnail": thumbnailed_jpeg(),
    "PNG": encoded("PNG"),
}
OTHERS = {name: encoded(name) for name in ("WEBP", "GIF", "BMP", "TIFF")}


@pytest.mark.parametrize("name", [*WHOLE, *OTHERS])
@pytest.mark.parametrize("verify", [False, True])
def test_a_whole_file_has_its_size_hash_and_no_problem(tmp_path, name, verify):
    data = (WHOLE | OTHERS)[name]
    (tmp_path / "a").write_bytes(data)
    assert scan(tmp_path, ["a"], verify=verify).rows() == [
        (40, 30, len(data), hashlib.blake2b(data, digest_size=16).hexdigest(), None)
    ]


@settings(deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True))
def test_a_jpeg_or_png_cut_anywhere_has_a_problem(tmp_path_factory, name, part):
    folder = tmp_path_factory.mktemp("cut")
    (folder / "a.jpg").write_bytes(WHOLE[name][: int(part * len(WHOLE[name]))])
    assert scan(folder, ["a.jpg"], workers=1)["problem"].null_count() == 0


@pytest.mark.parametrize("name", ["JPEG", "thumbnail", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("verify", [False, True])
def test_a_half_file_is_truncated(tmp_path, name, verify):
    data = (WHOLE | OTHERS)[name]
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    [problem] = scan(tmp_path, ["a"], verify=verify)["problem"]
    assert "truncated" in problem


def test_bytes_after_the_end_are_no_problem(tmp_path):
    for name in WHOLE:
        (tmp_path / name).write_bytes(WHOLE[name] + b"trailer of some camera")
    assert scan(tmp_path, list(WHOLE))["problem"].null_count() == len(WHOLE)


def test_damage_inside_is_found_by_verify_only(tmp_path):
    data = bytearray(WHOLE["PNG"])
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "a.png").write_bytes(data)
    assert scan(tmp_path, ["a.png"])["problem"].to_list() == [None]
    [problem] = scan(tmp_path, ["a.png"], verify=True)["problem"]
    assert problem.startswith("damaged: the pixels cannot be decoded")


def test_every_sort_of_broken_file_is_told_and_none_ends_the_run(tmp_path):
    (tmp_path / "good.jpg").write_bytes(WHOLE["JPEG"])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("<svg onload=alert(1)>")
    (tmp_path / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "header.jpg").write_bytes(WHOLE["JPEG"][:20])
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ["good.jpg", "gone.jpg", "empty.jpg", "text.jpg", "script.jpg", "header.jpg", "folder.jpg", "pipe.jpg"]
    problems = scan(tmp_path, [*names, "nul\0.jpg", "good.jpg"])["problem"].to_list()
    assert problems[0] is None
    assert problems[-1] is None
    for problem, told in zip(
        problems[1:-1],
        [
            "no such file",
            "the file is empty (0 bytes)",
            "not an image of a known format",
            "not an image of a known format",
            "the JPEG header cannot be read",
            "not a regular file",
            "not a regular file",
            "cannot be read",
        ],
        strict=True,
    ):
        assert told in problem


def test_a_file_without_permission_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(WHOLE["JPEG"])
    (tmp_path / "a.jpg").chmod(0)
    if os.access(tmp_path / "a.jpg", os.R_OK):  # as root: no permission stops it, so refuse as the system would

        def refuse(path, *args, **options):
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr("builtins.open", refuse)
    [problem] = scan(tmp_path, ["a.jpg"])["problem"]
    assert problem == "the file cannot be read: permission denied"


def blank_png(width: int, height: int) -> bytes:
    """The header of a PNG of any size, with an end."""
    data = bytearray(encoded("PNG", (1, 1)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("size", "told"),
    [((10_000, 8_001), "10,000 × 8,001 = 80,010,000 pixels"), ((50_000, 50_000), "2,500,000,000 pixels")],
)
def test_a_decompression_bomb_is_told_with_numbers_and_not_decoded(tmp_path, size, told):
    (tmp_path / "a.png").write_bytes(blank_png(*size))
    [problem] = scan(tmp_path, ["a.png"], verify=True)["problem"]
    assert problem.startswith("too large: ")
    assert told in problem
    assert f"{MAX_PIXELS:,}" in problem


def test_a_file_too_long_for_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_module, "MAX_BYTES", 100)
    (tmp_path / "a.jpg").write_bytes(WHOLE["JPEG"])
    [row] = scan(tmp_path, ["a.jpg"]).rows(named=True)
    assert row["bytes"] == len(WHOLE["JPEG"])
    assert row["hash"] is None
    assert "too large" in row["problem"]


@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_width_and_height_are_those_displayed(tmp_path, orientation, size, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(image_format, exif=exif))
    [row] = scan(tmp_path, ["a"]).rows()
    assert row[:2] == size


def test_order_and_progress_hold_over_many_chunks(tmp_path):
    (tmp_path / "a.jpg").write_bytes(WHOLE["JPEG"])
    (tmp_path / "b.png").write_bytes(encoded("PNG", (5, 6)))
    told: list[tuple[str, int, int | None]] = []
    frame = scan(tmp_path, ["a.jpg", "b.png"] * 500, workers=2, progress=lambda *args: told.append(args))
    assert frame["width"].to_list() == [40, 5] * 500
    assert told[-1] == ("reading images", 1000, 1000)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_no_paths_give_an_empty_frame(tmp_path):
    assert scan(tmp_path, []).shape == (0, 5)


def test_files_are_found_in_order_and_sorted_by_kind(tmp_path):
    for path in ["b/2.jpg", "b/1.PNG", "a-b/1.jpg", "a/1.jpg", "a/deep/er/1.webp", "top.jpeg"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for side in ["README.md", "LICENSE", "labels.csv", ".DS_Store", "Thumbs.db", "a/._1.jpg"]:
        (tmp_path / side).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "noend").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.jpg").touch()
    (tmp_path / "ws" / "thumbnails").mkdir(parents=True)
    (tmp_path / "ws" / "errata.toml").touch()
    (tmp_path / "ws" / "thumbnails" / "x.jpg").touch()
    files = find_files(tmp_path)
    assert files.images == ["a/1.jpg", "a/deep/er/1.webp", "a-b/1.jpg", "b/1.PNG", "b/2.jpg", "top.jpeg"]
    assert files.not_items() == [
        ("noend", "not an image: no suffix"),
        ("notes.txt", "not an image: the suffix .txt is none of an image"),
    ]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "a" / "again").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "gone.jpg").symlink_to(tmp_path / "nothing")
    files = find_files(tmp_path / "root")
    assert files.images == ["b/1.jpg"]
    assert files.problems == [
        ("a/again", "a link back to a folder that contains it; not followed"),
        ("gone.jpg", "a link to nothing"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_told_and_a_strange_one_is_kept(tmp_path):
    strange = ["![x](http:a)", "<img onerror=alert(1)>.jpg", "two\nlines.jpg", "$(id).jpg"]
    for name in strange:
        (tmp_path / f"{name}.jpg").write_bytes(WHOLE["JPEG"])
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123
        file.write(WHOLE["JPEG"])
    files = find_files(tmp_path)
    assert files.images == sorted(f"{name}.jpg" for name in strange)
    assert files.problems == [("caf\\xe9.jpg", "the name is not valid UTF-8; rename it")]
    assert scan(tmp_path, files.images)["problem"].null_count() == len(strange)


def test_memory_does_not_grow_with_the_files(tmp_path):
    (tmp_path / "a.jpg").write_bytes(WHOLE["JPEG"] + bytes(2**20))
    tracemalloc.start()
    try:
        frame = scan(tmp_path, ["a.jpg"] * 300, workers=4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frame["problem"].null_count() == 300
    assert peak < 4 * 4 * 2**20  # of 300 MB read: a few copies a worker
