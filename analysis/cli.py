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
def report(
    workspace: WorkspacePath,
    runs: Annotated[str | None, typer.Option(help="Names of runs, with commas between; default: all.")] = None,
    labels: Annotated[str | None, typer.Option(help="Names of label sets, with commas between; default: all.")] = None,
    by: Annotated[
        str | None, typer.Option(help="class, superclass, group, cluster, level:DEPTH or a column of the items.")
    ] = None,
    common_items: Annotated[
        bool, typer.Option("--common-items", help="Only items that all these label sets score.")
    ] = False,
    own_items: Annotated[bool, typer.Option("--own-items", help="Each run on all items that it covers.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Every metric of runs under label sets, with intervals."""
    from analysis import report as reports
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    chosen: reports.Common = "all" if common_items else "own" if own_items else "runs"
    options = reports.ReportOptions(runs=_names(runs), labels=_names(labels), by=by, common_items=chosen)
    rows = reports.report(opened, options)
    if as_json:
        print(json.dumps({"rows": rows.to_dicts()}, allow_nan=False))
    elif as_csv:
        print(rows.write_csv(), end="")
    else:
        print(reports.markdown(rows) if as_markdown else reports.table(rows, opened.damaged))
    for run in opened.runs():
        if reason := opened.stale(run):
            say(f"{run.name} is stale: {reason}.")
        if run.manifest.get("seen_in_training") == "yes":
            say(f"{run.name} was trained on these images: its accuracies are training accuracies.")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


@app.command()
def outcomes(
    workspace: WorkspacePath,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")],
    labels: Annotated[str, typer.Option(help="The label set to judge by.")] = "original",
    as_json: AsJson = False,
) -> None:
    """Why each prediction of a run counts as it does: how often each outcome comes."""
    from analysis.results import outcome_report
    from analysis.workspace import Workspace

    found = outcome_report(Workspace.open(workspace), run, labels)
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return
    for name, n in found["counts"].items():
        unjudged = found["unjudged"].get(name, 0)
        print(f"{name:24}{n:>9,}" + (f"   {unjudged:,} of them unjudged" if unjudged else ""))
    print(f"{'n':24}{found['n']:>9,}")


@app.command()
def compare(
    workspace: WorkspacePath,
    a: Annotated[str, typer.Argument(metavar="A", help="A run's name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run's name; differences are A - B.")],
    labels: Annotated[str, typer.Option(help="The label set to judge by.")] = "original",
    as_json: AsJson = False,
) -> None:
    """Whether one run is truly better than another: flips both ways, differences with intervals, tests."""
    from analysis.results import compare_runs
    from analysis.workspace import Workspace

    found = compare_runs(Workspace.open(workspace), a, b, labels).to_dict()
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return
    for name, value in found.items():
        shown = "–" if value is None else value
        if isinstance(value, dict):
            shown = " ".join(f"{key} {part:+.4f}" for key, part in value.items() if part is not None)
        print(f"{name:24}{shown}")


@app.command()
def suspects(
    workspace: WorkspacePath,
    runs: Annotated[str | None, typer.Option(help="Names of runs, with commas between; default: all.")] = None,
    signal: Annotated[str | None, typer.Option(help="Which signal; default: the one that proves best here.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: item,key,original,suggested,score,signal.")] = False,
) -> None:
    """Items whose original label is suspect, the most suspicious first."""
    from analysis.results import suspected_errors
    from analysis.workspace import Workspace

    listed, quality = suspected_errors(Workspace.open(workspace), _names(runs), signal=signal)
    for row in quality.iter_rows(named=True):
        measured = f"AUROC {row['auroc']:.3f}, AP {row['average_precision']:.3f}" if row["auroc"] is not None else "–"
        say(f"{row['signal']}: {measured} (base rate {row['base_rate']:.3f}, n = {row['n']:,})")
    if as_csv:
        print(listed.write_csv(), end="")
        return
    for row in listed.head(20).iter_rows(named=True):
        print(f"{row['score']:10.4f}  {row['key']!r}  {row['original']} -> {row['suggested']}")
    if listed.height > 20:
        say(f"The first 20 of {listed.height:,}; --csv prints all.")


@app.command("slice")
def show_slice(
    workspace: WorkspacePath,
    line: Annotated[str, typer.Argument(metavar="SLICE", help='Such as "outcome=mistake & confidence >= 0.9".')],
    run: Annotated[str | None, typer.Option(help="The run that outcomes are of; default: the best.")] = None,
    labels: Annotated[str | None, typer.Option(help="The label set to judge by; default: the most telling.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items of a slice, as the pages show them."""
    from analysis.lens import Lens, default_lens, frame
    from analysis.slices import Slice
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    first = default_lens(opened)
    rows = frame(opened, Lens(run or first.run, labels or first.labels, first.space))
    chosen = Slice.parse(line).apply(rows)
    if as_json:
        print(json.dumps({"slice": str(Slice.parse(line)), "n": chosen.height, "items": chosen["item"].to_list()}))
        return
    for item, key in chosen.select("item", "key").iter_rows():
        print(f"{item}\t{key!r}")
    say(f"{chosen.height:,} of {rows.height:,} items.")


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
