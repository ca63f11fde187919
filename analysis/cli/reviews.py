"""Commands around what people judged."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say

reviews_app = typer.Typer(help="What people judged of items and predictions.", no_args_is_help=True)
app.add_typer(reviews_app, name="reviews")

Design = Literal["complete", "random", "stratified", "confident"]
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


@reviews_app.command("publish")
def publish(
    workspace: WorkspacePath,
    base: Annotated[
        str, typer.Option(metavar="LABELSET", help="The label set that judgements stand in the place of.")
    ] = "original",
    position: Annotated[
        int | None, typer.Option(min=0, help="Up to this position of the review log; default: all.")
    ] = None,
    person: Annotated[str, typer.Option(help="Who publishes it.")] = "local",
) -> None:
    """Publish the label set `reviewed`: a base with the team's decisions in its place."""
    from analysis.results.rescore import publish_reviewed
    from analysis.workspace import Workspace

    made = publish_reviewed(Workspace.open(workspace), base, person, position)
    say(f"reviewed: version {made.version}. {made.manifest['note']}")


@reviews_app.command("queue")
def make_queue(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Option(help="The queue's name.")],
    slice_: Annotated[
        str, typer.Option("--slice", metavar="SLICE", help="Which items, or @NAME for a saved one.")
    ] = "all",
    design: Annotated[Design, typer.Option(help="How items are drawn.")] = "complete",
    n: Annotated[int | None, typer.Option("--n", help="How many items to draw.")] = None,
    control: Annotated[
        float, typer.Option(help="Stratified: share of the items drawn from predictions counted as right.")
    ] = 0.1,
    readings: Annotated[int, typer.Option(help="Independent readings of each item.")] = 1,
    self_paced: Annotated[
        bool, typer.Option("--self-paced", help="Fill in what is known, to be confirmed; no independent readings.")
    ] = False,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Readers also look for further classes.")] = False,
    run: Annotated[str | None, typer.Option(help="The run that the slice is of; default: the best.")] = None,
    labels: Annotated[str | None, typer.Option(help="The label set to judge it by; default: the most telling.")] = None,
    runs: Annotated[
        str | None, typer.Option(help="Runs whose predictions are candidates, with commas between; default: that run.")
    ] = None,
    decoys: Annotated[
        float | None, typer.Option(help="Share of decoys among candidates; default: 0.1, and none if self-paced.")
    ] = None,
    repeats: Annotated[float, typer.Option(help="Share of a person's items that come again unknowingly.")] = 0.05,
    people: Annotated[
        str | None, typer.Option(help="Who may take it, with commas between; default: all who may annotate.")
    ] = None,
    guideline: Annotated[str | None, typer.Option(help="The version of the instructions.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw and its order.")] = 0,
    person: Annotated[str, typer.Option(help="Who makes it.")] = "local",
    as_json: AsJson = False,
) -> None:
    """Make a queue of a slice's items for people to judge."""
    from analysis.results.frames import lens_of, sliced
    from analysis.results.review import QueueOptions, new_queue
    from analysis.slices import saved
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    line = saved.named(opened, slice_[1:]).text if slice_.startswith("@") else slice_
    items = sliced(opened, line, run=run, labels=labels)["item"]
    options = QueueOptions(
        name=name,
        design=design,
        n=n,
        control=control,
        readings=readings,
        blind=not self_paced,
        exhaustive=exhaustive,
        runs=_names(runs),
        decoys=decoys,
        repeats=repeats,
        people=_names(people),
        guideline=guideline,
        seed=seed,
    )
    made = new_queue(opened, items, lens_of(opened, run, labels), options, person)
    if as_json:
        strata = list(made.queue.strata)
        told = {"id": made.queue.id, "name": name, "drawn": made.n_drawn, "left_out": made.n_left_out}
        print(json.dumps(told | {"decoys": made.n_decoys, "decoys_from": made.decoys_from, "strata": strata}))
        return
    for stratum in made.queue.strata:
        print(f"{stratum['name']:32}{stratum['draw']:>8,} of {stratum['size']:,}")
    decoys_told = f", {made.n_decoys:,} decoys from {made.decoys_from}" if made.n_decoys else ""
    left_out = f"; {made.n_left_out:,} items left out that have nothing to judge" if made.n_left_out else ""
    say(f"{name}: {made.n_drawn:,} items{decoys_told}{left_out}.")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
