"""Predictions and labels that were made elsewhere, brought into a workspace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.labels.readers import read_labels
from analysis.labels.sets import LabelSet
from analysis.models.predictions import read_predictions
from analysis.workspace import Run, Workspace


def import_run(
    workspace: Workspace,
    name: str,
    files: Sequence[Path],
    *,
    order: str | None = None,
    seen: Literal["yes", "no", "unknown"] = "unknown",
    force: bool = False,
) -> Run:
    """Read predictions from files and publish them as the run `name`.

    Raises InputError, naming row, value or likely cause, before anything is written.
    """
    read = read_predictions(files, workspace.items(), workspace.classes(), order=order, force=force)

    def write(folder: Path) -> None:
        if read.dense is not None:
            with (folder / "scores.f16.npy").open("wb") as file:
                np.save(file, read.dense)

    return workspace.publish_run(
        name,
        read.predictions,
        inputs=("keys", "classes"),
        details={
            "source": "import",
            "recognised": read.record,
            "competing": "all" if read.record["mask"] is None else read.record["mask"],
            "seen_in_training": seen,
        },
        fill=write,
    )


def import_labels(
    workspace: Workspace,
    name: str,
    file: Path,
    *,
    absent: Literal["wrong", "unjudged"] | None = None,
    exhaustive: bool = False,
) -> LabelSet:
    """Read labels from a file and publish them as the label set `name`.

    `absent` says what a class is that the file does not name for an item; None leaves it to the format (wrong for
    plain tables). `exhaustive` says that every class was judged for each item that the file names.
    Raises InputError naming row and value before anything is written.
    """
    read = read_labels(file, name, workspace.items(), workspace.classes(), absent=absent, exhaustive=exhaustive)
    details = {"source": file.name, "recognised": read.record}
    workspace.publish_labels(read.labels, details=details, statuses=read.statuses)
    return read.labels
