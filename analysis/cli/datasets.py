"""Commands on a workspace itself: making it, what could not be read, tidying up."""

import json
from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, progress_bars, say


@app.command()
def create(
    workspace: WorkspacePath,
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    layout: Annotated[str, typer.Option(help="auto, imagefolder, imagenet-val or flat.")] = "auto",
    table: Annotated[Path | None, typer.Option(help="CSV or Parquet with a row an image.")] = None,
    key: Annotated[str | None, typer.Option(help="The table's column of file names.")] = None,
    label: Annotated[str | None, typer.Option(help="The table's column of labels.")] = None,
    classes: Annotated[str | None, typer.Option(help="imagenet-1k, or a file with the class list.")] = None,
    labels_from: Annotated[
        Path | None, typer.Option(help="ImageNet validation labels: a CSV, LOC_val_solution.csv or the devkit.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Decode every image in full.")] = False,
    force: Annotated[bool, typer.Option(help="Let most items of an existing workspace vanish.")] = False,
) -> None:
    """Make a workspace from a folder of images, a table, or both; or read its dataset again."""
    from analysis.create import create as create_workspace
    from analysis.datasets import DatasetOptions

    options = DatasetOptions(
        images=images, layout=layout, table=table, key=key, label=label, classes=classes, labels_from=labels_from
    )
    with progress_bars() as progress:
        made, changes = create_workspace(str(workspace), options, verify=verify, force=force, progress=progress)
    say(f"{made.name}: {made.items().height:,} items, {len(made.classes()):,} classes ({changes}).")
    if problems := made.problems().height:
        say(f"{problems:,} problems; `errata problems {workspace}` lists them.")


@app.command()
def problems(workspace: WorkspacePath, as_json: AsJson = False) -> None:
    """List by name what could not be read, and why."""
    from analysis.workspace import Workspace

    found = Workspace.open(workspace).problems()
    if as_json:
        print(json.dumps({"problems": found.to_dicts()}))
        return
    for row in found.iter_rows(named=True):
        print(f"{row['key']!r}\t{row['stage']}\t{row['reason']}")
    say(f"{found.height:,} problems." if found.height else "No problems.")


@app.command()
def gc(workspace: WorkspacePath) -> None:
    """Remove past versions and what killed writers left behind."""
    from analysis.workspace import sweep_workspace

    removed = sweep_workspace(workspace)
    say(f"Removed {len(removed)} folders.")
