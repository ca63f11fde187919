"""A workspace: one dataset with everything known about it, in one folder.

    errata.toml                    UUID, name, format version
    dataset/VERSION/               items.parquet, classes.parquet, problems.parquet; image root and class list
    labels/SLUG/VERSION/           labels.parquet, items.parquet
    runs/SLUG/VERSION/             run.json, topk.parquet, scores.f16.npy, problems.parquet
    spaces/SLUG/VERSION/           space.json, index.faiss, items.npy, projection.parquet, clusters.parquet, ...
    causes/RULE/VERSION/           table.parquet: superclasses, atypical items, a panel's judgements, merged classes
    thumbnails/                    made when first asked for, addressed by content
    partial/                       finished shards of evaluations that were interrupted

Everything but `errata.toml` and `thumbnails/` is a versioned artefact (analysis/artefacts.py). An open workspace
is a snapshot: it keeps to the versions that were current when it was opened.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from analysis.artefacts import (
    Artefact,
    current_version,
    explaining,
    publish,
    slug,
    staging,
    sweep,
    withdraw,
    write_parquet,
)
from analysis.errors import InputError, StaleInputError
from analysis.folder import (
    CAUSES,
    CONFIG,
    DATASET,
    LABELS,
    RUNS,
    SPACES,
    current_versions,
    homes,
    is_workspace,
    read_config,
)
from analysis.labels.sets import LabelSet, Unclear
from analysis.models.predictions import Predictions
from analysis.snapshot import WHAT_CHANGED, Snapshot
from analysis.stored import CauseTable, Run, Space

if TYPE_CHECKING:  # the rooms above, which its questions go to
    from analysis.report import ReportOptions

__all__ = [
    "CONFIG", "DATASET", "CauseTable", "Run", "Space", "Workspace", "is_workspace", "read_config", "sweep_workspace",
]  # fmt: skip


class Workspace(Snapshot):
    """A snapshot with what can be published into its folder, and the questions that it answers."""

    @staticmethod
    def open(path: str | Path) -> "Workspace":
        """Open the workspace in a folder. Raises WorkspaceError when it is none, or of a newer format."""
        path = Path(path).expanduser().absolute()
        return Workspace(path, read_config(path))

    def reopened(self) -> "Workspace":
        """This snapshot while nothing was published since, else a new one."""
        return self if current_versions(self.path)[0] == self._current else Workspace.open(self.path)

    # ---- publishing

    def unchanged(self, *fingerprints: str) -> Callable[[], None]:
        """A check that the named fingerprints of the dataset are still those of this snapshot."""

        def check() -> None:
            now = Workspace.open(self.path).fingerprints
            for name in fingerprints:
                if now[name] != self.fingerprints[name]:
                    raise StaleInputError(
                        f"While this was being computed, {WHAT_CHANGED[name]} in {self.name}. Nothing was "
                        f"published; run the command again."
                    )

        return check

    def publish_labels(
        self,
        labels: LabelSet,
        *,
        details: Mapping[str, Any] | None = None,
        statuses: pl.DataFrame | None = None,
    ) -> Artefact:
        """Store a label set under its name; an older version of it stays on disk and is no longer current.

        `statuses` are what the source says of whole items (item, status, flags), kept beside the labels.
        """
        home = self.path / LABELS / label_set_slug(labels.name)
        with staging(home) as folder:
            write_parquet(labels.labels, folder / "labels.parquet")
            write_parquet(labels.items, folder / "items.parquet")
            if statuses is not None:
                write_parquet(statuses, folder / "statuses.parquet")
            return publish(
                home,
                folder,
                "labels",
                name=labels.name,
                inputs=self._inputs("keys", "classes"),
                details={
                    "absent": labels.absent,
                    "note": labels.note,
                    "conflicts": labels.conflicts,
                    **(details or {}),
                },
                check=self.unchanged("keys", "classes"),
            )

    def publish_run(
        self,
        name: str,
        predictions: Predictions,
        *,
        inputs: tuple[str, ...],
        details: Mapping[str, Any],
        fill: Callable[[Path], None] = lambda folder: None,
    ) -> Run:
        """Store a run under its name. `fill` writes further files (dense scores, problems) into the folder."""
        home = self.path / RUNS / slug(name)
        with staging(home) as folder:
            write_parquet(predictions.to_frame(), folder / "topk.parquet")
            fill(folder)
            published = publish(
                home,
                folder,
                "run",
                name=name,
                inputs=self._inputs(*inputs),
                details={"score_kind": predictions.kind, "n": len(predictions.items), **details},
                check=self.unchanged(*inputs),
            )
        return Run(published.folder, published.manifest)

    def publish_space(self, name: str, fill: Callable[[Path], Mapping[str, Any]]) -> Space:
        """Store a space under its encoder's reference; `fill` writes its files and returns its manifest's keys.

        Refused when the space was published by somebody else since this snapshot was taken: `fill` builds on it.
        """
        home = self.path / SPACES / slug(name)
        images_unchanged = self.unchanged("images")

        def check() -> None:
            images_unchanged()
            if current_version(home) != self._current.get(home.relative_to(self.path).as_posix()):
                raise StaleInputError(
                    f"Another process published the space {name} in the meantime. Nothing was published; run the "
                    f"command again: what is fresh is kept."
                )

        with staging(home) as folder:
            details = fill(folder)
            published = publish(
                home,
                folder,
                "space",
                name=name,
                inputs=self._inputs("images"),
                details={"steps": {}, **details},
                check=check,
            )
        return Space(published.folder, published.manifest)

    def publish_cause(
        self, rule: str, table: pl.DataFrame, *, basis: str, inputs: tuple[str, ...], details: Mapping[str, Any]
    ) -> CauseTable:
        """Store the table of a rule that tells causes of mistakes; `withdraw_cause` goes back to the default."""
        home = self.path / CAUSES / rule
        with staging(home) as folder:
            write_parquet(table, folder / "table.parquet")
            published = publish(
                home,
                folder,
                "cause",
                name=rule,
                inputs=self._inputs(*inputs),
                details={"basis": basis, "rows": table.height, **details},
                check=self.unchanged(*inputs),
            )
        return CauseTable(published.folder, published.manifest)

    def withdraw_cause(self, rule: str) -> bool:
        """Go back to the default of a rule; False where nothing stood in its place."""
        return withdraw(self.path / CAUSES / rule)

    def _inputs(self, *names: str) -> dict[str, str]:
        return {name: self.fingerprints[name] for name in names}

    # ---- questions: each is answered by the room above that bears its name

    def report(
        self, options: "ReportOptions | None" = None, *, items: NDArray[np.uint32] | None = None
    ) -> pl.DataFrame:
        """Every metric of runs under label sets, in the columns of analysis.report.REPORT_SCHEMA.

        `items` (sorted) narrows it. Raises WorkspaceError for a name that does not exist, InputError for a column.
        """
        from analysis.report import report

        return report(self, options, items=items)

    def outcomes(self, run: str, labels: str = "original", *, unclear: Unclear = "lenient") -> pl.DataFrame:
        """Why each prediction counts as it does, item by item: analysis.outcomes.OUTCOMES_SCHEMA.

        Raises WorkspaceError for a run or label set that does not exist; so do the questions below.
        """
        from analysis.results.outcomes import run_outcomes

        return run_outcomes(self, run, labels, unclear=unclear)

    def compare(self, a: str, b: str, labels: str = "original", *, unclear: Unclear = "lenient") -> pl.DataFrame:
        """Two runs on their common items, differences A - B: one row, as of analysis.results.frames.comparison."""
        from analysis.results.frames import comparison

        return comparison(self, a, b, labels, unclear=unclear)

    def suspects(self, runs: Sequence[str] | None = None, *, signal: str | None = None) -> pl.DataFrame:
        """Items whose original label is suspect, the most suspicious first: analysis.suspects.SUSPECTS_SCHEMA."""
        from analysis.results.suspects import suspected_errors

        return suspected_errors(self, runs, signal=signal)[0]

    def slice(self, text: str, *, run: str | None = None, labels: str | None = None) -> pl.DataFrame:
        """The items of a slice with all that is known of them, in its order: analysis.lens.frame.

        Run and label set are those that pages show at first unless named. Raises InputError naming what does not
        fit in `text`.
        """
        from analysis.results.frames import sliced

        return sliced(self, text, run=run, labels=labels)

    def import_runs(
        self,
        folder: str | Path,
        *,
        order: str | None = None,
        seen: Literal["yes", "no", "unknown"] = "unknown",
        force: bool = False,
    ) -> "Workspace":
        """Each file of predictions in a folder as a run of its name; returns the workspace with them in it.

        See analysis.imports.import_runs. A snapshot does not change: go on with what is returned.
        """
        from analysis.imports import import_runs

        import_runs(self, Path(folder), order=order, seen=seen, force=force)
        return self.reopened()


def label_set_slug(name: str) -> str:
    """The folder name of a label set. Raises InputError for what is no name, and for that of the dataset's own."""
    if name == "original":
        raise InputError("The label set 'original' is the dataset's own; choose another name for this one.")
    return slug(name)


def sweep_workspace(path: str | Path) -> list[Path]:
    """Remove past versions and what killed writers left, unfinished evaluations included; returns the folders."""
    workspace = Workspace.open(path)
    removed = [folder for home in homes(workspace.path) for folder in sweep(home)]
    for folder in workspace.partial.glob("*/"):
        with explaining(folder), contextlib.suppress(Timeout), FileLock(f"{folder}.lock", timeout=0):
            shutil.rmtree(folder)
            removed.append(folder)
    return removed
