"""Commands around what people judged."""

import json
from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say

reviews_app = typer.Typer(help="What people judged of items and predictions.", no_args_is_help=True)
app.add_typer(reviews_app, name="reviews")

RunName = Annotated[str, typer.Option("--run", metavar="NAME", help="Whose mistakes; need not be an imported run.")]


@reviews_app.command("import")
def import_reviews(
    workspace: WorkspacePath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON of imagenet-mistakes.")],
    run: RunName,
    complete: Annotated[bool, typer.Option("--complete", help="The file lists every mistake of the model.")] = False,
) -> None:
    """Bring in a panel's judgements of a model's mistakes."""
    from analysis.review.imports import import_reviews as bring_in
    from analysis.workspace import Workspace

    found = bring_in(Workspace.open(workspace), file, run, complete=complete)
    for word, keys in found.unknown.items():
        some = ", ".join(repr(key) for key in keys[:3]) + (" and others" if len(keys) > 3 else "")
        say(f"Unknown word {word!r} on {len(keys):,} images ({some}); it is kept as a note.")
    withdrawn = f", {found.withdrawn:,} of an earlier import withdrawn" if found.withdrawn else ""
    say(f"{run}: {found.mistakes:,} mistakes, {found.written:,} rows added to the review log{withdrawn}.")


@reviews_app.command("summary")
def show_summary(
    workspace: WorkspacePath,
    run: RunName,
    labels: Annotated[
        str | None, typer.Option(help="The label set whose items count; default: expert, else original.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How many mistakes of a run were judged, of which cause and severity."""
    from analysis.review.imports import summary
    from analysis.workspace import Workspace

    found = summary(Workspace.open(workspace), run, labels)
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return
    print(f"{'judgements':32}{found['judgements']:>8,}")
    for part in ("categories", "severities"):
        print(part)
        for name, count in found[part].items():
            print(f"  {name:30}{count:>8,}")
    if (accuracy := found["implied_class_mean_accuracy"]) is not None:
        print(f"{'class-mean accuracy if only these were wrong':48}{100 * accuracy:.3f} %")
