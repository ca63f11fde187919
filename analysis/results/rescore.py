"""Scores while people review: each run before and after the judgements so far, and what stands behind a change.

How an item counts that was read, or that nobody looked at, stands in analysis/results/judged.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.artefacts import Artefact
from analysis.errors import InputError
from analysis.labels.sets import Unclear
from analysis.metrics import common_items, on_items, targets
from analysis.models.predictions import Predictions
from analysis.results.judged import (
    Bools,
    Covered,
    Estimate,
    Floats,
    Items,
    Judgements,
    Predicted,
    Review,
    covered,
    estimate,
    judgements,
    predicted,
    review,
    rows_of,
)
from analysis.results.review_log import told
from analysis.results.taxonomy import hierarchy
from analysis.review import state
from analysis.review.estimates import Sample, after_review, class_mean_weights, micro_weights, share_right
from analysis.review.reviewed import EXCLUDING, reviewed
from analysis.workspace import Workspace

Metric = Literal["micro", "class_mean"]

REVIEWED = "reviewed"
"""The name of the label set that the team's decisions make."""
SCORES_SCHEMA = {
    "run": pl.String(),
    "metric": pl.Enum(["micro", "class_mean"]),
    "before": pl.Float64(),
    "estimate": pl.Float64(),  # null where the design does not allow one: see `why`
    "low": pl.Float64(),  # 95 % interval of the draw
    "high": pl.Float64(),
    "bound_low": pl.Float64(),  # if all that is undecided, and all that no design covers, were wrong
    "bound_high": pl.Float64(),
    "n": pl.UInt32(),  # items: scored by the base, and with a prediction of every run beside it
    "n_reviewed": pl.UInt32(),
    "n_unjudged": pl.UInt32(),  # of these, predictions without a decision
    "gained": pl.UInt32(),  # predictions found right that were counted wrong
    "lost": pl.UInt32(),
    "n_excluded": pl.UInt32(),  # newly, by a problem; they count as before
    "excluded_right": pl.UInt32(),  # of them, counted right before
    "design": pl.String(),
    "why": pl.String(),  # why there is no estimate, or no interval; null where both are there
}


def _weights(metric: Metric, counted: Bools, target: NDArray[np.int32]) -> Floats:
    return micro_weights(counted) if metric == "micro" else class_mean_weights(counted, target)


def _ends(one: Predicted) -> tuple[Floats, Floats, Floats]:
    return (
        one.after.astype(float),
        np.where(one.settled, one.after, 0.0),
        np.where(one.settled, one.after, 1.0),
    )


# ---- the questions


def scores(
    workspace: Workspace,
    base: str,
    queues: Sequence[str] | None = None,
    upto: int | None = None,
    *,
    items: Items | None = None,
    unclear: Unclear = "lenient",
) -> pl.DataFrame:
    """Each run's accuracies before and after review, in the columns of SCORES_SCHEMA: two rows a run, by name.

    Runs stand side by side: the items are those that every run has a prediction for; `items` (sorted) narrows them.
    `queues` (ids; None for all) are those whose designs count. Raises WorkspaceError for a label set, InputError for
    a queue that does not exist.
    """
    given = review(workspace, queues, upto)
    judged = _judgements(workspace, given, base, unclear)
    runs = {run.name: run.predictions for run in workspace.runs() if len(run.predictions.items)}
    return score_runs(given, judged, runs, workspace.original_labels, items=items)


def score_runs(
    given: Review,
    judged: Judgements,
    runs: Mapping[str, Predictions],
    original: NDArray[np.int32],
    *,
    items: Items | None = None,
) -> pl.DataFrame:
    """`scores` of runs, from what was judged; `original` (N,) is by item number."""
    common = common_items(runs)
    if items is not None:
        common = np.intersect1d(common, items, assume_unique=True)
    how = covered(given, common)
    found = []
    for name, run in runs.items():
        mine = on_items(run, common)
        one, target = predicted(judged, mine), targets(mine, original)
        for metric in ("micro", "class_mean"):
            weights = _weights(metric, one.scored, target)
            got = estimate(one.before.astype(float), _ends(one), how, one.settled, one.told, weights)
            found.append({"run": name, "metric": metric} | _row(got, one, weights > 0, how))
    return pl.DataFrame(found, schema=SCORES_SCHEMA)


