"""Comparisons of two of a workspace's runs. `within` leaves some items, by number: those of a slice."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import comparison
from analysis.comparison import Comparison, LabelSetContrast
from analysis.groupings import grouping
from analysis.labels.sets import Unclear
from analysis.metrics import accuracy, on_items
from analysis.results.outcomes import accepting, run_outcomes
from analysis.results.standings import alike, facts, groupable
from analysis.workspace import Run, Workspace

Items = NDArray[np.uint32]

OUTCOME_OF = "outcome@"

DIFFERENCES_SCHEMA = {
    "labels": pl.String(),
    "mean": pl.String(),  # micro or class mean
    "n": pl.UInt32(),
    "difference": pl.Float64(),  # A - B
    "low": pl.Float64(),
    "high": pl.Float64(),
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
    "decidable": pl.Boolean(),
    "p": pl.Float64(),  # of the micro difference: exact where there are few flips, else McNemar's
}


def compare_runs(
    workspace: Workspace,
    a: str,
    b: str,
    labels: str,
    *,
    unclear: Unclear = "lenient",
    within: Items | None = None,
) -> Comparison:
    """Two runs on their common items under a label set; see analysis.comparison.

    Raises WorkspaceError for a run or label set that does not exist.
    """
    pair = workspace.run(a), workspace.run(b)
    return comparison.compare(
        pair[0].predictions,
        pair[1].predictions,
        accepting(workspace, labels),
        workspace.original_labels,
        names=(a, b),
        unclear=unclear,
        scores=_dense(pair),
        within=within,
    )


def _dense(runs: tuple[Run, Run]) -> tuple[np.ndarray, np.ndarray] | None:
    """Both runs' dense scores, None where these cannot be added (see `dense_scores`)."""
    first, second = (dense_scores(run) for run in runs)
    if first is None or second is None or first.shape[1] != second.shape[1]:
        return None
    return first, second


def dense_scores(run: Run) -> NDArray[np.float16] | None:
    """A run's scores of all classes; None where it has none, or chose among other classes than they are of."""
    return run.scores() if run.manifest.get("competing", "all") == "all" else None


def paired_runs(
    workspace: Workspace, a: str, b: str, labels: str, *, unclear: Unclear = "lenient", within: Items | None = None
) -> pl.DataFrame:
    """The items behind `compare_runs`, in the columns of analysis.comparison.PAIRED_SCHEMA."""
    return comparison.paired_items(
        workspace.run(a).predictions,
        workspace.run(b).predictions,
        accepting(workspace, labels),
        workspace.original_labels,
        unclear=unclear,
        within=within,
    )


def differences(workspace: Workspace, a: str, b: str, *, within: Items | None = None) -> pl.DataFrame:
    """A - B under every label set, micro and class-mean, in the columns of DIFFERENCES_SCHEMA.

    Each label set scores its own items.
    """
    rows = []
    for name in workspace.label_set_names():
        found = comparison.compare(
            workspace.run(a).predictions,
            workspace.run(b).predictions,
            accepting(workspace, name),
            workspace.original_labels,
            within=within,
        )
        p = found.p_value if found.p_exact is None else found.p_exact
        for mean, one in (("micro", found.difference_micro), ("class mean", found.difference_class_mean)):
            numbers = (one.value, one.low, one.high, one.bound_low, one.bound_high)
            rows.append((name, mean, found.n, *numbers, one.decidable, p if mean == "micro" else None))
    return pl.DataFrame(rows, schema=DIFFERENCES_SCHEMA, orient="row")


def contrasts(
    workspace: Workspace, a: str, b: str, labels: str, *, within: Items | None = None
) -> dict[str, LabelSetContrast]:
    """A label set against each other one: whether they disagree about A and B (micro), on the items both score."""
    return {
        other: comparison.contrast_label_sets(
            workspace.run(a).predictions,
            workspace.run(b).predictions,
            accepting(workspace, labels),
            accepting(workspace, other),
            workspace.original_labels,
            within=within,
        )
        for other in workspace.label_set_names()
        if other != labels
    }


