"""Small WebP pictures of a workspace's images: made once, addressed by the image's content.

    FOLDER/160/3f/3fa9c2...webp    the image whose BLAKE2b-128 is 3fa9c2..., fitted into 160 × 160 pixels

A thumbnail holds pixels only: no EXIF, no colour profile (colours are converted to sRGB), no text chunks.
It stands upright whatever the camera's orientation tag says.
"""

import contextlib
import hashlib
import io
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from analysis.datasets.scan import MAX_BYTES, MAX_PIXELS
from analysis.errors import ErrataError

SIZES = (96, 160, 320, 640)

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_HASH = re.compile(r"[0-9a-f]{32}")

# Our own limit, with its own words, is checked before any pixel is decoded; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class ImageProblem(ErrataError):
    """An image that cannot be shown, and why.

    `cause` is "missing" (no file), "changed" (not the bytes that the workspace knows) or "unreadable".
    """

    def __init__(self, reason: str, cause: Literal["missing", "changed", "unreadable"]) -> None:
        super().__init__(reason)
        self.cause = cause


@dataclass(frozen=True)
class Picture:
    """An encoded image and its media type."""

    data: bytes
    media_type: str


def inside(root: Path, relative: str) -> Path:
    """The file at `relative` (posix) under `root`; a path that leads out of it is refused.

    Symbolic links are followed: the owner of the folder made them.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative or not path.parts:
        raise ImageProblem("its path leads out of the image folder", "missing")
    return root.joinpath(*path.parts)


def read_verified(file: Path, content_hash: str) -> bytes:
    """A file's bytes, when they are those with this BLAKE2b-128 (hex)."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ImageProblem(f"the file is larger than {MAX_BYTES // 1_000_000} MB", "unreadable")
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise ImageProblem("the file is no longer there", "missing") from error
    except OSError as error:
        raise ImageProblem(f"the file cannot be read ({error.strerror or error})", "missing") from error
    if hashlib.blake2b(data, digest_size=16).hexdigest() != content_hash:
        raise ImageProblem("the file has changed since it was read into the workspace", "changed")
    return data


def thumbnail(file: Path, content_hash: str, size: int, folder: Path) -> Path:
    """The path of the image's thumbnail in `folder`, made when it is not there yet.

    `size` is one of SIZES: the longer side's length in pixels at most (small images are not enlarged).
    Two processes may make the same one at once; either's is whole. Raises ImageProblem.
    """
    if size not in SIZES or not _HASH.fullmatch(content_hash):
        raise ValueError(f"no thumbnail of size {size} for {content_hash!r}")
    made = thumbnail_path(folder, content_hash, size)
    if not made.exists():
        _write(made, shrink(read_verified(file, content_hash), size))
    return made


def thumbnail_path(folder: Path, content_hash: str, size: int) -> Path:
    """Where the thumbnail of an image with this content is kept."""
    return folder / str(size) / content_hash[:2] / f"{content_hash}.webp"


def shrink(data: bytes, size: int) -> bytes:
    """An encoded image -> WebP of at most `size` pixels a side, upright, in sRGB, without metadata."""
    with _opened(data) as image:
        # JPEG decodes at 1/2, 1/4 or 1/8 at a fraction of the cost; the other formats ignore this.
        image.draft(None, (2 * size, 2 * size))
        try:
            small = ImageOps.exif_transpose(image)
            small.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
        except Exception as error:  # a decoder may raise nearly anything on damaged data
            raise ImageProblem(f"the image is damaged ({error})", "unreadable") from error
        encoded = io.BytesIO()
        _plain(small).save(encoded, "WEBP", quality=82, method=2, exif=b"", xmp=b"", icc_profile=b"")
        return encoded.getvalue()


def full_picture(file: Path, content_hash: str) -> Picture:
    """The image in its own size: the file's own bytes where every browser shows them, else encoded as PNG.

    Raises ImageProblem.
    """
    data = read_verified(file, content_hash)
    with _opened(data) as image:
        media_type = _SENT_AS_THEY_ARE.get(image.format or "")
        if media_type:
            return Picture(data, media_type)
        try:
            upright = ImageOps.exif_transpose(image)
            upright.load()
        except Exception as error:
            raise ImageProblem(f"the image is damaged ({error})", "unreadable") from error
        encoded = io.BytesIO()
        _plain(upright).save(encoded, "PNG", compress_level=3)
        return Picture(encoded.getvalue(), "image/png")


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageProblem("the file is not an image of a known format", "unreadable") from error
    except Image.DecompressionBombError as error:
        raise ImageProblem(f"the image has more than {MAX_PIXELS // 1_000_000} megapixels", "unreadable") from error
    except Exception as error:
        raise ImageProblem(f"the image is damaged ({error})", "unreadable") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageProblem(
                f"the image has {image.width * image.height / 1e6:.0f} megapixels; the limit is "
                f"{MAX_PIXELS // 1_000_000}",
                "unreadable",
            )
        yield image


def _plain(image: Image.Image) -> Image.Image:
    """The pixels alone, as RGB or RGBA with 8 bits a channel, colours in sRGB."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bits a pixel: stretched to what is there
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        image = Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8))
    profile = image.info.get("icc_profile")
    see_through = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if profile and image.mode in ("RGB", "CMYK", "L") and not see_through:
        # A broken profile leaves the colours as stored.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                image = converted
    plain = image.convert("RGBA" if see_through else "RGB")
    plain.info.clear()
    return plain


def _write(path: Path, data: bytes) -> None:
    """Put a whole file in place. No flush to the disk: a lost thumbnail is made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
