"""Commands that bring in what was made elsewhere: predictions and labels."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.cli.base import WorkspacePath, labels_app, runs_app, say


@runs_app.command("import")
def import_run(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The run's name.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, TSV, Parquet, npy, npz, JSON or JSONL files.")
    ],
    order: Annotated[str | None, typer.Option(help="What the rows follow: imagefolder, filename or keys.")] = None,
    seen: Annotated[Literal["yes", "no", "unknown"], typer.Option(help="Trained on these images?")] = "unknown",
    force: Annotated[bool, typer.Option(help="Take rows that look misordered.")] = False,
) -> None:
    """Bring in predictions that were made elsewhere."""
    from analysis.imports import import_run as import_predictions
    from analysis.workspace import Workspace

    run = import_predictions(Workspace.open(workspace), name, files, order=order, seen=seen, force=force)
    say(
        f"{run.name}: {run.manifest['n']:,} items, {run.predictions.classes.shape[1]} ranks, "
        f"scores are {run.manifest['score_kind']}."
    )


@runs_app.command("import-folder")
def import_folder(
    workspace: WorkspacePath,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A run each file; a folder within: a run of several.")
    ],
    order: Annotated[str | None, typer.Option(help="What the rows follow: imagefolder, filename or keys.")] = None,
    seen: Annotated[Literal["yes", "no", "unknown"], typer.Option(help="Trained on these images?")] = "unknown",
    force: Annotated[bool, typer.Option(help="Take rows that look misordered.")] = False,
) -> None:
    """Bring in each file of predictions in a folder as a run of its name."""
    from analysis.imports import import_runs
    from analysis.workspace import Workspace

    for run in import_runs(Workspace.open(workspace), folder, order=order, seen=seen, force=force):
        say(f"{run.name}: {run.manifest['n']:,} items, scores are {run.manifest['score_kind']}.")


@labels_app.command("import")
def import_labels(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The label set's name.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON.")],
    absent: Annotated[
        Literal["wrong", "unjudged"] | None, typer.Option(help="What a class that the file does not name is.")
    ] = None,
    exhaustive: Annotated[bool, typer.Option(help="Every class was judged for each item that the file names.")] = False,
) -> None:
    """Bring in labels: one or many classes an item."""
    from analysis.imports import import_labels as import_label_set
    from analysis.workspace import Workspace

    labels = import_label_set(Workspace.open(workspace), name, file, absent=absent, exhaustive=exhaustive)
    items, scored = labels.items.height, int(labels.items["scored"].sum())
    say(f"{labels.name}: {labels.labels.height:,} labels of {items:,} items, {scored:,} of them scored.")
