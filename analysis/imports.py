"""Predictions, labels and causes of mistakes that were made elsewhere, brought into a workspace."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.artefacts import slug
from analysis.cause_files import RULES, read_cause
from analysis.errors import InputError
from analysis.labels.readers import read_labels
from analysis.labels.sets import LabelSet
from analysis.models.formats import READERS
from analysis.models.predictions import read_predictions
from analysis.workspace import CauseTable, Run, Workspace, label_set_slug


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
    slug(name)  # a name that cannot be is told before the files are read
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


def import_runs(
    workspace: Workspace,
    folder: Path,
    *,
    order: str | None = None,
    seen: Literal["yes", "no", "unknown"] = "unknown",
    force: bool = False,
) -> list[Run]:
    """Each file of predictions in a folder as a run, named as the file without its ending; in the order of names.

    What takes several files, such as classes and their scores, lies in a folder within, which names the run. Hidden
    files and files of other kinds are passed over. Raises InputError for a folder without predictions, for two of
    one name, and for the first file that `import_run` refuses; the runs before it are published then.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {str(folder)!r}. Give the folder that holds the files of predictions.")
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        files = sorted(entry.iterdir()) if entry.is_dir() else [entry]
        files = [file for file in files if file.suffix.lower() in READERS and not file.name.startswith(".")]
        name = entry.name if entry.is_dir() else entry.stem
        if files and not entry.name.startswith("."):
            if name in found:
                raise InputError(f"{folder}: {found[name][0].name} and {entry.name} would both be the run {name!r}.")
            found[name] = files
    if not found:
        raise InputError(f"{folder} holds no predictions. A file of them ends in {', '.join(READERS)}.")
    for name in found:
        slug(name)
    return [import_run(workspace, name, files, order=order, seen=seen, force=force) for name, files in found.items()]


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
    label_set_slug(name)
    read = read_labels(file, name, workspace.items(), workspace.classes(), absent=absent, exhaustive=exhaustive)
    details = {"source": file.name, "recognised": read.record}
    workspace.publish_labels(read.labels, details=details, statuses=read.statuses)
    return read.labels


def import_causes(workspace: Workspace, files: Mapping[str, Path], *, basis: str | None = None) -> list[CauseTable]:
    """Read what tells causes of mistakes, a file for each rule of analysis.cause_files.RULES, and publish it.

    It takes the place of what the rule went by; `Workspace.withdraw_cause` goes back to that. `basis` says in words
    who or what the files rest on, in place of their names. Everything is checked before anything is written: raises
    InputError, naming file, row and value.
    """
    if not files:
        raise InputError(f"Nothing to import: give a file for one of {', '.join(RULES)}.")
    read = {rule: read_cause(rule, file, workspace.items(), workspace.classes()) for rule, file in files.items()}
    return [
        workspace.publish_cause(
            rule,
            found.table,
            basis=basis or found.basis,
            inputs=RULES[rule].inputs,
            details={"source": files[rule].name},
        )
        for rule, found in read.items()
    ]
