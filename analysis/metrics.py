"""Accuracies of runs under label sets, with intervals, left-out items and unjudged predictions.

Micro accuracy is a mean over items, class-mean accuracy a mean over classes (by *original* label) of each class's
mean: two metrics with two names. Intervals are of image sampling only; label uncertainty is not included.
All values are fractions. Every function is pure: arrays and frames in, arrays and frames out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError
from analysis.labels.sets import ABSENT, LabelSet, Unclear, counts_as_valid
from analysis.models.predictions import Predictions

REPORT_SCHEMA = {
    "run": pl.String(),
    "labels": pl.String(),
    "metric": pl.String(),  # top1, top5 (labels: original); accuracy, class_mean_accuracy
    "k": pl.UInt32(),  # of top-k; null for the others
    "group": pl.String(),  # null: the whole set
    "value": pl.Float64(),  # null where n = 0
    "low": pl.Float64(),  # null where no interval can be given
    "high": pl.Float64(),
    "n": pl.UInt32(),  # items that were counted
    "n_unjudged": pl.UInt32(),  # of them, predictions that an open label set says nothing of; null for closed ones
    "bound_low": pl.Float64(),  # the value if all unjudged were wrong, and if all were right; null for closed ones
    "bound_high": pl.Float64(),
}


@dataclass(frozen=True)
class Estimate:
    """One metric of one run; every number a fraction of 1, None where it cannot be given."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Items counted; `n_left_out` of the run's items were not."""
    n_left_out: int = 0
    n_unjudged: int | None = None
    bound_low: float | None = None
    bound_high: float | None = None
    n_classes: int | None = None
    """Of a class mean: classes with an item; `n_single` of them have one only, which shows no variance."""
    n_single: int | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """What a label set says of a run's top-1, item by item; all (n,) in the run's own rows."""

    scored: NDArray[np.bool_]
    right: NDArray[np.bool_]
    """Valid under the rule for unclear classes; False where not scored."""
    unjudged: NDArray[np.bool_]
    """The set is open and says nothing of the predicted class; False where not scored."""


def judge(predictions: Predictions, labels: LabelSet, *, unclear: Unclear = "lenient") -> Judged:
    """The label set's word on each top-1. An item without a prediction (class -1) is not scored."""
    items, top1 = predictions.items, predictions.top1
    scored = labels.scored(items) & (top1 >= 0)
    states = labels.states(items, top1)
    unjudged = np.zeros(len(items), bool)
    if labels.absent == "unjudged":
        unjudged = scored & (states == ABSENT) & ~labels.exhaustive(items)
    return Judged(scored, counts_as_valid(states, unclear) & scored, unjudged)


def targets(predictions: Predictions, original: NDArray[np.int32]) -> NDArray[np.int32]:
    """Original label of each of the run's items, (n,), out of those by item number, (N,); -1 for none.

    Raises InputError when the run has an item that does not exist.
    """
    if len(predictions.items) and predictions.items[-1] >= len(original):
        raise InputError(
            f"There are predictions for item {predictions.items[-1]}, but only {len(original):,} items: they "
            f"are of another dataset."
        )
    return original[predictions.items]


def top_k_accuracy(
    predictions: Predictions, original: NDArray[np.int32], k: int, *, confidence: float = 0.95
) -> Estimate | None:
    """The original label is among the k best. None when the run stores fewer than k ranks.

    `original` (N,) is by item number, -1 for none. Items without a label or with fewer than k ranks are left out.
    """
    if predictions.classes.shape[1] < k:
        return None
    target = targets(predictions, original)
    best = predictions.classes[:, :k]
    counted = (target >= 0) & (best[:, k - 1] >= 0)
    right = (best == target[:, None]).any(axis=1) & counted
    n, hits = int(counted.sum()), int(right.sum())
    return Estimate(*_share(hits, n, confidence), n, len(target) - n)


def accuracy(
    predictions: Predictions, labels: LabelSet, *, unclear: Unclear = "lenient", confidence: float = 0.95
) -> Estimate:
    """Micro accuracy: the share of scored items whose top-1 is valid, with Wilson's interval."""
    return _micro(judge(predictions, labels, unclear=unclear), labels, confidence)


def class_mean_accuracy(
    predictions: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    n_classes: int,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
) -> Estimate:
    """The mean over original classes of the share of their scored items whose top-1 is valid.

    Under the expert labels, lenient, this is MLA as published. Classes without a scored item do not enter; items
    without an original label are left out.
    """
    judged = judge(predictions, labels, unclear=unclear)
    return _class_mean(judged, labels, targets(predictions, original), n_classes, confidence)