def _row(got: Estimate, one: Predicted, counted: Bools, how: Covered) -> dict[str, object]:
    excluded = one.excluded & counted
    # An item can be read without a word on this prediction: another run's was asked about.
    unjudged = (one.unjudged | (how.read & ~one.settled)) & counted
    return {
        "before": got.found.before,
        "estimate": got.found.value,
        "low": got.found.low,
        "high": got.found.high,
        "bound_low": got.found.bound_low,
        "bound_high": got.found.bound_high,
        "n": got.found.n,
        "n_reviewed": got.found.n_reviewed,
        "n_unjudged": int(unjudged.sum()),
        "gained": int((one.after & ~one.before & counted).sum()),
        "lost": int((~one.after & one.before & counted).sum()),
        "n_excluded": int(excluded.sum()),
        "excluded_right": int((excluded & one.before).sum()),
        "design": "; ".join(how.words),
        "why": got.why,
    }


def _judgements(workspace: Workspace, given: Review, base: str, unclear: Unclear = "lenient") -> Judgements:
    return judgements(given.rows, workspace.labels(base), workspace.items(), hierarchy(workspace), unclear=unclear)


COMPARISON_SCHEMA = {
    "metric": pl.Enum(["micro", "class_mean"]),
    "before": pl.Float64(),  # differences A - B
    "estimate": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
    "n": pl.UInt32(),
    "n_differ": pl.UInt32(),  # items on which the two give different classes: all that a queue has to hold
    "n_reviewed": pl.UInt32(),  # of them
    "n_undecided": pl.UInt32(),
    "design": pl.String(),
    "why": pl.String(),
}


def compare_after(
    workspace: Workspace, a: str, b: str, base: str, queues: Sequence[str] | None = None, upto: int | None = None
) -> pl.DataFrame:
    """The difference A - B of two runs before and after review, in the columns of COMPARISON_SCHEMA: two rows.

    Where both give one class they stay equal, whatever is valid; an estimate needs a queue over the items on which
    they differ, and not the mistakes of one of them alone. Raises WorkspaceError for a run or label set, InputError
    for a queue that does not exist.
    """
    runs = {name: workspace.run(name).predictions for name in (a, b)}
    given = review(workspace, queues, upto)
    judged = _judgements(workspace, given, base)
    common = common_items(runs)
    first, second = (on_items(run, common) for run in runs.values()) if a != b else (on_items(runs[a], common),) * 2
    one, other = predicted(judged, first), predicted(judged, second)
    how = covered(given, common)
    differ = first.top1 != second.top1
    # Items on which both agree are a stratum of their own that is known.
    how = Covered(
        np.where(differ, how.stratum, len(how.random)), np.append(how.random, False), how.read, how.words, how.waiting
    )
    before = one.before.astype(float) - other.before
    a_ends, b_ends = _ends(one), _ends(other)
    ends = (a_ends[0] - b_ends[0], a_ends[1] - b_ends[2], a_ends[2] - b_ends[1])
    middle, least, most = (np.where(differ, values, 0.0) for values in ends)
    known = (one.settled & other.settled) | ~differ
    asked = (one.told & other.told) | ~differ
    target = targets(first, workspace.original_labels)
    found = []
    for metric in ("micro", "class_mean"):
        weights = _weights(metric, one.scored & other.scored, target)
        got = estimate(before, (middle, least, most), how, known, asked, weights, extremes=(-1.0, 1.0))
        n_same = int((~differ & (weights > 0)).sum())
        found.append(
            {
                "metric": metric,
                "before": got.found.before,
                "estimate": got.found.value,
                "low": got.found.low,
                "high": got.found.high,
                "bound_low": got.found.bound_low,
                "bound_high": got.found.bound_high,
                "n": got.found.n,
                "n_differ": got.found.n - n_same,
                "n_reviewed": got.found.n_reviewed - n_same,
                "n_undecided": got.n_undecided,
                "design": "; ".join(how.words),
                "why": got.why,
            }
        )
    return pl.DataFrame(found, schema=COMPARISON_SCHEMA)


