"""Predictions and labels that were made elsewhere, brought into a workspace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from analysis.labels.readers import read_label_set
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
    return workspace.publish_run(
        name,
        read.predictions,
        inputs=("keys", "classes"),
        details={
            "source": "import",
            "recognised": read.record,
            "n_classes": len(workspace.classes()),
            "seen_in_training": seen,
        },
    )


def import_labels(
    workspace: Workspace, name: str, file: Path, *, absent: Literal["wrong", "unjudged"] | None = None
) -> LabelSet:
    """Read labels from a file and publish them as the label set `name`.

    `absent` says what a class is that the file does not name for an item; None leaves it to the format (wrong for
    plain tables). Raises InputError naming row and value before anything is written.
    """
    labels = read_label_set(file, name, workspace.items(), workspace.classes(), absent)
    workspace.publish_labels(labels, details={"source": file.name})
    return labels
