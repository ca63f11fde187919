"""Signals that an original label is wrong: from one run, from many, from neighbours and from vectors.

Probability convention, for runs that keep only the best k of C classes: the mass that these leave is spread evenly
over the other C - k. Ranks without scores count with the run's own hit rates: what stands at rank r counts as much
as the share of labelled items whose label stands there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from analysis.errors import InputError
from analysis.models.predictions import Predictions

SIGNAL_SCHEMA = {"item": pl.UInt32(), "score": pl.Float64(), "suggested": pl.Int32()}
"""item (sorted, unique), score (finite), suggested: the class that the signal would put instead, null for none."""

_BLOCK = 4096  # items at once, so that items x classes stays small


def signal_frame(items: ArrayLike, scores: ArrayLike, suggested: ArrayLike) -> pl.DataFrame:
    """SIGNAL_SCHEMA from arrays (n,) in any order; a suggested class below 0 is none."""
    classes = pl.Series("suggested", np.asarray(suggested), dtype=pl.Int32)
    frame = pl.DataFrame({"item": items, "score": scores, "suggested": classes.set(classes < 0, None)})
    return frame.cast(SIGNAL_SCHEMA).sort("item")  # type: ignore[arg-type]


# ---- probabilities of stored ranks


def probabilities(predictions: Predictions, original: NDArray[np.int32], n_classes: int) -> NDArray[np.float32]:
    """Probability (n, k) of each stored class, 0 where the class is -1; see the convention above.

    `original` (N,) holds class indices by item number, -1 for none. Logits of the best classes alone are scaled
    among themselves.
    """
    there = predictions.classes >= 0
    if predictions.kind == "ranks" or predictions.scores is None:
        target = original[predictions.items]
        hits = (predictions.classes == target[:, None]) & (target >= 0)[:, None]
        rates = hits.sum(axis=0) / max(1, int((target >= 0).sum()))
        return np.where(there, rates, 0).astype(np.float32)
    if predictions.kind == "probabilities":
        return np.where(there, predictions.scores, 0).astype(np.float32)
    logits = np.where(there, predictions.scores, -np.inf)
    total = predictions.logsumexp
    if total is None:
        empty = predictions.top1 < 0
        return np.exp(log_softmax(np.where(empty[:, None], 0, logits), axis=1)) * there
    return np.exp(logits - total[:, None])


def _rest(found: NDArray[np.floating], classes: NDArray[np.int32], n_classes: int) -> NDArray[np.float32]:
    """Probability (n,) of each single class that is not among the stored ones."""
    left = np.clip(1 - found.sum(axis=1, dtype=np.float64), 0, None)
    others = n_classes - (classes >= 0).sum(axis=1)
    return np.where(others > 0, left / np.maximum(others, 1), 0).astype(np.float32)


def _labelled(predictions: Predictions, original: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which rows (n,) have an original label and a prediction, and the labels (n,)."""
    target = original[predictions.items]
    return (target >= 0) & (predictions.top1 >= 0), target


# ---- one run


def label_doubt(predictions: Predictions, original: NDArray[np.int32], n_classes: int) -> pl.DataFrame:
    """1 - p(t), the baseline; suggested is the run's best class other than t."""
    label, _, best, rows = _label_and_best(predictions, original, n_classes)
    return signal_frame(predictions.items[rows], 1.0 - label, best)


def label_margin(predictions: Predictions, original: NDArray[np.int32], n_classes: int) -> pl.DataFrame:
    """The highest probability among the other classes less p(t); suggested is that class."""
    label, other, best, rows = _label_and_best(predictions, original, n_classes)
    return signal_frame(predictions.items[rows], other - label, best)


def _label_and_best(
    predictions: Predictions, original: NDArray[np.int32], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.bool_]]:
    """p(t), the highest p of another class, that class, for the rows with a label; and which rows those are."""
    found = probabilities(predictions, original, n_classes).astype(np.float64)
    rows, target = _labelled(predictions, original)
    hits = predictions.classes == target[:, None]
    rest = _rest(found, predictions.classes, n_classes)
    label = np.where(hits.any(axis=1), (found * hits).sum(axis=1), rest)
    others = np.where(hits | (predictions.classes < 0), -1.0, found)
    place = others.argmax(axis=1)[:, None]  # of equals the first, which ranks higher
    other = np.take_along_axis(others, place, axis=1)[:, 0]
    best = np.where(other >= 0, np.take_along_axis(predictions.classes, place, axis=1)[:, 0], -1)
    return label[rows], np.where(other >= 0, other, rest)[rows], best[rows], rows


# ---- many runs


@dataclass(frozen=True)
class _Tally:
    """What the runs say of some items together; arrays over these items."""

    items: NDArray[np.uint32]
    target: NDArray[np.int32]
    n_runs: NDArray[np.int32]
    mean: NDArray[np.floating]  # (n, C) mean probability over the runs that cover the item
    votes: NDArray[np.floating]  # (n, C) share of them whose best class it is


def _tallies(runs: Sequence[Predictions], original: NDArray[np.int32], n_classes: int) -> Iterator[_Tally]:
    """Block by block of the items that have a label and at least one prediction."""
    found = [probabilities(run, original, n_classes) for run in runs]
    rests = [_rest(p, run.classes, n_classes) for p, run in zip(found, runs, strict=True)]
    for start in range(0, len(original), _BLOCK):
        stop = min(start + _BLOCK, len(original))
        # One more column takes what is no class.
        mean = np.zeros((stop - start, n_classes + 1), np.float32)
        votes = np.zeros_like(mean)
        n_runs = np.zeros(stop - start, np.int32)
        for run, p, rest in zip(runs, found, rests, strict=True):
            some = slice(*np.searchsorted(run.items, [start, stop]))
            some_rows = np.arange(some.start, some.stop)[run.top1[some] >= 0]
            rows, classes = run.items[some_rows] - start, run.classes[some_rows]
            mean[rows] += rest[some_rows, None]
            mean[rows[:, None], classes] += p[some_rows] - rest[some_rows, None]  # a row holds no class twice
            votes[rows, classes[:, 0]] += 1
            n_runs[rows] += 1
        kept = np.flatnonzero((original[start:stop] >= 0) & (n_runs > 0))
        n = n_runs[kept]
        yield _Tally(
            (kept + start).astype(np.uint32), original[start:stop][kept], n,
            mean[kept, :-1] / n[:, None], votes[kept, :-1] / n[:, None],
        )  # fmt: skip


