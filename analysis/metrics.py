"""Accuracies of runs under label sets, with intervals, left-out items and unjudged predictions.

Micro accuracy is a mean over items, class-mean accuracy a mean over classes (by *original* label) of each class's
mean: two metrics with two names. Every metric is first laid out item by item (`ItemValues`) and then estimated,
for all items or by groups (estimates.py). All values are fractions. Every function is pure: arrays and frames in,
arrays and frames out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.estimates import Estimate, ItemValues, single
from analysis.labels.sets import ABSENT, LabelSet, Unclear, counts_as_valid
from analysis.models.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Judged:
    """What a label set says of a run's top-1, item by item; all (n,) in the run's own rows."""

    scored: NDArray[np.bool_]
    right: NDArray[np.bool_]
    """Valid under the rule for unclear classes; False where not scored."""
    unjudged: NDArray[np.bool_]
    """The set is open and says nothing of the predicted class; False where not scored."""
    states: NDArray[np.int8]
    """Codes of LabelSet.states."""


def judge(predictions: Predictions, labels: LabelSet, *, unclear: Unclear = "lenient") -> Judged:
    """The label set's word on each top-1. An item without a prediction (class -1) is not scored."""
    items, top1 = predictions.items, predictions.top1
    scored = labels.scored(items) & (top1 >= 0)
    states = labels.states(items, top1)
    unjudged = np.zeros(len(items), bool)
    if labels.absent == "unjudged":
        unjudged = scored & (states == ABSENT) & ~labels.exhaustive(items)
    return Judged(scored, counts_as_valid(states, unclear) & scored, unjudged, states)


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


# ---- which items


def common_items(runs: Mapping[str, Predictions]) -> NDArray[np.uint32]:
    """Item numbers that every run has a prediction for, sorted."""
    common: NDArray[np.uint32] | None = None
    for run in runs.values():
        predicted = run.top1 >= 0
        items = run.items if predicted.all() else run.items[predicted]
        if common is None:
            common = items
        elif not np.array_equal(items, common):
            common = np.intersect1d(common, items, assume_unique=True)
    return np.zeros(0, np.uint32) if common is None else common


def on_items(predictions: Predictions, items: NDArray[np.uint32]) -> Predictions:
    """The run on those of its items that are among `items` (sorted, unique); itself when it has no others."""
    if np.array_equal(predictions.items, items):
        return predictions
    rows = np.isin(predictions.items, items, assume_unique=True)
    scores, sums = predictions.scores, predictions.logsumexp
    return Predictions(
        predictions.items[rows],
        predictions.classes[rows],
        None if scores is None else scores[rows],
        predictions.kind,
        None if sums is None else sums[rows],
    )


# ---- metrics, item by item


def top_k_values(predictions: Predictions, target: NDArray[np.int32], k: int) -> ItemValues:
    """Whether the original label (n,) is among the k best. Items without a label or k ranks are not counted."""
    if predictions.classes.shape[1] < k:
        nobody = np.zeros(len(target), bool)
        return ItemValues(f"top{k}", nobody, nobody, k=k)
    best = predictions.classes[:, :k]
    counted = (target >= 0) & (best[:, k - 1] >= 0)
    right = np.zeros(len(target), bool)
    for rank in range(k):
        right |= best[:, rank] == target
    return ItemValues(f"top{k}", right & counted, counted, k=k)


def accuracy_values(judged: Judged, labels: LabelSet) -> ItemValues:
    unjudged = judged.unjudged if labels.absent == "unjudged" else None
    return ItemValues("accuracy", judged.right, judged.scored, unjudged=unjudged, bounded=True)


def class_mean_values(
    judged: Judged, labels: LabelSet, target: NDArray[np.int32], *, strict: bool = False
) -> ItemValues:
    """Right or not in cells of the original label; items without one are not counted."""
    values = accuracy_values(judged, labels)
    right = counts_as_valid(judged.states, "strict") & judged.scored if strict else judged.right
    return replace(
        values,
        metric="strict_class_mean_accuracy" if strict else "class_mean_accuracy",
        values=right,
        counted=judged.scored & (target >= 0),
        kind="mean",
        cells=target,
    )


@dataclass(frozen=True, eq=False)
class ValidClasses:
    """The valid classes of a label set's scored items, by how many an item has."""

    labels: LabelSet
    by_k: dict[int, tuple[NDArray[np.uint32], NDArray[np.int32]]]
    """k -> items (m,), sorted, and their valid classes (m, k)."""


def valid_classes(labels: LabelSet, *, unclear: Unclear = "lenient") -> ValidClasses:
    """The valid classes by their number; a scored item whose only classes are unclear has none if strict."""
    states = ["valid", "unclear"] if unclear == "lenient" else ["valid"]
    rows = labels.labels.filter(pl.col("state").is_in(states))
    items, start, k = np.unique(rows["item"].to_numpy(), return_index=True, return_counts=True)
    classes, scored = rows["class"].to_numpy().astype(np.int32), labels.scored(items)
    by_k = {}
    for size in np.unique(k[scored]).tolist():
        of = scored & (k == size)
        by_k[size] = (items[of], classes[start[of, None] + np.arange(size)])
    return ValidClasses(labels, by_k)