@dataclass(frozen=True)
class ShareNone:
    """Of a run's mistakes under a base, the share that were none."""

    value: float | None
    low: float | None
    high: float | None
    """95 % interval of the draw."""
    n: int
    """Mistakes in the queue that were read."""
    size: int
    """Mistakes in the queue's strata, drawn or not: what the share speaks of."""
    mistakes: int
    """Mistakes of the run."""
    n_undecided: int
    """Of those read; they count as mistakes."""
    why: str | None
    """Why there is no share."""


def share_none(
    workspace: Workspace, run: str, queue: str, base: str = "original", upto: int | None = None
) -> ShareNone:
    """The share of a run's mistakes that were none, from one queue: a random one, or one that is complete.

    Raises WorkspaceError for a run or label set, InputError for a queue that does not exist.
    """
    given = review(workspace, [queue], upto)
    judged = _judgements(workspace, given, base)
    predictions = workspace.run(run).predictions
    one, how = predicted(judged, predictions), covered(given, predictions.items)
    wrong = one.scored & ~one.before & ~one.excluded
    inside = np.zeros(len(wrong), bool)
    inside[rows_of(predictions.items, given.designs[0].members)[0]] = True
    inside &= wrong
    read = inside & how.read
    undecided = read & ~one.settled
    stratum = np.where(inside, how.stratum, -1)
    sample = Sample(stratum, how.random, np.where(how.read, one.after.astype(float), np.nan))
    got = after_review(np.zeros(len(wrong)), sample, micro_weights(inside))
    why = None
    if not inside.any():
        why = "the queue holds no mistake of this run"
    elif not read.any():
        why = "none of them was read"
    elif n_unasked := int((undecided & ~one.told).sum()):
        why = f"on {n_unasked:,} of them readers were not asked about this prediction"
    elif got.value is None:
        why = "the queue is in its own order and not complete, or a stratum of it was not read"
    value, low, high = (None, None, None) if why else (got.value, got.low, got.high)
    several = len(np.unique(stratum[inside])) > 1
    if why is None and not several:
        share = share_right(sample, int(stratum[inside][0]))
        value, low, high = share.value, share.low, share.high
    n, size, mistakes, n_undecided = (int(part.sum()) for part in (read, inside, wrong, undecided))
    return ShareNone(value, low, high, n, size, mistakes, n_undecided, why)


CHANGES_SCHEMA = {
    "item": pl.UInt32(),
    "key": pl.String(),
    "class": pl.UInt32(),  # predicted
    "before": pl.Boolean(),  # counted right
    "after": pl.Boolean(),  # null: the item is excluded now
    "who": pl.List(pl.String()),  # whose judgements stand behind it, sorted; a panel's are under who recorded them
    "panel": pl.Boolean(),
    "when": pl.Datetime("us", "UTC"),  # of the newest of them
    "position": pl.Int64(),
}


