"""Readers of label-set files: the format is told from the file's content, see `analysis.labels.formats`.

Everything is checked before a label set exists: an unknown key, class or state is an InputError that names it and
its row.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats import FORMATS, Content, LabelFile
from analysis.labels.formats.plain import LABEL_COLUMNS
from analysis.labels.formats.tables import KEY_COLUMNS, class_cells, find_column, item_numbers, read_table
from analysis.labels.sets import Absent, LabelSet, label_set

__all__ = [
    "KEY_COLUMNS", "STATUSES", "ImportedLabels", "class_cells", "find_column", "item_numbers", "read_label_set",
    "read_labels", "read_table",
]  # fmt: skip

STATUSES = pl.Enum(["scored", "no_valid_label", "problematic"])


@dataclass(frozen=True, eq=False)
class ImportedLabels:
    """A label set read from a file, and what was recognised in it."""

    labels: LabelSet
    statuses: pl.DataFrame
    """item u32 (sorted), status STATUSES: why an item is not scored; then the file's own flags (imagenet_m)."""
    record: dict[str, Any]
    """For the manifest: format, file, keys_matched_by, counts of statuses, conflicts."""


def read_label_set(
    file: Path, name: str, items: pl.DataFrame, classes: ClassList, absent: Absent | None = None
) -> LabelSet:
    """The label set of `read_labels`."""
    return read_labels(file, name, items, classes, absent=absent).labels


def read_labels(
    file: Path,
    name: str,
    items: pl.DataFrame,
    classes: ClassList,
    *,
    absent: Absent | None = None,
    exhaustive: bool = False,
) -> ImportedLabels:
    """A label set from a file; its content tells the format (`analysis.labels.formats`).

    `items` has item, key and perhaps label. `absent` says whether a class that the file does not name is wrong
    (closed set) or unjudged (open set); None leaves it to the format: expert labels and suggestions are open,
    others closed. `exhaustive` says that every class of every item in the file was judged, though the set be open;
    a column `exhaustive` says it item by item. Items not named are unknown to the set.
    Raises InputError with the row and the value when a key, class or state is unknown.
    """
    content = _load(file)
    format = next((format for format in FORMATS if format.recognises(content)), None)
    if format is None:
        raise InputError(f"{file.name}: {_complaint(content)}")
    read = format.read(content, items, classes, file.name)
    known = _known(read, exhaustive)
    labels = label_set(name, read.labels, known, absent=absent or format.absent, note=format.note)
    statuses = _statuses(labels, read.items)
    record = {
        "format": format.name,
        "file": file.name,
        **read.record,
        "statuses": dict(statuses["status"].cast(pl.String).value_counts(sort=True).iter_rows()),
        "exhaustive": int(known["exhaustive"].sum()),
        "conflicts": labels.conflicts,
    }
    return ImportedLabels(labels, statuses, record)


def _load(file: Path) -> Content:
    if file.suffix.lower() != ".json":
        return read_table(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file.name} cannot be read as JSON: {error}") from error
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        frame = pl.DataFrame(content, infer_schema_length=None, strict=False)
        return frame.rename({column: column.strip().lower() for column in frame.columns})
    return content


def _complaint(content: Content) -> str:
    wanted = f"one of {', '.join(KEY_COLUMNS)} and one of {', '.join(LABEL_COLUMNS)}"
    if isinstance(content, pl.DataFrame):
        return f"no column names the images' labels. It has {', '.join(content.columns)}; wanted are {wanted}."
    return (
        "this JSON is no label file. Known are ReaL's list of lists, imagenet2012_multilabel's object with "
        f"initial_annots, and a list of objects with {wanted}."
    )


def _known(read: LabelFile, exhaustive: bool) -> pl.DataFrame:
    columns = read.items.columns
    problematic = pl.col("problematic") if "problematic" in columns else pl.lit(False)
    said = pl.col("exhaustive") if "exhaustive" in columns else pl.lit(False)
    return read.items.select("item", scored=~problematic, exhaustive=said | exhaustive)


def _statuses(labels: LabelSet, items: pl.DataFrame) -> pl.DataFrame:
    """A problematic item stays problematic though it have no valid label either."""
    problematic = pl.col("problematic") if "problematic" in items.columns else pl.lit(False)
    status = (
        pl.when(problematic).then(pl.lit("problematic")).when("scored").then(pl.lit("scored"))
        .otherwise(pl.lit("no_valid_label"))
    )  # fmt: skip
    flags = [name for name in items.columns if name not in ("item", "problematic", "exhaustive")]
    joined = labels.items.join(items.with_columns(pl.col("item").cast(pl.UInt32)), on="item", how="left")
    return joined.select("item", status.cast(STATUSES).alias("status"), *flags)
