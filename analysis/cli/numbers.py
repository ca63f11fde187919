"""Commands that answer: reports, outcomes, comparisons, suspects, slices."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say
from analysis.errors import InputError

if TYPE_CHECKING:
    from analysis.slices.saved import SavedSlice


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
    top_k: Annotated[str, typer.Option("--top-k", help="Ranks to report, with commas between.")] = "1,5",
    dense: Annotated[
        bool, typer.Option("--dense", help="Also the metrics that need the scores of all classes or a hierarchy.")
    ] = False,
    slice_: Annotated[str | None, typer.Option("--slice", metavar="SLICE", help="Only the items of a slice.")] = None,
    distance: Annotated[
        Literal["hierarchy", "embedding"], typer.Option(help="Between classes, for graded_error and loki_accuracy.")
    ] = "hierarchy",
    space: Annotated[
        str | None, typer.Option(help="Whose clusters --by cluster takes, and whose embeddings; default: the first.")
    ] = None,
    resample: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Bootstrap that draws items equal in this column as one.")
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Every metric of runs under label sets, with intervals."""
    from analysis import report as reports
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    chosen: reports.Common = "all" if common_items else "own" if own_items else "runs"
    options = reports.ReportOptions(
        runs=_names(runs),
        labels=_names(labels),
        by=by,
        common_items=chosen,
        top_k=_ranks(top_k),
        dense=dense,
        distance=distance,
        slice=slice_,
        space=space,
        resample=resample,
        confidence=confidence,
        seed=seed,
    )
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


def _ranks(text: str) -> tuple[int, ...]:
    """Positive numbers with commas between. Raises InputError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--top-k takes numbers from 1 with commas between, such as 1,5; not {text!r}.")
    return tuple(dict.fromkeys(map(int, parts)))


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
    for name, basis in found["causes"].items():
        say(f"{name}: {basis}")


@app.command()
def compare(
    workspace: WorkspacePath,
    a: Annotated[str | None, typer.Argument(metavar="A", help="A run's name.", show_default=False)] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Another run's name; differences are A - B.", show_default=False)
    ] = None,
    labels: Annotated[str, typer.Option(help="The label set to judge by.")] = "original",
    every: Annotated[bool, typer.Option("--all", help="Every pair of runs, with p-values corrected for that.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="With --all: print CSV.")] = False,
) -> None:
    """Whether one run is truly better than another: flips both ways, differences with intervals, tests."""
    from analysis.results.comparisons import compare_runs
    from analysis.results.many_runs import compare_every_pair
    from analysis.workspace import Workspace

    if every == (a is not None) or (a is None) != (b is None) or (as_csv and not every):
        raise InputError("Name two runs, A and B, or give --all for every pair; --csv goes with --all.")
    opened = Workspace.open(workspace)
    if a is None or b is None:
        pairs = compare_every_pair(opened, labels)
        if as_json:
            print(json.dumps({"labels": labels, "rows": pairs.to_dicts()}, allow_nan=False))
        elif as_csv:
            print(pairs.write_csv(), end="")
        else:
            for row in pairs.iter_rows(named=True):
                difference = "–" if row["micro"] is None else f"{row['micro']:+.4f}"
                p = "–" if row["p_holm"] is None else f"{row['p_holm']:.3g}"
                print(f"{row['a']}  {row['b']}  {difference}  p {p}" + ("" if row["decidable"] else "  not decidable"))
        say(f"{pairs.height:,} pairs; p is McNemar's, Holm-corrected over them in the table.")
        return
    found = compare_runs(opened, a, b, labels).to_dict()
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
    against: Annotated[
        str | None,
        typer.Option(help="The label set that measures the signals; default: the most trusted that tells them apart."),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV: item,key,original,suggested,score,signal; keys exactly as they are."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Items whose original label is suspect, the most suspicious first, and how far each signal is to be trusted."""
    from analysis.results.suspects import suspected_errors, telling
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    measure = telling(opened) if against is None else against
    listed, quality = suspected_errors(opened, _names(runs), signal=signal, against=measure)
    if as_json:
        rows, measured = listed.drop("signal").to_dicts(), quality.to_dicts()
        first = listed["signal"][0] if listed.height else signal
        print(json.dumps({"signal": first, "against": measure, "signals": measured, "suspects": rows}, allow_nan=False))
        return
    if measure is None:
        say("No label set disputes some original labels and keeps others: no signal is measured.")
    elif quality["auroc"].is_null().all():
        say(f"{measure} does not dispute some original labels and keep others: it measures no signal.")
    elif note := opened.labels(measure).note:
        say(f"{measure}: {note}")
    for row in quality.iter_rows(named=True):
        figures = "not measured"
        if row["auroc"] is not None:
            figures = f"AUROC {row['auroc']:.3f}, AP {row['average_precision']:.3f} against {measure}"
            figures += f" (base rate {row['base_rate']:.3f}, n = {row['n']:,})"
        say(f"{row['signal']}: {figures}{'; ' if row['note'] else ''}{row['note']}")
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
    line: Annotated[
        str | None,
        typer.Argument(
            metavar="SLICE",
            help='Such as "outcome=correct & confidence >= 0.9", or @NAME (or @ID) for a saved one. Without it, the '
            "saved ones are listed.",
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="The run that outcomes are of; default: the best.")] = None,
    labels: Annotated[str | None, typer.Option(help="The label set to judge by; default: the most telling.")] = None,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="Save the slice under this name.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items of a slice, as the pages show them."""
    from analysis.lens import Lens, default_lens, frame
    from analysis.slices import Slice, saved
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    if line is None:
        return _list_slices(saved.listed(opened), as_json)
    if line.startswith("@"):
        line = saved.named(opened, line[1:]).text
    asked = Slice.parse(line)
    first = default_lens(opened)
    rows = frame(opened, Lens(run or first.run, labels or first.labels, first.space), also=asked.columns())
    chosen = asked.apply(rows)
    slice_id = None if save is None else saved.save(opened, line, name=save)
    if as_json:
        told = {"slice": str(asked), "n": chosen.height, "items": chosen["item"].to_list()}
        print(json.dumps(told if slice_id is None else told | {"id": slice_id}))
        return
    for item, key in chosen.select("item", "key").iter_rows():
        print(f"{item}\t{key!r}")
    say(f"{chosen.height:,} of {rows.height:,} items.")
    if slice_id is not None:
        say(f"Saved as {save!r}; in the pages' addresses slice={slice_id}.")


def _list_slices(listed: "list[SavedSlice]", as_json: bool) -> None:
    if as_json:
        print(json.dumps({"slices": [{"id": one.id, "name": one.name, "slice": one.text} for one in listed]}))
        return
    for one in listed:
        print(f"{one.id}\t{one.name}\t{one.text}")
    if not listed:
        say("No slice is saved under a name here; --save NAME does it.")
