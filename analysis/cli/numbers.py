"""Commands that answer: reports, outcomes, comparisons, suspects, slices."""

import json
from typing import Annotated

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say


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
    from analysis.results.outcomes import outcome_report
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
    from analysis.results.comparisons import compare_runs
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
    from analysis.results.suspects import suspected_errors
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
