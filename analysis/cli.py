"""`errata`: every step from images to answers on the command line."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from analysis.errors import ErrataError
from analysis.progress import Progress

app = typer.Typer(
    name="errata",
    help="Browse an image dataset and find out which model mistakes are real.\n\n"
    "Start with `errata demo --serve`, or with your own images: `errata create my-workspace --images DIR`, "
    "`errata evaluate my-workspace timm:resnet50`, `errata serve my-workspace`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
runs_app = typer.Typer(help="Predictions of models.", no_args_is_help=True)
labels_app = typer.Typer(help="Label sets: who says which classes are valid.", no_args_is_help=True)
space_app = typer.Typer(help="Embeddings with their index, map and clusters.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(labels_app, name="labels")
app.add_typer(space_app, name="space")

console = Console(stderr=True, highlight=False)

WorkspacePath = Annotated[Path, typer.Argument(metavar="WS", help="The workspace's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Device = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")]


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress on the terminal's error stream; where that is no terminal, a line for each tenth."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
            tasks: dict[str, int] = {}

            def show(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

            yield show
    else:
        told: dict[str, int] = {}

        def tell(what: str, done: int, total: int | None) -> None:
            tenth = 10 * done // total if total else 0
            if told.get(what) != tenth:
                told[what] = tenth
                print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)

        yield tell


def say(text: str) -> None:
    """A line for people on the error stream; standard output carries results only."""
    console.print(text, markup=False, soft_wrap=True)


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
def evaluate(
    workspace: WorkspacePath,
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Such as timm:resnet50.a1_in1k.")],
    name: Annotated[str | None, typer.Option(help="The run's name; with one MODEL only.")] = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Images a batch; found out when not given.")] = None,
    scores: Annotated[
        Literal["auto", "full", "topk"], typer.Option(help="Keep all scores; auto: up to 200,000 items.")
    ] = "auto",
    among: Annotated[
        Literal["all", "present", "both"],
        typer.Option(help="Classes that compete: all of the model's, those present in the dataset, or a run of each."),
    ] = "all",
    seen: Annotated[
        Literal["yes", "no", "unknown"], typer.Option(help="Whether the model was trained on these images.")
    ] = "unknown",
) -> None:
    """Run models over the images: predictions and embeddings in one pass."""
    from analysis.evaluate import EvaluateOptions
    from analysis.evaluate import evaluate as evaluate_models
    from analysis.workspace import Workspace

    options = EvaluateOptions(
        name=name, device=device, precision=precision, batch=batch, scores=scores, among=among, seen=seen
    )
    with progress_bars() as progress:
        for run in evaluate_models(Workspace.open(workspace), models, options, progress=progress):
            made = run.manifest["inference"]
            say(f"{run.name}: {run.manifest['n']:,} items on {made['device']} in {made['seconds']:.0f} s.")


@app.command()
def report(workspace: WorkspacePath, as_json: AsJson = False) -> None:
    """Accuracies of all runs under all label sets, with intervals."""
    from analysis.report import report as report_frame
    from analysis.report import table as report_table
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    rows = report_frame(opened)
    if as_json:
        print(json.dumps({"rows": rows.to_dicts()}, allow_nan=False))
        return
    print(report_table(rows, opened.damaged))
    for run in opened.runs():
        if reason := opened.stale(run):
            say(f"{run.name} is stale: {reason}.")


@runs_app.command("import")
def import_run(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The run's name.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, Parquet, or npy files.")],
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


@labels_app.command("import")
def import_labels(
    workspace: WorkspacePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The label set's name.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet.")],
    absent: Annotated[
        Literal["wrong", "unjudged"] | None, typer.Option(help="What a class that the file does not name is.")
    ] = None,
) -> None:
    """Bring in labels: one or many classes an item."""
    from analysis.imports import import_labels as import_label_set
    from analysis.workspace import Workspace

    labels = import_label_set(Workspace.open(workspace), name, file, absent=absent)
    items, scored = labels.items.height, int(labels.items["scored"].sum())
    say(f"{labels.name}: {labels.labels.height:,} labels of {items:,} items, {scored:,} of them scored.")


@space_app.command("build")
def build_space(
    workspace: WorkspacePath,
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="A model reference, as for evaluate.")],
    device: Device = "auto",
    anew: Annotated[bool, typer.Option(help="Make every step anew.")] = False,
) -> None:
    """Embeddings, index, projection and clusters; steps that are fresh are skipped."""
    from analysis.spaces import build
    from analysis.workspace import Workspace

    with progress_bars() as progress:
        space, steps = build(Workspace.open(workspace), encoder, device=device, anew=anew, progress=progress)
    made = ", ".join(f"{step} {how}" for step, how in steps.items())
    say(f"{space.name}: {len(space.items):,} vectors ({made}).")


@app.command()
def serve(
    workspaces: Annotated[list[Path], typer.Argument(metavar="WS...", help="Workspaces to show.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
) -> None:
    """Show workspaces in the browser."""
    from app.server import serve as serve_workspaces

    serve_workspaces(workspaces, host=host, port=port)


@app.command()
def demo(
    workspace: Annotated[Path, typer.Argument(metavar="WS", help="Where to build it.")] = Path("demo"),
    dataset: Annotated[Literal["cutouts", "imagenette"], typer.Option(help="Which pictures.")] = "cutouts",
    stamps: Annotated[Path | None, typer.Option(help="Folder of Tux Paint's stamps, instead of fetching.")] = None,
    scenes: Annotated[int, typer.Option(help="How many scenes to compose.")] = 1500,
    seed: Annotated[int, typer.Option(help="Another seed, other scenes.")] = 0,
    then_serve: Annotated[bool, typer.Option("--serve", help="Serve it when it is built.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
) -> None:
    """Build the demo workspace: composed photographs, three real classifiers, and the whole truth."""
    from analysis.demo import build

    with progress_bars() as progress:
        made = build(workspace, dataset=dataset, stamps=stamps, scenes=scenes, seed=seed, progress=progress)
    say(f"The demo is ready in {made.path}.")
    if then_serve:
        serve([workspace], host, port)


@app.command()
def gc(workspace: WorkspacePath) -> None:
    """Remove past versions and what killed writers left behind."""
    from analysis.workspace import sweep_workspace

    removed = sweep_workspace(workspace)
    say(f"Removed {len(removed)} folders.")


def main() -> None:
    """Run the command line; errors that a person can mend are one message and exit code 1."""
    try:
        app()
    except ErrataError as error:
        say(f"errata: {error}")
        sys.exit(1)
