"""What is read back from a workspace's files: tables, runs, spaces. Damage is told as damage, not as a traceback."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.artefacts import Artefact
from analysis.errors import WorkspaceError
from analysis.models.predictions import Predictions

_READING_FAILED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


@contextlib.contextmanager
def intact(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file of the workspace is read and understood within, as damage to that file."""
    try:
        yield
    except _READING_FAILED as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise WorkspaceError(f"{path} is damaged ({why}). Restore it from a backup, or make it again.") from error


def read_parquet(path: Path, rows: int | None = None) -> pl.DataFrame:
    """A table of the workspace, or its first rows. Raises WorkspaceError when it is damaged."""
    with intact(path):
        return pl.read_parquet(path, n_rows=rows, glob=False)


@dataclass(frozen=True)
class Run(Artefact):
    """One model's predictions on the workspace, with how they were made."""

    @cached_property
    def predictions(self) -> Predictions:
        """Ranked classes and scores of each item that the run covers."""
        path = self.folder / "topk.parquet"
        with intact(path):
            return Predictions.from_frame(read_parquet(path), self.manifest["score_kind"])

    def scores(self) -> NDArray[np.float16] | None:
        """Dense scores, (n, C) in the rows of `predictions.items`, memory-mapped; None where not stored."""
        path = self.file("scores.f16.npy")
        if path is None:
            return None
        with intact(path):
            return np.load(path, mmap_mode="r", allow_pickle=False)


@dataclass(frozen=True)
class Space(Artefact):
    """An encoder's vectors with their index and, once built, projection, clusters and words."""

    @cached_property
    def items(self) -> NDArray[np.uint32]:
        """Item number of each vector, (n,)."""
        loaded: NDArray[np.uint32] = self.array("items.npy")
        return loaded

    def array(self, name: str) -> NDArray:
        """An array of this space, read whole. Raises WorkspaceError when it is damaged."""
        with intact(self.folder / name):
            return np.load(self.folder / name, allow_pickle=False)

    def frame(self, name: str) -> pl.DataFrame | None:
        """A table of this space (`projection`, `clusters`, `members`, `texts`), None where that step was not run."""
        path = self.file(f"{name}.parquet")
        return None if path is None else read_parquet(path)


@dataclass(frozen=True)
class CauseTable(Artefact):
    """A table that tells causes of mistakes, in place of or beside a rule of Errata's own."""

    @property
    def basis(self) -> str:
        """Who or what says so, in words."""
        return str(self.manifest["basis"])

    @cached_property
    def table(self) -> pl.DataFrame:
        """Its rows; the columns are those of its rule (analysis/cause_files.py)."""
        return read_parquet(self.folder / "table.parquet")
