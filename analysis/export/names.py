"""Names from data made safe: folders and files of their own, and cells that no spreadsheet runs.

A name that is plain stays as it is. Any other gets its number and `~` in front of what is left of it; plain names
have no `~`, so no two things ever share a name, also where upper and lower case are the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those that torchvision's ImageFolder reads, in lower case."""

_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # Windows opens no such file
_LONGEST = 100
_KEPT = 60

# A spreadsheet takes a cell that begins so for a formula, also behind spaces and in full width. The apostrophe itself
# is marked too, so that taking one away from marked cells always gives back what was there.
_RUN_BY_SPREADSHEETS = r"^\s*[=+\-@＝＋－＠']|^[\t\r\n]"
ESCAPED = "Text cells that begin with = + - @ ' a tab or a line end, also behind spaces, have one more ' in front."


def folder_names(ids: Sequence[str]) -> list[str]:
    """A folder name for each of these unique class ids, all different though case be ignored."""
    lower = Counter(class_id.lower() for class_id in ids)
    return [
        class_id if _is_plain(class_id) and lower[class_id.lower()] == 1 else f"{index}~{_cleaned(class_id)}"
        for index, class_id in enumerate(ids)
    ]


def base_name(path: str) -> str:
    """The last part of a path, whichever way its slashes lean."""
    return re.split(r"[/\\]", path)[-1]


def file_name(item: int, path: str, shared: bool) -> str:
    """A file name for an item's image: that of its path where it is plain and not `shared` with another item's."""
    name = base_name(path)
    if _is_plain(name) and not shared:
        return name
    suffix = PurePosixPath(name).suffix
    return f"{item}~{_cleaned(name.removesuffix(suffix))}{suffix.lower()}"


def is_read_by_imagefolder(path: str) -> bool:
    """Whether torchvision's ImageFolder takes a file of this name for an image."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and len(name) <= _LONGEST and not _DEVICES.fullmatch(name)


def _cleaned(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:_KEPT].strip("-")


def inert(text: pl.Expr) -> pl.Expr:
    """Text cells with an apostrophe in front of what a spreadsheet would run."""
    return pl.when(~text.str.contains(_RUN_BY_SPREADSHEETS)).then(text).otherwise(pl.concat_str(pl.lit("'"), text))


def inert_word(text: str) -> str:
    """One cell, such as a column's name, as `inert` writes it."""
    return f"'{text}" if re.search(_RUN_BY_SPREADSHEETS, text) else text
