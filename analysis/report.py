"""The numbers of a workspace: every run under every label set."""

from collections.abc import Mapping, Sequence

import polars as pl

from analysis import metrics
from analysis.workspace import Workspace


def report(
    workspace: Workspace, runs: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> pl.DataFrame:
    """One row for each run, label set and metric; see analysis.metrics.report for the columns.

    None takes all of them. Raises WorkspaceError for a name that does not exist.
    """
    chosen_runs = workspace.run_names() if runs is None else runs
    chosen_labels = workspace.label_set_names() if labels is None else labels
    return metrics.report(
        {name: workspace.run(name).predictions for name in chosen_runs},
        [workspace.labels(name) for name in chosen_labels],
        workspace.original_labels,
        n_classes=len(workspace.classes()),
    )


def table(rows: pl.DataFrame, damaged: Mapping[str, str] | None = None) -> str:
    """The report as text for a terminal: percent with one decimal and half the interval's width.

    What could not be opened (Workspace.damaged) follows, with the reason.
    """
    missing = [f"Not in this report: {home} could not be opened. {why}" for home, why in (damaged or {}).items()]
    if rows.is_empty():
        nothing = "Nothing to report: no runs. Add one with `errata evaluate` or `errata runs import`."
        return "\n".join(["Nothing to report.", *missing] if missing else [nothing])
    header = ("run", "labels", "metric", "value", "n", "unjudged", "bounds")
    lines = [header]
    for row in rows.iter_rows(named=True):
        bounds = "" if not row["n_unjudged"] else f"{row['bound_low']:.1%} to {row['bound_high']:.1%}"
        value = "–" if row["value"] is None else percent(row["value"], row["low"], row["high"])
        unjudged = f"{row['n_unjudged']:,}" if row["n_unjudged"] else ""
        lines.append((row["run"], row["labels"], row["metric"], value, f"{row['n']:,}", unjudged, bounds))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = {3, 4, 5}
    shown = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*shown, *missing])


def percent(value: float, low: float | None, high: float | None) -> str:
    """`86.1 ±0.3` in percent: the value and half its interval."""
    if low is None or high is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ±{50 * (high - low):.1f}"