# ---- by groups


def groupings_of_pair(workspace: Workspace, a: str, b: str) -> list[str]:
    """What flips can be grouped by here: names for `groups_of_pair`."""
    return [*groupable(workspace), *(f"{OUTCOME_OF}{run}" for run in (a, b))]


def groups_of_pair(workspace: Workspace, by: str, labels: str, *, space: str | None = None) -> pl.DataFrame:
    """item and group (text): by class, superclass, group, cluster, outcome@RUN or a column of the items.

    Classes go by their display names, clusters by number and majority class. Raises InputError for a name that is
    none of these.
    """
    if by.startswith(OUTCOME_OF):
        found = run_outcomes(workspace, by.removeprefix(OUTCOME_OF), labels)
        return found.select("item", group=pl.col("outcome").cast(pl.String))
    if by == "class":
        names = pl.Series(workspace.classes().display_names(), dtype=pl.String)
        items = workspace.items().filter(~pl.col("missing") & pl.col("label").is_not_null())
        return items.select("item", group=names.gather(items["label"]))
    found = grouping(workspace, by, space=space)(accepting(workspace, labels))
    return _with_names(workspace, found) if by == "cluster" else found


def _with_names(workspace: Workspace, clusters: pl.DataFrame) -> pl.DataFrame:
    """item and group, clusters called by number and the original label that most of their items have."""
    names = pl.Series(workspace.classes().display_names(), dtype=pl.String)
    labels = pl.Series(workspace.original_labels).gather(clusters["item"])
    most = (
        clusters.with_columns(label=labels)
        .filter(pl.col("label") >= 0)
        .group_by("group")
        .agg(pl.col("label").mode().min())
        .with_columns(named=pl.format("{} {}", "group", pl.lit(names).gather(pl.col("label"))))
    )
    named = clusters.join(most, on="group", how="left", maintain_order="left")
    return named.select("item", group=pl.col("named").fill_null(pl.col("group")))


def outcomes_of_pair(workspace: Workspace, a: str, b: str, labels: str, paired: pl.DataFrame) -> pl.DataFrame:
    """How often each of two runs has each outcome on `paired` items: run, outcome, unjudged, is_right, n, total."""
    counted = [
        run_outcomes(workspace, run, labels)
        .join(paired, on="item", how="semi")
        .group_by("outcome", "unjudged", is_right="right")
        .agg(n=pl.len())
        .sort("outcome", "is_right", "unjudged", descending=[False, True, False])
        .select(pl.lit(run).alias("run"), "outcome", "unjudged", "is_right", "n", total=pl.lit(paired.height))
        for run in (a, b)
    ]
    return pl.concat(counted)


# ---- which run


def accuracies(
    workspace: Workspace, labels: str, *, runs: Sequence[str] | None = None, within: Items | None = None
) -> pl.DataFrame:
    """Each run's micro accuracy under a label set on its own items, the best first: run, labels, value, n."""
    rows = []
    for name in workspace.run_names() if runs is None else runs:
        predictions = workspace.run(name).predictions
        found = accuracy(predictions if within is None else on_items(predictions, within), accepting(workspace, labels))
        rows.append((name, labels, found.value, found.n))
    schema = {"run": pl.String, "labels": pl.String, "value": pl.Float64, "n": pl.UInt32}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.sort("value", "run", descending=[True, False], nulls_last=True)


def other_run(workspace: Workspace, run: str, labels: str) -> str | None:
    """The best run to compare a run with: one with as hard a task where there is one; None when it is the only one."""
    ranked = accuracies(workspace, labels)["run"].to_list()
    peers = set(alike(facts(workspace), run))
    return next(iter(sorted((name for name in ranked if name != run), key=lambda name: name not in peers)), None)
