"""How all runs of a workspace stand beside each other, on all items or on those of a slice.

Numbers that stand side by side are of the same items: those that every run has a prediction for. A run with a mark
(see `facts`) had an easier task than the others; it is shown, but ranked only among its like.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import groupings, outcomes
from analysis.calibration import Calibration, calibration
from analysis.estimates import Estimate, Groups
from analysis.intervals import cell_means, wilson
from analysis.labels import hierarchy as hierarchies
from analysis.lens import map_clusters, map_space, metadata_columns
from analysis.many_runs import compare_all, pareto_front
from analysis.metrics import accuracy, common_items, judge, on_items
from analysis.models.predictions import Predictions
from analysis.results.outcomes import accepting, run_outcomes
from analysis.slices import MAX_VALUES
from analysis.workspace import Workspace

Items = NDArray[np.uint32]
LEVEL = 0.05
"""Corrected p-value below which two runs are told apart."""
FEW = 5
"""A group of fewer items than this says little."""

FACTS_SCHEMA = {
    "run": pl.String(),
    "mark": pl.String(),  # why its numbers are no others' equals; "" for nothing
    "items": pl.UInt32(),  # that it covers
    "images_per_second": pl.Float64(),  # null where not recorded
    "made": pl.String(),  # date
    "stale": pl.String(),  # why, null while fresh
}
OUTCOME_COUNTS_SCHEMA = {
    "run": pl.String(),
    "outcome": outcomes.OUTCOMES,
    "unjudged": pl.Boolean(),
    "is_right": pl.Boolean(),  # null where not scored
    "n": pl.UInt32(),
    "total": pl.UInt32(),  # scored items of the run
    "right": pl.Float64(),  # micro accuracy of the run; null without a scored item
}
GROUPS_SCHEMA = {
    "group": pl.String(),
    "n": pl.UInt32(),
    "n_unjudged": pl.UInt32(),
    "value": pl.Float64(),  # micro accuracy with Wilson's interval
    "low": pl.Float64(),
    "high": pl.Float64(),
    "others": pl.Float64(),  # mean accuracy of the other runs on the same items; null where there is no other
    "gap": pl.Float64(),  # value - others, with its paired interval
    "gap_low": pl.Float64(),
    "gap_high": pl.Float64(),
}


def facts(workspace: Workspace) -> pl.DataFrame:
    """What is known of each run beside its numbers, in the columns of FACTS_SCHEMA."""
    rows = []
    for run in workspace.runs():
        made = run.manifest
        competing = made.get("competing", "all")
        marks = [] if competing == "all" else [f"among {len(competing):,} classes"]
        if made.get("seen_in_training") == "yes":
            marks.append("trained on these images")
        rows.append(
            {
                "run": run.name,
                "mark": ", ".join(marks),
                "items": len(run.predictions.items),
                "images_per_second": made.get("inference", {}).get("images_per_second"),
                "made": made["created"][:10],
                "stale": workspace.stale(run),
            }
        )
    return pl.DataFrame(rows, schema=FACTS_SCHEMA)


def comparable(known: pl.DataFrame) -> list[str]:
    """Of `facts`, the runs without a mark; where each has one, all."""
    unmarked = known.filter(mark="")
    return (unmarked if unmarked.height else known)["run"].to_list()


def alike(known: pl.DataFrame, run: str) -> list[str]:
    """Of `facts`, the other runs with the same mark as this one."""
    mark = known.filter(run=run)["mark"]
    return known.filter(pl.col("mark").is_in(mark.implode()), pl.col("run") != run)["run"].to_list()


def on_common_items(workspace: Workspace, items: Items | None = None) -> dict[str, Predictions]:
    """All runs on the items (sorted) that each of them has a prediction for; a run without any item counts not."""
    runs = {run.name: run.predictions for run in workspace.runs() if len(run.predictions.items)}
    common = common_items(runs)
    if items is not None:
        common = np.intersect1d(common, items, assume_unique=True)
    return {name: on_items(run, common) for name, run in runs.items()}


# ---- the best


@dataclass(frozen=True)
class Leader:
    """The run that is right most often under a label set, micro, and how sure that is."""

    run: str
    accuracy: Estimate
    """Of at least one item."""
    runs: int
    """Runs that were compared: those without a mark."""
    pairs: int
    """Pairs of them, for which the tests are corrected: it was not known beforehand which would lead."""
    level: list[str]
    """Not told apart from it: McNemar's test, Holm's correction, p >= 0.05; the best first."""
    undecided: list[str]
    """Told apart from it, but unjudged predictions could turn the order."""


def leader(workspace: Workspace, labels: str, *, items: Items | None = None) -> Leader | None:
    """The best of the comparable runs and who cannot be told from it; None where no item is scored.

    Raises WorkspaceError for a label set that does not exist.
    """
    known, under = facts(workspace), accepting(workspace, labels)
    everyone = on_common_items(workspace, items)
    runs = {name: everyone[name] for name in comparable(known) if name in everyone}
    found = {name: accuracy(run, under) for name, run in runs.items()}
    order = sorted((name for name in found if found[name].n), key=lambda name: -(found[name].value or 0.0))
    if not order:
        return None
    best = order[0]
    pairs = compare_all(runs, under, workspace.original_labels)
    with_best = pairs.filter((pl.col("a") == best) | (pl.col("b") == best)).with_columns(
        other=pl.when(pl.col("a") == best).then("b").otherwise("a")
    )
    same = set(with_best.filter(pl.col("p_holm") >= LEVEL)["other"])
    open_ = set(with_best.filter(~pl.col("decidable"))["other"]) - same
    return Leader(
        best,
        found[best],
        runs=len(order),
        pairs=pairs.height,
        level=[name for name in order if name in same],
        undecided=[name for name in order if name in open_],
    )


# ---- side by side, outcomes, cost, order


def side_by_side(report: pl.DataFrame, metric: str) -> pl.DataFrame:
    """One metric of a report as one row a run, in percent, in the report's order.

    Columns: run, then for each label set L `value L`, `± L` (half the interval), `n L`, and where L is open
    `unjudged L` (predictions that it says nothing of) and `at most L` (the value if all of them were right).
    """
    rows = report.filter(pl.col("metric") == metric, pl.col("group").is_null())
    table = rows.select("run").unique(maintain_order=True)
    for (labels,), of in rows.group_by("labels", maintain_order=True):
        columns = {
            f"value {labels}": 100 * pl.col("value"),
            f"± {labels}": 50 * (pl.col("high") - pl.col("low")),
            f"n {labels}": pl.col("n"),
        }
        if of["n_unjudged"].null_count() < of.height:
            columns |= {f"unjudged {labels}": pl.col("n_unjudged"), f"at most {labels}": 100 * pl.col("bound_high")}
        table = table.join(of.select("run", **columns), on="run", how="left", maintain_order="left")
    return table


def outcome_counts(workspace: Workspace, labels: str, *, items: Items | None = None) -> pl.DataFrame:
    """How often each run has each outcome under a label set, in the columns of OUTCOME_COUNTS_SCHEMA, best first.

    Raises WorkspaceError for a label set that does not exist.
    """
    runs = on_common_items(workspace, items)
    common = pl.DataFrame({"item": next(iter(runs.values())).items if runs else np.zeros(0, np.uint32)})
    counted = [
        run_outcomes(workspace, run, labels)
        .join(common, on="item", how="semi")
        .group_by("outcome", "unjudged", is_right="right")
        .agg(n=pl.len())
        .select(pl.lit(run).alias("run"), "outcome", "unjudged", "is_right", pl.col("n").cast(pl.UInt32))
        for run in runs
    ]
    if not counted:
        return pl.DataFrame(schema=OUTCOME_COUNTS_SCHEMA)
    scored = pl.col("n").filter(pl.col("is_right").is_not_null()).sum().over("run")
    right = pl.col("n").filter(pl.col("is_right")).sum().over("run")
    return (
        pl.concat(counted)
        .with_columns(total=scored, right=pl.when(scored > 0).then(right / scored))
        .cast(OUTCOME_COUNTS_SCHEMA)  # type: ignore[arg-type]
        .sort("right", "run", "outcome", "unjudged", descending=[True, False, False, False], nulls_last=True)
    )


def progress(counts: pl.DataFrame, runs: Sequence[str]) -> pl.DataFrame:
    """How outcomes shift as accuracy grows, of `outcome_counts`: the plot of Peychev et al. (NeurIPS 2023).

    Columns: run, accuracy (micro), outcome, is_right, n, share (of the scored items), n_unjudged, share_judged.
    A row for each run and each outcome that any run has beside `correct`, the least accurate run first.
    """
    scored = counts.filter(pl.col("is_right").is_not_null(), pl.col("run").is_in(list(runs)))
    kinds = scored.filter(pl.col("outcome") != "correct").select("outcome", "is_right").unique()
    each = scored.select("run", accuracy="right", total="total").unique()
    summed = scored.group_by("run", "outcome", "is_right").agg(
        pl.col("n").sum(), n_unjudged=pl.col("n").filter("unjudged").sum()
    )
    return (
        each.join(kinds, how="cross")
        .join(summed, on=["run", "outcome", "is_right"], how="left")
        .with_columns(pl.col("n", "n_unjudged").fill_null(0))
        .with_columns(
            share=pl.col("n") / pl.col("total"), share_judged=(pl.col("n") - pl.col("n_unjudged")) / pl.col("total")
        )
        .select("run", "accuracy", "outcome", "is_right", "n", "share", "n_unjudged", "share_judged")
        .sort("accuracy", "run", "outcome", "is_right")
    )


def costs(accuracies: pl.DataFrame, known: pl.DataFrame, runs: Sequence[str]) -> pl.DataFrame:
    """Accuracy beside cost of the runs that record one: run, milliseconds (an image), value, low, high, front.

    `accuracies` has run, value, low and high of one metric under one label set. `front`: no other run is both
    cheaper and better.
    """
    priced = (
        accuracies.filter(pl.col("run").is_in(list(runs)), pl.col("value").is_not_null())
        .join(known.select("run", "images_per_second"), on="run")
        .filter(pl.col("images_per_second") > 0)
        .select("run", "value", "low", "high", milliseconds=1000 / pl.col("images_per_second"))
    )
    front = pareto_front(priced["milliseconds"].to_numpy(), priced["value"].to_numpy())
    return priced.with_columns(front=pl.Series(front, dtype=pl.Boolean)).sort("milliseconds", "run")


def ranks(accuracies: pl.DataFrame, runs: Sequence[str]) -> pl.DataFrame:
    """The place of each run under each label set: run, labels, value, rank (1 is best; equals share the lower one).

    `accuracies` has run, labels and value of one metric.
    """
    return (
        accuracies.filter(pl.col("run").is_in(list(runs)), pl.col("value").is_not_null())
        .with_columns(rank=pl.col("value").rank("min", descending=True).over("labels"))
        .select("run", "labels", "value", "rank")
    )


# ---- one run, by groups


def groupable(workspace: Workspace) -> list[str]:
    """What a run can be looked at by: superclass, group, cluster, class, and columns of few different values."""
    hierarchy = hierarchies.hierarchy_of(workspace.classes())
    found = []
    if hierarchy is not None:
        found.append("superclass")
        if hierarchies.groups(hierarchy, len(workspace.classes())) is not None:
            found.append("group")
    space = map_space(workspace)
    if space is not None and map_clusters(workspace.space(space)) is not None:
        found.append("cluster")
    found.append("class")
    items = workspace.items().filter(~pl.col("missing"))
    for name in ["split", *metadata_columns(workspace)]:
        kind = items.schema[name]
        if name in groupings.GROUPINGS or kind.is_nested() or kind.is_float() or kind in (pl.Binary, pl.Object):
            continue
        values = items[name].drop_nulls()
        if 2 <= values.n_unique() <= min(MAX_VALUES, len(values) // FEW):
            found.append(name)
    return found


def by_group(
    workspace: Workspace, run: str, labels: str, by: str, *, space: str | None = None, items: Items | None = None
) -> pl.DataFrame:
    """A run's micro accuracy in each group beside the other runs of its like, in the columns of GROUPS_SCHEMA.

    `by` is what `groupings.grouping` takes; classes carry their display names. The furthest behind comes first,
    without other runs the least accurate. Raises WorkspaceError and InputError as `grouping` does.
    """
    under = accepting(workspace, labels)
    runs = on_common_items(workspace, items)
    if run not in runs:
        return pl.DataFrame(schema=GROUPS_SCHEMA)
    judged = judge(runs[run], under)
    groups = Groups.from_frame(groupings.grouping(workspace, by, space=space)(under))
    rows, codes = groups.rows(runs[run].items)
    rows, codes = rows[judged.scored[rows]], codes[judged.scored[rows]]
    size = len(groups.names)
    n = np.bincount(codes, minlength=size)
    hits = np.bincount(codes[judged.right[rows]], minlength=size)
    low, high = wilson(hits, n)
    others = gap = gap_low = gap_high = np.full(size, np.nan)
    if peers := [name for name in alike(facts(workspace), run) if name in runs]:
        share = np.mean([judge(runs[name], under).right[rows] for name in peers], axis=0, dtype=np.float64)
        difference = judged.right[rows] - share
        sums = [np.bincount(codes, weights, minlength=size) for weights in (difference, difference**2)]
        paired = cell_means(n, *sums, groups=np.arange(size), n_groups=size, limits=(-1, 1))
        gap, gap_low, gap_high = paired.value, paired.low, paired.high
        others = np.bincount(codes, share, minlength=size) / np.maximum(n, 1)
    frame = pl.DataFrame(
        {
            "group": _names(workspace, by, groups.names),
            "n": n,
            "n_unjudged": np.bincount(codes[judged.unjudged[rows]], minlength=size),
            "value": hits / np.maximum(n, 1),
            "low": low,
            "high": high,
            "others": others,
            "gap": gap,
            "gap_low": gap_low,
            "gap_high": gap_high,
        },
        schema=GROUPS_SCHEMA,
        strict=False,
    ).filter(pl.col("n") > 0)
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort("gap", "value", "group", nulls_last=True)


def telling(groups: pl.DataFrame, most: int, *, least: int = FEW) -> pl.DataFrame:
    """Of `by_group`, at most so many to draw: the furthest behind and the furthest ahead, in the same order.

    Groups of fewer than `least` items are left out where others remain: their gaps are mostly chance.
    """
    large = groups.filter(pl.col("n") >= least)
    kept = large if large.height else groups
    if kept.height <= most:
        return kept
    if kept["gap"].null_count() == kept.height:
        return kept.head(most)
    behind = most - most // 2
    return pl.concat([kept.head(behind), kept.tail(most - behind)])


def items_of_group(workspace: Workspace, labels: str, by: str, group: str, *, space: str | None = None) -> list[int]:
    """The items of one group by number: for groups that are no column, as those of any valid class."""
    found = groupings.grouping(workspace, by, space=space)(accepting(workspace, labels))
    return found.filter(group=group)["item"].unique().sort().to_list()


def _names(workspace: Workspace, by: str, groups: Sequence[str | None]) -> list[str | None]:
    """Groups as the lens frame names them: `grouping` gives classes by id."""
    if by != "class":
        return list(groups)
    classes = workspace.classes()
    shown = dict(zip(classes.ids, classes.display_names(), strict=True))
    return [None if group is None else shown[group] for group in groups]


def run_calibration(workspace: Workspace, run: str, labels: str, *, items: Items | None = None) -> Calibration:
    """A run's reliability under a label set. Raises InputError where its scores give no probability."""
    predictions = workspace.run(run).predictions
    return calibration(predictions if items is None else on_items(predictions, items), accepting(workspace, labels))
