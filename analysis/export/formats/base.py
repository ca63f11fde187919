"""What every format is, and tables written in chunks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress

NOTHING_LEFT_OUT = pl.DataFrame(schema={"item": pl.UInt32, "key": pl.String, "reason": pl.String})


@dataclass(frozen=True, eq=False)
class Written:
    """What a format made of a subset."""

    n: int
    """Items that are in it."""
    left_out: pl.DataFrame = field(default_factory=NOTHING_LEFT_OUT.clone)
    """item, key, reason of what is not in it, or not whole."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else a reader must know, for the receipt."""
    not_listed: tuple[str, ...] = ()
    """Folders whose files the receipt does not list one by one."""


@dataclass(frozen=True)
class Format:
    """One way to write a subset."""

    name: str
    what: str
    """For people, in a few words."""
    write: Callable[[Subset, Path, ExportOptions, Progress], Written]
    """(subset, an empty folder, options, progress) -> what was written. Raises InputError for what cannot be."""
    readme: Callable[[str], str] | None = None
    """README.md from the datasheet, where readers of the format want one."""


def write_parquet(parts: Iterable[pl.DataFrame], path: Path, *, schema: pa.Schema | None = None) -> int:
    """Frames of one schema as one Parquet file, a row group each, cast to `schema`; returns the number of rows."""
    rows, writer = 0, None
    try:
        for part in parts:
            table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
            if schema is not None:
                table = table.cast(schema)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            rows += part.height
    finally:
        if writer is not None:
            writer.close()
    return rows


def told(parts: Iterable[pl.DataFrame], what: str, total: int, progress: Progress) -> Iterable[pl.DataFrame]:
    """The parts, telling progress by their rows."""
    done = 0
    for part in parts:
        yield part
        done += part.height
        progress(what, done, total)


def left_out(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """item, key and reason of the parts' rows, as one frame."""
    return pl.concat([NOTHING_LEFT_OUT, *(part.select("item", "key", "reason") for part in parts)])
