"""Taking labels out: `errata export`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, progress_bars, say


@app.command()
def export(
    workspace: WorkspacePath,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to make; new or empty.")],
    format: Annotated[
        str,
        typer.Option(
            help="parquet, csv, jsonl, imagefolder, huggingface, coco, multilabel-json, real-json, issues or "
            "hard-examples."
        ),
    ],
    labels: Annotated[str, typer.Option(help="A label set, or reviewed for the team's own.")] = "original",
    slice_: Annotated[
        str, typer.Option("--slice", metavar="SLICE", help="Which items: a slice's line, or @NAME for a saved one.")
    ] = "all",
    base: Annotated[
        str | None, typer.Option(metavar="LABELSET", help="What reviewed starts from; default: original.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="The position of the review log that reviewed goes up to; default: all.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="The run that the slice is about; default: the best.")] = None,
    lens: Annotated[
        str | None,
        typer.Option(metavar="LABELSET", help="The label set that the slice is judged by; default: the exported one."),
    ] = None,
    copy: Annotated[
        Literal["links", "copies", "zip"],
        typer.Option(help="How an image folder gets its images."),
    ] = "links",
    one_class: Annotated[
        str,
        typer.Option("--one-class", metavar="RULE", help="original-first, only or original; for imagefolder."),
    ] = "original-first",
    as_json: AsJson = False,
) -> None:
    """Write a slice's items with their labels for other tools, with a receipt and a datasheet."""
    from analysis.export import ExportOptions
    from analysis.export import export as write_export
    from analysis.workspace import Workspace

    options = ExportOptions(
        to=to,
        format=format,
        slice=slice_,
        labels=labels,
        base=base,
        position=position,
        run=run,
        lens=lens,
        copy=copy,
        one_class=one_class,
    )
    with progress_bars() as progress:
        done = write_export(Workspace.open(workspace), options, progress)
    told = done.receipt
    if as_json:
        print(json.dumps({"to": str(done.folder)} | {k: v for k, v in told.items() if k != "class_list"}, default=str))
        return
    print(done.folder)
    say(f"{told['n']:,} of {told['slice']['n']:,} items of the slice, labels {told['labels']['name']}, as {format}.")
    for reason, n in told["left_out"]["reasons"].items():
        say(f"{n:,} in left_out.csv: {reason}.")
