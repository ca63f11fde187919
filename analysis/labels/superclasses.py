"""Superclasses: classes so alike that taking one for another is a fine-grained error. A table, as data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.tables import class_cells, find_column, read_table

SCHEMA = {
    "superclass": pl.String(),  # its id
    "name": pl.String(),
    "class": pl.UInt32(),
}


@dataclass(frozen=True, eq=False)
class Superclasses:
    """Which classes belong to which superclasses; a class may be in several, or in none."""

    frame: pl.DataFrame
    """superclass str, name str, class u32 (index): unique (superclass, class)."""
    n_classes: int
    basis: str
    """The rule or the file that the table comes from."""

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row a superclass, in the frame's order: superclass, name, classes (list[u32]), n."""
        grouped = self.frame.group_by("superclass", maintain_order=True)
        return grouped.agg(pl.col("name").first(), classes=pl.col("class"), n=pl.len().cast(pl.UInt32))

    @cached_property
    def _bits(self) -> NDArray[np.uint64]:
        """(C + 1, words): a class's superclasses as bits; the last row, none, is that of class -1."""
        bits = np.zeros((self.n_classes + 1, max(1, -(-self.table.height // 64))), np.uint64)
        for place, members in enumerate(self.table["classes"]):
            bits[members.to_numpy(), place // 64] |= np.uint64(1 << place % 64)
        return bits

    def share(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
        """Whether classes a (n,) and b (n,) have a superclass in common; class -1 has none."""
        a, b = np.asarray(a), np.asarray(b)
        shared = np.zeros(np.broadcast(a, b).shape, bool)
        for word in self._bits.T:  # one or two words: faster than gathering rows
            shared |= (word[a] & word[b]) != 0
        return shared

    def shared(self, a: int, b: int) -> str | None:
        """The name of the smallest superclass that holds both classes, None for none."""
        both = self._bits[a] & self._bits[b]
        places = [place for place in range(self.table.height) if int(both[place // 64]) >> place % 64 & 1]
        if not places:
            return None
        n = self.table["n"]
        name: str = self.table["name"][min(places, key=lambda place: n[place])]
        return name

    def alike(self, index: int) -> NDArray[np.intp]:
        """The classes that share a superclass with a class, itself among them where it is in one; ascending."""
        return np.flatnonzero(self.share(np.full(self.n_classes, index), np.arange(self.n_classes)))

    def scores(self, same: ArrayLike, different: ArrayLike) -> dict[str, int]:
        """How the table does on pairs (n, 2) of classes known to be alike, and known to be different.

        n_same, of them joined; n_different, of them parted.
        """
        alike, other = (np.asarray(pairs, np.int64).reshape(-1, 2) for pairs in (same, different))
        return {
            "n_same": len(alike),
            "joined": int(self.share(alike[:, 0], alike[:, 1]).sum()),
            "n_different": len(other),
            "parted": int((~self.share(other[:, 0], other[:, 1])).sum()),
        }


def make_superclasses(rows: Sequence[tuple[str, str, int]], n_classes: int, basis: str) -> Superclasses:
    """A table from rows of superclass id, its name, class index."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").unique(["superclass", "class"], maintain_order=True)
    return Superclasses(frame, n_classes, basis)


def read_superclasses(path: Path, classes: ClassList) -> Superclasses:
    """A table of superclasses from a file, in place of the default.

    CSV, TSV, Parquet: columns superclass and class (an id, index or unique name; or several in a cell, parted by
    `|`), and perhaps name. JSON: `{"bird": ["n01530575", ...]}`, or a list of objects with these keys.
    Raises InputError naming the row and value of a class that is unknown or comes twice in a superclass, and for a
    file without these columns.
    """
    frame = _read_json(path) if path.suffix.lower() == ".json" else read_table(path)
    column = find_column(frame, ("class", "classes", "wnid", "label"))
    if "superclass" not in frame.columns or column is None:
        raise InputError(
            f"{path.name}: a table of superclasses needs the columns superclass and class; it has "
            f"{', '.join(frame.columns) or 'none'}."
        )
    ids = frame["superclass"].cast(pl.String).str.strip_chars()
    if (empty := (ids.is_null() | (ids == "")).arg_true()).len():
        raise InputError(f"{path.name}: row {empty[0] + 1} names no superclass.")
    names = frame["name"].cast(pl.String) if "name" in frame.columns else ids
    members = class_cells(frame[column], classes, path.name)
    named = pl.DataFrame({"superclass": ids, "name": names, "class": members})
    rows = named.with_columns(pl.col("name").fill_null(pl.col("superclass"))).with_row_index("row", offset=1)
    rows = rows.explode("class").drop_nulls("class")
    if rows.is_empty():
        raise InputError(f"{path.name}: no superclass holds a class.")
    again = rows.filter(~pl.struct("superclass", "class").is_first_distinct())
    if again.height:
        row, superclass, _, index = again.row(0)
        first = rows.filter(superclass=superclass, **{"class": index})["row"][0]
        raise InputError(
            f"{path.name}: row {row} puts {classes.ids[index]!r} into {superclass!r}, as row {first} does. Remove it."
        )
    return make_superclasses(rows.drop("row").rows(), len(classes), f"file {path.name}")


def _read_json(path: Path) -> pl.DataFrame:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(content, dict):
            content = [{"superclass": name, "class": members} for name, members in content.items()]
        rows = [
            {**entry, "class": [str(member) for member in members]}
            for entry in content
            if isinstance(members := entry.get("class", entry.get("classes")), list)
        ]
        rows = rows or [{key: str(value) for key, value in entry.items()} for entry in content]
        return pl.DataFrame(rows)
    except (OSError, ValueError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f'{path.name}: cannot be read as superclasses ({error}). Expected {{"bird": ["n01530575"]}} '
            f'or a list of {{"superclass": "bird", "class": "n01530575"}}.'
        ) from error
