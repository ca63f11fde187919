"""Items of a dataset and their numbers, which they keep for ever.

An item is one image; its number is its row. When a dataset is read again, a known key keeps its number, a new
key gets the next one, and a key that is gone leaves a tombstone (`missing`), so that predictions, labels and
judgements never come to speak of another image.
"""

import hashlib
from dataclasses import dataclass

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList

SCHEMA: dict[str, pl.DataType] = {
    "item": pl.UInt32(),
    "key": pl.String(),
    "path": pl.String(),
    "label": pl.UInt32(),
    "width": pl.UInt32(),
    "height": pl.UInt32(),
    "bytes": pl.UInt64(),
    "hash": pl.String(),
    "split": pl.String(),
    "missing": pl.Boolean(),
    "problem": pl.String(),
}
LENS_COLUMNS = (
    "class", "predicted", "target", "prediction", "outcome", "confidence", "right", "unjudged", "forgiven",
    "suggested", "severity", "cluster",
)  # fmt: skip
"""What a lens (analysis/lens.py) adds to an item."""

DERIVED_COLUMNS = ("conflict", "superclass", "wrong_by", "wrong_same")
"""Columns that a slice may ask for beside those; see analysis/derived.py."""

RESERVED = frozenset({*SCHEMA, *LENS_COLUMNS, *DERIVED_COLUMNS})
"""Names that a dataset's own columns cannot have."""

SCANNED = ("width", "height", "bytes", "hash", "problem")


@dataclass(frozen=True)
class Changes:
    """What reading a dataset again brought."""

    added: int
    missing: int
    returned: int
    changed: int
    relabelled: int

    def __str__(self) -> str:
        parts = {
            "new": self.added,
            "gone": self.missing,
            "back": self.returned,
            "changed": self.changed,
            "relabelled": self.relabelled,
        }
        return ", ".join(f"{count:,} {word}" for word, count in parts.items() if count) or "nothing changed"


def frame(records: pl.DataFrame, scanned: pl.DataFrame | None) -> pl.DataFrame:
    """Items (n rows, numbered from 0) from a reader's records and what the scan found, row for row."""
    items = records.with_row_index("item").with_columns(missing=pl.lit(False))
    return _shaped(items if scanned is None else pl.concat([items, scanned.select(SCANNED)], how="horizontal"))


def _shaped(items: pl.DataFrame) -> pl.DataFrame:
    """The columns of SCHEMA first and in their types, metadata behind them."""
    known = [
        (pl.col(name) if name in items.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SCHEMA.items()
    ]
    return items.select(*known, *[name for name in items.columns if name not in SCHEMA])


def merge(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, Changes]:
    """The items after reading the dataset again: `old` numbers are kept, new keys follow behind them."""
    fresh = new.join(old, on="key", how="anti").drop("item").with_row_index("item", offset=old.height)
    known = new.drop("item").join(old.select("item", "key"), on="key", how="inner")
    gone = old.join(new, on="key", how="anti")
    parts = (known, gone.with_columns(missing=pl.lit(True)), fresh)
    merged = pl.concat([_shaped(part) for part in parts], how="diagonal_relaxed").sort("item")
    before = known.select("item", "hash", "label").join(
        old.select("item", "missing", old_hash=pl.col("hash"), old_label=pl.col("label")), on="item", how="left"
    )
    changes = Changes(
        added=fresh.height,
        missing=gone.filter(~pl.col("missing")).height,
        returned=int(before["missing"].sum()),
        changed=before.filter(pl.col("hash").ne_missing(pl.col("old_hash"))).height,
        relabelled=before.filter(pl.col("label").ne_missing(pl.col("old_label"))).height,
    )
    return _shaped(merged), changes


def merge_classes(old: ClassList, new: ClassList) -> ClassList:
    """The class list after reading again: known ids keep their index, further ones of folders follow behind.

    Raises InputError when the lists are two different ones.
    """
    if old.name != new.name:
        raise InputError(
            f"The workspace holds the class list {old.name!r} ({len(old)} classes), not {new.name!r} "
            f"({len(new)}). Create another workspace for another class list."
        )
    known = set(old.ids)
    further = new.frame.filter(~pl.col("id").is_in(known))
    if further.is_empty():
        return old
    rows = pl.concat([old.frame.drop("index"), further.drop("index")], how="vertical_relaxed")
    return ClassList(old.name, rows.with_row_index("index"))


def fingerprints(items: pl.DataFrame, classes: ClassList) -> dict[str, str]:
    """What other artefacts are made from, each as a hash: keys, images, original labels, class ids."""
    present = items.filter(~pl.col("missing"))

    def digest(frame: pl.DataFrame) -> str:
        hashed = hashlib.blake2b(digest_size=16)
        for column in frame:
            text = "\x1f".join(column.cast(pl.String).fill_null("\x00").to_list())
            hashed.update(text.encode() + b"\x1e")
        return hashed.hexdigest()

    return {
        "keys": digest(present.select("item", "key")),
        "images": digest(present.select("item", "key", "hash")),
        "labels": digest(present.select("item", "label")),
        "classes": digest(classes.frame.select("id")),
    }