def _micro(judged: Judged, labels: LabelSet, confidence: float) -> Estimate:
    n, hits = int(judged.scored.sum()), int(judged.right.sum())
    left_out = len(judged.scored) - n
    value, low, high = _share(hits, n, confidence)
    if labels.absent == "wrong":
        return Estimate(value, low, high, n, left_out)
    unjudged = int(judged.unjudged.sum())  # never right as well: a class that counts as valid was judged
    return Estimate(value, low, high, n, left_out, unjudged, value, _share(hits + unjudged, n, confidence)[0])


def _class_mean(
    judged: Judged, labels: LabelSet, target: NDArray[np.int32], n_classes: int, confidence: float
) -> Estimate:
    counted = judged.scored & (target >= 0)
    group = target[counted]
    size = np.bincount(group, minlength=n_classes)
    hits = np.bincount(group, weights=judged.right[counted], minlength=n_classes)
    value, low, high = class_mean_interval(hits, size, confidence)
    n, present, single = int(size.sum()), int((size > 0).sum()), int((size == 1).sum())
    bounds: tuple[int | None, float | None, float | None] = (None, None, None)
    if labels.absent == "unjudged":
        open_hits = np.bincount(group, weights=judged.unjudged[counted], minlength=n_classes)
        bounds = (int(open_hits.sum()), value, class_mean_interval(hits + open_hits, size, confidence)[0])
    return Estimate(value, low, high, n, len(target) - n, *bounds, n_classes=present, n_single=single)


# ---- intervals


def wilson(hits: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval (low, high) of a proportion hits / n, elementwise; NaN where n = 0."""
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    z = _z(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = hits / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 and at n the formula gives 0 and 1, up to rounding.
    return np.where(hits == 0, p, centre - half), np.where(hits == n, p, centre + half)


def class_mean_interval(
    hits: NDArray[Any], size: NDArray[np.integer], confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """Mean of hits/size (C,) over the classes that have items, and its normal interval within 0 to 1.

    SE^2 = 1/C^2 * sum over classes of p (1 - p) / (n - 1). A class of one item adds nothing to it (its variance
    cannot be seen); when every class is such, there is no interval. (None, None, None) without any item.
    """
    present = size > 0
    n = size[present]
    if not len(n):
        return None, None, None
    p = hits[present] / n
    value = float(p.mean())
    several = n > 1
    if not several.any():
        return value, None, None
    error = np.sqrt((p * (1 - p))[several] @ (1 / (n[several] - 1))) / len(n)
    half = _z(confidence) * float(error)
    return value, max(0.0, value - half), min(1.0, value + half)


def _share(hits: int, n: int, confidence: float) -> tuple[float | None, float | None, float | None]:
    if n == 0:
        return None, None, None
    low, high = wilson(hits, n, confidence)
    return hits / n, float(low), float(high)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


# ---- the report


def report(
    predictions: Mapping[str, Predictions],
    label_sets: Sequence[LabelSet],
    original: NDArray[np.int32],
    *,
    n_classes: int,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Every metric of every run, in the columns of REPORT_SCHEMA: runs in their order, then label sets.

    `original` (N,) is by item number, -1 for none. top5 has no row where a run stores fewer than five ranks.
    Runs need not cover the same items: n says how many each number stands on.
    """
    rows: list[dict[str, object]] = []

    def add(run: str, labels: str, metric: str, k: int | None, estimate: Estimate) -> None:
        numbers = {name: getattr(estimate, name) for name in REPORT_SCHEMA if hasattr(estimate, name)}
        rows.append({"run": run, "labels": labels, "metric": metric, "k": k, "group": None, **numbers})

    for run, run_predictions in predictions.items():
        target = targets(run_predictions, original)
        for k in (1, 5):
            if estimate := top_k_accuracy(run_predictions, original, k, confidence=confidence):
                add(run, "original", f"top{k}", k, estimate)
        for labels in label_sets:
            judged = judge(run_predictions, labels)
            add(run, labels.name, "accuracy", None, _micro(judged, labels, confidence))
            mean = _class_mean(judged, labels, target, n_classes, confidence)
            add(run, labels.name, "class_mean_accuracy", None, mean)
    return pl.DataFrame(rows, schema=REPORT_SCHEMA)
