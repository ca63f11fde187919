"""What lies beneath an image root, and what each image file is: size, content hash, and whether it is whole."""

import hashlib
import io
import os
import re
import stat
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from PIL import Image

from analysis.progress import Progress, silent

MAX_PIXELS = 80_000_000
MAX_BYTES = 512 * 2**20  # a file is held in memory whole while it is hashed and its header read
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
SCHEMA = {"width": pl.UInt32, "height": pl.UInt32, "bytes": pl.UInt64, "hash": pl.String, "problem": pl.String}

_SIDE_FILES = re.compile(r"\..*|thumbs\.db|desktop\.ini|(readme|license|licence)\b.*|.*\.(csv|tsv|parquet)", re.I)
_CHUNK = 32
_EXIF_ORIENTATION = 0x0112
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


@dataclass(frozen=True)
class Files:
    """The files beneath a root, as paths relative to it with `/` between the parts."""

    images: list[str]  # images by their suffix, sorted by parts
    others: list[str]  # regular files of other suffixes, sorted; obvious side files (README, labels.csv) left out
    problems: list[tuple[str, str]]  # what cannot be named or followed, with the reason

    def not_items(self) -> list[tuple[str, str]]:
        """Every file that is no image, with the reason."""
        return [*self.problems, *((path, _not_image(path)) for path in self.others)]


def _not_image(path: str) -> str:
    suffix = os.path.splitext(path)[1]  # noqa: PTH122  a path of a million; Path costs ten times that
    return f"not an image: the suffix {suffix} is none of an image" if suffix else "not an image: no suffix"


def find_files(root: Path, progress: Progress = silent) -> Files:
    """Every file beneath `root`; links to folders are followed, but not back to a folder that contains them.

    Hidden files and folders and workspaces (a folder with errata.toml) are passed over.
    """
    images: list[str] = []
    others: list[str] = []
    problems: list[tuple[str, str]] = []
    folders: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    told = time.monotonic()
    while folders:
        folder, above = folders.pop()
        try:
            here = os.stat(root / folder)  # noqa: PTH116
            above = above | {(here.st_dev, here.st_ino)}
            with os.scandir(root / folder) as scanned:
                entries = list(scanned)
        except OSError as error:
            problems.append((folder or ".", f"the folder cannot be read: {_reason(error)}"))
            continue
        if any(entry.name == "errata.toml" for entry in entries):
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if (reason := _unusable(entry, above)) is not None:
                problems.append((printable(path), reason))
            elif entry.is_dir():
                if not entry.name.startswith(".") and entry.name != "__MACOSX":
                    folders.append((path, above))
            elif is_image_name(entry.name):
                images.append(path)
            elif not _SIDE_FILES.fullmatch(entry.name):
                others.append(path)
        if time.monotonic() - told > 0.2:
            told = time.monotonic()
            progress("finding files", len(images), None)
    progress("finding files", len(images), len(images))
    return Files(sorted(images, key=_parts), sorted(others, key=_parts), sorted(problems))


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its suffix; hidden files (`._photo.jpg`) are not."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def printable(name: str) -> str:
    r"""A file name fit for a text column: bytes that are no UTF-8 as `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _parts(path: str) -> list[str]:
    return path.split("/")


def _unusable(entry: os.DirEntry[str], above: frozenset[tuple[int, int]]) -> str | None:
    """Why a folder's entry can be neither an item nor looked into, if so."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8; rename it"
    try:
        if entry.is_dir():
            if entry.is_symlink():
                found = entry.stat()
                if (found.st_dev, found.st_ino) in above:
                    return "a link back to a folder that contains it; not followed"
            return None
        if entry.is_file():
            return None
        return "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
    except OSError as error:
        return _reason(error)


class _Facts(NamedTuple):
    width: int | None
    height: int | None
    bytes: int | None
    hash: str | None
    problem: str | None


