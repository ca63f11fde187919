"""ReaL labels as published: a JSON list with the valid class indices of each image, by image number.

The first entry is that of ILSVRC2012_val_00000001.JPEG, whatever order a folder has.
"""

from typing import Any

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.base import Content, Format, LabelFile, rows_of_states
from analysis.labels.formats.tables import class_cells
from analysis.labels.real import NOTE

_NUMBER = r"ILSVRC2012_val_(\d{8})"


def recognises(content: Content) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(entry, list) for entry in content)


def read(content: list[list[Any]], items: pl.DataFrame, classes: ClassList, file: str) -> LabelFile:
    """Items that are no image of the validation set, and numbers beyond the list, are refused."""
    number = items["key"].str.extract(_NUMBER).cast(pl.UInt32)
    stranger = ~number.is_between(1, len(content)).fill_null(False)
    if stranger.any():
        key = items["key"].filter(stranger)[0]
        raise InputError(
            f"{file} lists the labels of {len(content):,} images by their number, and {key!r} is none of "
            f"ILSVRC2012_val_00000001 to ILSVRC2012_val_{len(content):08d}: "
            f"{int(stranger.sum()):,} of {items.height:,} items are none."
        )
    cells = pl.Series("class", content, dtype=pl.List(pl.Int64), strict=False)
    found = class_cells(cells, classes, file).gather(number - 1)
    return LabelFile(rows_of_states(items["item"], found, "valid"), items.select("item"))


FORMAT = Format("ReaL", recognises, read, absent="wrong", note=NOTE)