def changes(workspace: Workspace, run: str, base: str, upto: int | None = None) -> pl.DataFrame:
    """The items on which review changed what a run's prediction counts as, with the judgements behind it.

    In the columns of CHANGES_SCHEMA, the newest change first. Raises WorkspaceError for a run or label set that
    does not exist.
    """
    given = review(workspace, [], upto)
    judged = _judgements(workspace, given, base)
    predictions = workspace.run(run).predictions
    one = predicted(judged, predictions)
    moved = one.scored & ((one.after != one.before) | one.excluded)
    found = pl.DataFrame(
        {
            "item": predictions.items[moved],
            "class": predictions.top1[moved].astype(np.uint32),
            "before": one.before[moved],
            "after": pl.Series(one.after[moved]).set(pl.Series(one.excluded[moved]), None),
        }
    )
    verdicts = state.readings(given.rows, "verdict").select("item", "class", "person", "panel", "time", "position")
    problems = state.readings(given.rows, "problem").filter(pl.col("value").is_in(EXCLUDING))
    pairs = found.filter(pl.col("after").is_not_null())
    own = pairs.select("item", "class").join(verdicts, on=["item", "class"])
    # A class may have become right or wrong by a word on another one: one above it, or "no further class".
    rest = pairs.join(own, on=["item", "class"], how="anti").select("item", "class")
    ended = state.readings(given.rows, "exhaustive")
    by_item = pl.concat([part.select("item", "person", "panel", "time", "position") for part in (verdicts, ended)])
    out = found.filter(pl.col("after").is_null()).select("item", "class")
    parts = [
        own,
        rest.join(by_item, on="item"),
        out.join(problems.select("item", "person", "panel", "time", "position"), on="item"),
    ]
    behind_ = pl.concat([part.select("item", "class", "person", "panel", "time", "position") for part in parts])
    by = behind_.group_by("item", "class").agg(
        who=pl.col("person").unique().sort(),
        panel=pl.col("panel").any(),
        when=pl.col("time").max(),
        position=pl.col("position").max(),
    )
    keys = workspace.items().select("item", "key")
    return (
        found.join(by, on=["item", "class"], how="left")
        .join(keys, on="item", how="left")
        .sort("position", "item", descending=[True, False], nulls_last=True)
        .select(list(CHANGES_SCHEMA))
        .cast(CHANGES_SCHEMA)  # type: ignore[arg-type]
    )


# ---- the label set


def publish_reviewed(workspace: Workspace, base: str, person: str, upto: int | None = None) -> Artefact:
    """Publish what the judgements make of a base as the label set `reviewed`; earlier versions of it stay.

    Its manifest has `base`, `base_version`, `position` (of the log), `judgements` (rows up to it), `person`.
    Raises WorkspaceError for a label set that does not exist, InputError for one that cannot be the base, and for a
    position that the log has not.
    """
    if base == REVIEWED:
        raise InputError("The base of `reviewed` is another label set: original, or one that was imported.")
    rows = told(workspace)
    last = int(rows["position"][-1]) if rows.height else 0
    if upto is not None and not 0 <= upto <= last:
        raise InputError(f"The review log of {workspace.name} ends at position {last:,}; {upto:,} is not in it.")
    position = last if upto is None else upto
    labels = reviewed(rows, workspace.labels(base), workspace.items(), upto=position, name=REVIEWED)
    details = {
        "base": base,
        "base_version": None if base == "original" else workspace.label_artefact(base).version,
        "position": position,
        "judgements": rows.filter(pl.col("position") <= position).height,
        "person": person,
    }
    return workspace.publish_labels(labels, details=details)


def behind(workspace: Workspace) -> str | None:
    """Why the label set `reviewed` is not of today, in words; None while it is, and where there is none."""
    if REVIEWED not in workspace.label_set_names():
        return None
    made = workspace.label_artefact(REVIEWED)
    if "position" not in made.manifest:
        return None  # imported under this name
    reasons = [reason] if (reason := workspace.stale(made)) else []
    position, base = made.manifest["position"], made.manifest["base"]
    rows = told(workspace)
    more = rows.filter(pl.col("position") > position).height
    if more or rows.height < made.manifest["judgements"]:
        grew = f"{more:,} rows were added since" if more else "the log is another one since"
        reasons.append(f"as of position {position:,} of the review log; {grew}")
    if base != "original":
        there = base in workspace.label_set_names()
        if not there or workspace.label_artefact(base).version != made.manifest["base_version"]:
            reasons.append(f"the base {base!r} changed since")
    return "; ".join(reasons) or None