def votes(runs: Sequence[Predictions], original: NDArray[np.int32], n_classes: int) -> pl.DataFrame:
    """Votes for the one other class that most runs put first, less those for t; as a share of the item's runs.

    Equal votes are told apart by the mean probability, in the choice of the winner and, far below one vote, in
    the score.
    """
    parts = []
    for tally in _tallies(runs, original, n_classes):
        rows = np.arange(len(tally.items))
        # Runs count alike; a mean probability moves a vote by less than any run could.
        weighed = tally.votes + tally.mean * (0.5 / (tally.n_runs[:, None] + 1))
        label = weighed[rows, tally.target]
        weighed[rows, tally.target] = -1
        best = weighed.argmax(axis=1)
        parts.append(signal_frame(tally.items, weighed[rows, best] - label, best))
    return _joined(parts)


def mean_margin(runs: Sequence[Predictions], original: NDArray[np.int32], n_classes: int) -> pl.DataFrame:
    """The highest mean probability of another class less that of t, over the runs that cover the item.

    Suggested is the winning vote, as in `votes`.
    """
    parts = []
    for tally in _tallies(runs, original, n_classes):
        rows = np.arange(len(tally.items))
        mean = tally.mean
        label = mean[rows, tally.target].copy()
        weighed = tally.votes + mean * (0.5 / (tally.n_runs[:, None] + 1))
        weighed[rows, tally.target] = mean[rows, tally.target] = -1
        parts.append(signal_frame(tally.items, mean.max(axis=1) - label, weighed.argmax(axis=1)))
    return _joined(parts)


def _joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts) if parts else pl.DataFrame(schema=SIGNAL_SCHEMA)


# ---- neighbours and vectors


def neighbour_disagreement(
    items: NDArray[np.uint32], neighbours: NDArray[np.integer], original: NDArray[np.int32]
) -> pl.DataFrame:
    """The share of an item's neighbours with another label than its own; suggested is the commonest of those.

    `items` (n,) are item numbers; `neighbours` (n, k) are item numbers too, nearest first, -1 for none. The item
    itself among them is left out, and so are neighbours without a label: an item without any is not in the frame.
    """
    kept = original[items] >= 0
    items, neighbours = items[kept], np.asarray(neighbours)[kept].astype(np.int64)
    target = original[items]
    there = (neighbours >= 0) & (neighbours != items[:, None].astype(np.int64))
    labels = np.where(there, original[np.where(there, neighbours, 0)], -1)
    n = (labels >= 0).sum(axis=1)
    other = (labels >= 0) & (labels != target[:, None])
    # How many neighbours share each one's label; the nearest of the commonest wins.
    same = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    place = np.where(other, same, 0).argmax(axis=1)
    best = np.where(other.any(axis=1), labels[np.arange(len(items)), place], -1)
    some = n > 0
    return signal_frame(items[some], (other.sum(axis=1) / np.maximum(n, 1))[some], best[some])


def class_gaussian(
    items: NDArray[np.uint32], vectors: NDArray[np.floating], original: NDArray[np.int32], n_classes: int
) -> pl.DataFrame:
    """How much nearer another class is than the label's own: difference of squared Mahalanobis distances.

    Each class is a Gaussian around its mean with one shared, shrunk covariance (Ledoit and Wolf 2004) of `vectors`
    (n, d); the own mean leaves the item out. Items alone in their class are not in the frame. Suggested is the
    nearest other class. Raises InputError where there are fewer than two classes of two items.
    """
    from sklearn.covariance import ledoit_wolf  # type: ignore[import-untyped, unused-ignore]

    kept = original[items] >= 0
    items, vectors = items[kept], np.asarray(vectors[kept], np.float32)
    target = original[items]
    counts = np.bincount(target, minlength=n_classes)
    if (counts >= 2).sum() < 2:
        raise InputError("A class Gaussian needs at least two classes with two labelled items each.")
    means = np.zeros((n_classes, vectors.shape[1]), np.float64)
    np.add.at(means, target, vectors)
    means /= np.maximum(counts, 1)[:, None]
    covariance, _ = ledoit_wolf(vectors - means[target], assume_centered=True)
    covariance = covariance + np.eye(len(covariance)) * (1e-6 * np.trace(covariance) / len(covariance) + 1e-12)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(np.float32)
    white, centres = vectors @ whitening, (means @ whitening).astype(np.float32)
    parts = []
    for start in range(0, len(items), _BLOCK):
        some = slice(start, start + _BLOCK)
        rows, own, x = np.arange(len(items[some])), target[some], white[some]
        distance = (x**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * x @ centres.T
        # Without the item its class's mean is further away by n / (n - 1).
        n = counts[own]
        label = distance[rows, own] * (n / np.maximum(n - 1, 1)) ** 2
        distance[:, counts == 0] = np.inf
        distance[rows, own] = np.inf
        best = distance.argmin(axis=1)
        part = signal_frame(items[some], label - distance[rows, best], best)
        parts.append(part.filter(pl.Series(n >= 2)))
    return _joined(parts)
