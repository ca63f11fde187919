"""Signals that an original label is wrong: from one run and from many.

Probability convention, for runs that keep only the best k of C classes: the mass that these leave is spread evenly
over the other C - k; that of the label itself is read from dense scores where they are at hand. Ranks without scores
count with the run's own hit rates: what stands at rank r counts as much as the share of labelled items whose label
stands there.

In cleanlab's words (its label quality falls where a score here rises): doubt is `self_confidence`, margin and mean
margin are `normalized_margin` of one run and of the mean of several, in the same order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from analysis.models.predictions import Predictions

SIGNAL_SCHEMA = {"item": pl.UInt32(), "score": pl.Float64(), "suggested": pl.Int32()}
"""item (sorted, unique), score (finite), suggested: the class that the signal would put instead, null for none."""

BLOCK = 4096
"""Items at once, so that items x classes stays small."""


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


def label_probability(
    predictions: Predictions,
    found: NDArray[np.float32],
    original: NDArray[np.int32],
    n_classes: int,
    scores: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """p(t) of each row (n,), with its `found` probabilities (n, k); 0 where there is no label.

    Where t is not among the stored ranks it is read from `scores` (n, C), dense logits or probabilities of all
    classes, if they are given and can be told as probabilities.
    """
    target = original[predictions.items]
    hits = (predictions.classes == target[:, None]) & (target >= 0)[:, None]
    label = np.where(hits.any(axis=1), (found * hits).sum(axis=1), _rest(found, predictions.classes, n_classes))
    if scores is not None and (predictions.kind == "probabilities" or predictions.logsumexp is not None):
        rows = np.flatnonzero((target >= 0) & ~hits.any(axis=1))
        exact = np.asarray(scores[rows, target[rows]], np.float32)
        if predictions.kind == "logits" and predictions.logsumexp is not None:
            exact = np.exp(exact - predictions.logsumexp[rows])
        label[rows] = exact
    return np.where(target >= 0, label, 0).astype(np.float32)


# ---- one run


def doubt_and_margin(
    predictions: Predictions,
    original: NDArray[np.int32],
    n_classes: int,
    scores: NDArray[np.floating] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The two signals of one run, for the items with a label and a prediction; suggested by both is the run's best
    class other than t.

    doubt: 1 - p(t), the baseline. margin: the highest p of another class less p(t), above 0 where the run is for that
    class. `scores` are the run's dense ones (n, C), where it has some.
    """
    found = probabilities(predictions, original, n_classes)
    label = label_probability(predictions, found, original, n_classes, scores).astype(np.float64)
    target = original[predictions.items]
    rows = (target >= 0) & (predictions.top1 >= 0)
    others = np.where((predictions.classes == target[:, None]) | (predictions.classes < 0), -1.0, found)
    place = others.argmax(axis=1)[:, None]  # of equals the first, which ranks higher
    other = np.take_along_axis(others, place, axis=1)[:, 0]
    best = np.where(other >= 0, np.take_along_axis(predictions.classes, place, axis=1)[:, 0], -1)
    other = np.where(other >= 0, other, _rest(found, predictions.classes, n_classes))
    items, best = predictions.items[rows], best[rows]
    return signal_frame(items, 1 - label[rows], best), signal_frame(items, (other - label)[rows], best)


# ---- many runs


@dataclass(frozen=True)
class _Tally:
    """What the runs say of some items together; arrays over these items."""

    items: NDArray[np.uint32]
    target: NDArray[np.int32]
    n_runs: NDArray[np.int32]
    mean: NDArray[np.floating]  # (n, C) mean probability over the runs that cover the item
    votes: NDArray[np.floating]  # (n, C) share of them whose best class it is


def _tallies(
    runs: Mapping[str, Predictions],
    original: NDArray[np.int32],
    n_classes: int,
    dense: Mapping[str, NDArray[np.floating]],
) -> Iterator[_Tally]:
    """Block by block of the items that have a label and at least one prediction."""
    found = {name: probabilities(run, original, n_classes) for name, run in runs.items()}
    rests = {name: _rest(found[name], run.classes, n_classes) for name, run in runs.items()}
    labels = {
        name: label_probability(run, found[name], original, n_classes, dense[name])
        for name, run in runs.items()
        if name in dense
    }
    for start in range(0, len(original), BLOCK):
        stop = min(start + BLOCK, len(original))
        # One more column takes what is no class, label -1 included.
        mean = np.zeros((stop - start, n_classes + 1), np.float32)
        votes = np.zeros_like(mean)
        n_runs = np.zeros(stop - start, np.int32)
        for name, run in runs.items():
            some = slice(*np.searchsorted(run.items, [start, stop]))
            some_rows = np.arange(some.start, some.stop)[run.top1[some] >= 0]
            rows, classes = run.items[some_rows] - start, run.classes[some_rows]
            rest = rests[name][some_rows]
            mean[rows] += rest[:, None]
            mean[rows[:, None], classes] += found[name][some_rows] - rest[:, None]  # a row holds no class twice
            if name in labels:
                target = original[run.items[some_rows]]
                absent = (classes != target[:, None]).all(axis=1)
                mean[rows[absent], target[absent]] += labels[name][some_rows][absent] - rest[absent]
            votes[rows, classes[:, 0]] += 1
            n_runs[rows] += 1
        kept = np.flatnonzero((original[start:stop] >= 0) & (n_runs > 0))
        n = n_runs[kept]
        yield _Tally(
            (kept + start).astype(np.uint32), original[start:stop][kept], n,
            mean[kept, :-1] / n[:, None], votes[kept, :-1] / n[:, None],
        )  # fmt: skip


def votes_and_mean_margin(
    runs: Mapping[str, Predictions],
    original: NDArray[np.int32],
    n_classes: int,
    dense: Mapping[str, NDArray[np.floating]] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What several runs say together, each item's runs counting alike; suggested by both is the winning vote.

    votes: votes for the one other class that most runs put first, less those for t, as a share of the item's runs.
    Equal votes are told apart by the mean probability, in the choice of the winner and, far below one vote, in the
    score. mean margin: the highest mean probability of another class less that of t. `dense` holds the dense scores
    (n, C) of those runs that have some.
    """
    ballots, margins = [], []
    for tally in _tallies(runs, original, n_classes, dense or {}):
        rows, mean = np.arange(len(tally.items)), tally.mean
        # A mean probability moves a vote by less than any run could.
        weighed = tally.votes + mean * (0.5 / (tally.n_runs[:, None] + 1))
        label, own = mean[rows, tally.target].copy(), weighed[rows, tally.target].copy()
        weighed[rows, tally.target] = mean[rows, tally.target] = -1
        best = weighed.argmax(axis=1)
        ballots.append(signal_frame(tally.items, weighed[rows, best] - own, best))
        margins.append(signal_frame(tally.items, mean.max(axis=1) - label, best))
    return joined(ballots), joined(margins)


def joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Parts of one signal, in the order of their items, as one."""
    return pl.concat(parts) if parts else pl.DataFrame(schema=SIGNAL_SCHEMA)
