"""Readers of prediction files, one module a kind of file: ranked rows in the file's order.

Which row is which item is not decided here, see `row_order`. A format is one function in `READERS`, by the suffix.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.models.formats import arrays, records, tables
from analysis.models.formats.ranking import PredictionFile

Reader = Callable[[Sequence[Path], ClassList], PredictionFile]
READERS: dict[str, Reader] = {
    ".npy": arrays.read,
    ".npz": arrays.read,
    ".csv": tables.read,
    ".tsv": tables.read,
    ".parquet": tables.read,
    ".json": records.read,
    ".jsonl": records.read,
    ".ndjson": records.read,
}


def read(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """Read one run's file or files. Raises InputError naming file, row and value."""
    readers = {READERS.get(file.suffix.lower()) for file in files}
    reader = readers.pop() if len(readers) == 1 else None
    if reader is None:
        raise InputError(
            f"{', '.join(file.name for file in files) or 'No file'}: predictions come as one {', '.join(READERS)} "
            f"file, or as two .npy files, one with the classes and one with their scores."
        )
    return reader(files, classes)
