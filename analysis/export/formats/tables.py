"""One row an item: Parquet, CSV and JSON lines.

Columns: item, key, path, bytes, original (class id), split, width, height, hash, problem, then valid, unclear and
rejected (lists of class ids), scored and exhaustive (null: the label set does not know the item), for `reviewed`
readers, panel, decided, disputed, problems and position, and the dataset's metadata.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from analysis.errors import InputError
from analysis.export.formats.base import Format, Written, told, write_parquet
from analysis.export.names import ESCAPED, inert, inert_word
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress

SEPARATOR = "|"
NAME = "items"


def rows(subset: Subset, progress: Progress) -> Iterator[pl.DataFrame]:
    """The table in chunks, the dataset's metadata last."""
    for part in told(subset.chunks(), "Writing", subset.n, progress):
        named = subset.ids(part)
        yield named.select(*[name for name in named.columns if name not in subset.metadata], *subset.metadata)


def _write_parquet(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    return Written(write_parquet(rows(subset, progress), folder / f"{NAME}.parquet"))


def _write_jsonl(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    with (folder / f"{NAME}.jsonl").open("wb") as file:
        for part in rows(subset, progress):
            part.write_ndjson(file)
    return Written(subset.n)


def _write_csv(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    if odd := next((class_id for class_id in subset.workspace.classes().ids if SEPARATOR in class_id), None):
        raise InputError(
            f"The class id {odd!r} holds {SEPARATOR!r}, which parts classes in CSV. Take parquet or jsonl, which need "
            f"no such sign."
        )
    write_csv(rows(subset, progress), folder / f"{NAME}.csv")
    return Written(subset.n, details={"escaped": ESCAPED, "lists": f"Classes of one cell are parted by {SEPARATOR}."})


def write_csv(parts: Iterator[pl.DataFrame], path: Path) -> None:
    """Frames of one schema as one CSV file that no spreadsheet runs: text is quoted, null is an empty cell."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            cells = part.with_columns(_cell(part[name]) for name in part.columns)
            header = cells.rename({name: inert_word(name) for name in cells.columns}) if number == 0 else cells
            header.write_csv(file, include_header=number == 0, quote_style="non_numeric")


def _cell(column: pl.Series) -> pl.Series:
    """A column as CSV can hold it: lists of text joined, other nested values as JSON, text inert."""
    if column.dtype == pl.List(pl.String):
        column = column.list.join(SEPARATOR)
    elif column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        values = [None if value is None else json.dumps(value, default=str) for value in column.to_list()]
        column = pl.Series(column.name, values, dtype=pl.String)
    elif column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return pl.select(inert(pl.lit(column))).to_series().alias(column.name)
    return column


PARQUET = Format("parquet", "Parquet, one row an item", _write_parquet)
CSV = Format("csv", "CSV for spreadsheets, one row an item", _write_csv)
JSONL = Format("jsonl", "JSON lines, one object an item", _write_jsonl)
