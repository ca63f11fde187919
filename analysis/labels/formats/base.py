"""What every format of label files returns, and how it is told from others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.sets import Absent

Content = pl.DataFrame | list | dict
"""A parsed file: a table, or what a JSON file holds."""


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a file says, matched to items and classes."""

    labels: pl.DataFrame
    """item u32, class u32, state (valid | unclear | rejected), in any order; a class may stand in two states."""
    items: pl.DataFrame
    """item u32 (unique) of each item that the file knows; perhaps problematic bool, exhaustive bool, flags."""
    record: dict[str, Any] = field(default_factory=dict)
    """What else was recognised, for the label set's manifest."""


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is told from its content, and how it is read."""

    name: str
    recognises: Callable[[Content], bool]
    read: Callable[[Any, pl.DataFrame, ClassList, str], LabelFile]
    """(content, items, classes, the file's name) -> what it says. Raises InputError naming row and value."""
    absent: Absent
    note: str = ""


def rows_of_states(item: pl.Series, found: pl.Series, state: pl.Series | str) -> pl.DataFrame:
    """Rows of item, class, state from lists of classes (list[u32]) beside their items."""
    rows = pl.DataFrame({"item": item, "class": found}).with_columns(
        state=pl.lit(state) if isinstance(state, str) else state
    )
    return rows.explode("class").drop_nulls("class")


def refuse_twice(item: pl.Series, keys: pl.Series, file: str) -> None:
    """InputError when an item has more than one row, naming it."""
    if (twice := item.is_duplicated()).any():
        raise InputError(f"{file}: {keys.cast(pl.String).filter(twice)[0]!r} has more than one row.")