def scan(
    root: Path,
    paths: Sequence[str],
    *,
    verify: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Read each file once: its header, its end and a hash of its bytes; with `verify` decode it in full.

    Returns a row a path, in the order of `paths`: width, height (pixels, as displayed: after EXIF orientation),
    bytes, hash (BLAKE2b of 128 bits, hexadecimal), problem (null: none found). No file ends the run: whatever
    is wrong with one is told in its `problem`. Not more than a few hundred paths are under way at once, one
    file a worker in memory. Threads, as reading, hashing and decoding all leave the interpreter free.
    """
    workers = workers or min(32, max(4, os.cpu_count() or 1))
    Image.init()  # registers the formats before threads race to do so
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
    waiting: deque[Future[list[_Facts]]] = deque()
    what, done, told = ("decoding" if verify else "reading") + " images", 0, 0.0
    base = os.fspath(root)
    with warnings.catch_warnings(), ThreadPoolExecutor(workers, "scan") as pool:
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what matters comes back as a problem
        try:
            while True:
                for chunk in islice(chunks, 4 * workers - len(waiting)):
                    waiting.append(pool.submit(_look_at_all, base, chunk, verify))
                if not waiting:
                    break
                wait([waiting[0]], timeout=0.5)
                while waiting and waiting[0].done():
                    facts = waiting.popleft().result()
                    for name, values in zip(SCHEMA, zip(*facts, strict=True), strict=True):
                        columns[name].extend(values)
                    done += len(facts)
                if time.monotonic() - told > 0.2:
                    told = time.monotonic()
                    progress(what, done, len(paths))
        finally:
            pool.shutdown(cancel_futures=True)
    progress(what, done, len(paths))
    return pl.DataFrame(columns, schema=SCHEMA)


def _look_at_all(base: str, paths: Sequence[str], verify: bool) -> list[_Facts]:
    return [_look_at(f"{base}/{path}", verify) for path in paths]


def _look_at(path: str, verify: bool) -> _Facts:
    try:
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            return _Facts(None, None, None, None, "not a regular file")
        if status.st_size > MAX_BYTES:
            reason = f"too large: {status.st_size:,} bytes, the limit is {MAX_BYTES:,}"
            return _Facts(None, None, status.st_size, None, reason)
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            data = file.readall()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return _Facts(None, None, None, None, f"the file cannot be read: {_reason(error)}")
    content_hash = hashlib.blake2b(data, digest_size=16).hexdigest()
    try:
        width, height, problem = _judge(data, verify)
    except Exception as error:  # decoders raise nearly everything on broken files, and none may end the run
        width, height, problem = None, None, f"the image cannot be read: {_reason(error)}"
    return _Facts(width, height, len(data), content_hash, problem)


def _judge(data: bytes, verify: bool) -> tuple[int | None, int | None, str | None]:
    """Width and height as displayed where the header tells them, and what is wrong with the file."""
    if not data:
        return None, None, "the file is empty (0 bytes)"
    stream = io.BytesIO(data)
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        pixels = f"{int(found[1]):,} pixels" if found else "too many pixels"
        return None, None, f"too large: {pixels}, the limit is {MAX_PIXELS:,}"
    except Exception:  # Pillow's readers raise many kinds on a header that breaks off
        return None, None, _unidentified(data)
    with image:
        header_end = stream.tell()
        width, height = _displayed_size(image)
        if width * height > MAX_PIXELS:
            reason = f"{width:,} × {height:,} = {width * height:,} pixels, the limit is {MAX_PIXELS:,}"
            return width, height, f"too large: {reason}"
        image_format = image.format or ""
        if not _IS_WHOLE[image_format](data, image, header_end):
            return width, height, f"truncated: the end of the {image_format} data is missing"
        if verify:
            try:
                image.load()
            except Exception as error:  # as above
                return width, height, f"damaged: the pixels cannot be decoded: {_reason(error)}"
    return width, height, None


def _displayed_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if "exif" in image.info and image.format != "TIFF":  # Pillow turns a TIFF's size itself
        try:
            turned = image.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
        except Exception:  # a broken EXIF block is not worth a problem: viewers pass over it
            turned = False
        if turned:
            return height, width
    return width, height


def _unidentified(data: bytes) -> str:
    for magic, name in _MAGIC.items():
        if data.startswith(magic) and (name != "WEBP" or data[8:12] == b"WEBP"):
            return f"truncated or damaged: the {name} header cannot be read"
    return f"not an image of a known format ({', '.join(FORMATS)})"


def _jpeg_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    # Pillow stops at the start of the first scan. From there on the end marker cannot be part of the data
    # (a 0xFF there is followed by 0 or a restart marker); before it an embedded thumbnail has its own.
    return data.rfind(b"\xff\xd9", header_end) != -1


def _mpo_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    frames = getattr(image, "mpinfo", {}).get(0xB002, [])
    return not frames or frames[0]["Size"] <= len(data)


def _png_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    return data.rfind(b"IEND\xaeB`\x82") != -1


def _webp_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _gif_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    return data.rstrip(b"\0").endswith(b";")


def _bmp_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    return len(data) >= int.from_bytes(data[2:6], "little")


def _tiff_is_whole(data: bytes, image: Image.Image, header_end: int) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    for offsets, counts in ((273, 279), (324, 325)):  # strips, tiles
        if offsets in tags and counts in tags:
            ends = (start + size for start, size in zip(tags[offsets], tags[counts], strict=False))
            if max(ends, default=0) > len(data):
                return False
    return True


# Whether a file is there to its end, from its bytes, its opened image and where Pillow stopped reading.
_IS_WHOLE: dict[str, Callable[[bytes, Image.Image, int], bool]] = {
    "JPEG": _jpeg_is_whole,
    "MPO": _mpo_is_whole,
    "PNG": _png_is_whole,
    "WEBP": _webp_is_whole,
    "GIF": _gif_is_whole,
    "BMP": _bmp_is_whole,
    "TIFF": _tiff_is_whole,
}


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