@dataclass(frozen=True, eq=False)
class VariableTopK:
    """The k best classes against the k valid ones, item by item (n,); k is each item's own number."""

    k: NDArray[np.int32]
    """Number of valid classes; 0 where the item is not scored or has no valid class."""
    overlap: NDArray[np.float64]
    """|k best and valid| / k; 0 where not counted."""
    counted: NDArray[np.bool_]
    """Not where the run stores fewer than k ranks: `n_beyond` items are left out for that."""
    unjudged: NDArray[np.bool_] | None
    """Of counted items: an open set says nothing of one of the k best."""

    @property
    def n_beyond(self) -> int:
        return int(((self.k > 0) & ~self.counted).sum())

    def values(self, exact: bool, k: int | None = None) -> ItemValues:
        """overlap_at_k or exact_at_k, over all items (a micro mean) or over those with k valid classes."""
        counted = self.counted if k is None else self.counted & (self.k == k)
        name = "exact_at_k" if exact else "overlap_at_k"
        values = self.overlap == 1 if exact else self.overlap
        return ItemValues(name, values, counted, "share" if exact else "mean", unjudged=self.unjudged, k=k)

    def subgroup_mean(self, exact: bool) -> ItemValues:
        """The mean over k of the subgroups' means (ASMA): each k counts once, however few items have it."""
        name = f"{'exact' if exact else 'overlap'}_at_k_subgroup_mean"
        return replace(self.values(exact), metric=name, kind="mean", cells=self.k)


def variable_top_k(predictions: Predictions, valid: ValidClasses) -> VariableTopK:
    """Variable top-k ("Re-assessing ImageNet"): as many of the best classes as an item has valid ones."""
    n, stored = predictions.classes.shape
    k_of, overlap, counted = np.zeros(n, np.int32), np.zeros(n), np.zeros(n, bool)
    opened = valid.labels.absent == "unjudged"
    unjudged = np.zeros(n, bool)
    items = predictions.items
    every = n > 0 and items[-1] == n - 1  # then an item's number is its row
    for k, (known, classes) in valid.by_k.items():
        if every:
            rows = known[known < n]
            have = classes[: len(rows)]
        else:
            rows = np.searchsorted(items, known)
            there = rows < n
            there[there] = items[rows[there]] == known[there]
            rows, have = rows[there], classes[there]
        k_of[rows] = k
        if k > stored:
            continue
        best = predictions.classes[rows, :k].T  # rank by rank: reducing over a few columns is slow
        found = np.zeros(len(rows), np.int64)
        for slot in range(k):
            hit = best[0] == have[:, slot]
            for rank in range(1, k):
                hit |= best[rank] == have[:, slot]
            found += hit
        overlap[rows] = found / k
        counted[rows] = best[k - 1] >= 0
        if opened:
            missed = np.flatnonzero(found < k)
            states = valid.labels.states(items[rows[missed]], best[:, missed].T)
            unjudged[rows[missed[(states == ABSENT).any(axis=1)]]] = True
    if opened:
        unjudged &= counted & ~valid.labels.exhaustive(items)
    overlap[~counted] = 0
    return VariableTopK(k_of, overlap, counted, unjudged if opened else None)


# ---- metrics, as one number


def top_k_accuracy(
    predictions: Predictions, original: NDArray[np.int32], k: int, *, confidence: float = 0.95
) -> Estimate:
    """The original label is among the k best; equal scores rank in the order of the file's columns.

    `original` (N,) is by item number, -1 for none. Items without a label or with fewer than k ranks are left out
    and counted: all of them when the run stores fewer than k ranks.
    """
    return single(top_k_values(predictions, targets(predictions, original), k), confidence)


def accuracy(
    predictions: Predictions, labels: LabelSet, *, unclear: Unclear = "lenient", confidence: float = 0.95
) -> Estimate:
    """Micro accuracy: the share of scored items whose top-1 is valid, with Wilson's interval."""
    return single(accuracy_values(judge(predictions, labels, unclear=unclear), labels), confidence)


def class_mean_accuracy(
    predictions: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
) -> Estimate:
    """The mean over original classes of the share of their scored items whose top-1 is valid.

    Under the expert labels, lenient, this is MLA as published: problematic images are left out, some of which have
    a wrong original label, so that MLA cannot see label errors. Strict MLA is the same with unclear="strict".
    Classes without a scored item do not enter; items without an original label are left out.
    """
    judged = judge(predictions, labels, unclear=unclear)
    return single(class_mean_values(judged, labels, targets(predictions, original)), confidence)
