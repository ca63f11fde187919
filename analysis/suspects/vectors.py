"""Signals that an original label is wrong from where an item lies among others: neighbours and class Gaussians."""

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.suspects.signals import BLOCK, joined, signal_frame

NEIGHBOURS = 50
TEMPERATURE = 0.07
REFERENCES = 20_000
"""Neighbours are looked for among at most so many items: time would grow with the square of their number."""

_ROWS = 512  # items at once in the count of equal labels, which takes their number x k x k


def nearest(
    items: NDArray[np.uint32], vectors: NDArray[np.float32], original: NDArray[np.int32], *, k: int = NEIGHBOURS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k labelled items nearest to each of `items` (n,), and their cosine similarities, both (n, k).

    `vectors` (n, d) have length 1. An item is not its own neighbour. Where there are fewer than k, -1 and -inf fill
    up. Of more than REFERENCES labelled items a seeded draw of so many can be neighbours.
    """
    labelled = np.flatnonzero(original[items] >= 0)
    if len(labelled) > REFERENCES:
        labelled = np.sort(np.random.default_rng(0).choice(labelled, REFERENCES, replace=False))
    found = np.full((len(items), k), -1, np.int64)
    similarity = np.full((len(items), k), -np.inf, np.float32)
    among, n = np.ascontiguousarray(vectors[labelled]), min(k + 1, len(labelled))
    for start in range(0, len(items) if n else 0, BLOCK):
        own = np.arange(start, min(start + BLOCK, len(items)))
        near, places = faiss.knn(np.ascontiguousarray(vectors[own]), among, n, metric=faiss.METRIC_INNER_PRODUCT)
        near = np.pad(near, ((0, 0), (0, k + 1 - n)), constant_values=-np.inf)
        rows = np.pad(labelled[places], ((0, 0), (0, k + 1 - n)), constant_values=-1)
        itself = rows == own[:, None]
        # It is not there when it has no label, or equal vectors pushed it out: then the last one found goes instead.
        itself[~itself.any(axis=1), -1] = True
        rows, near = rows[~itself].reshape(-1, k), near[~itself].reshape(-1, k)
        found[own], similarity[own] = np.where(rows >= 0, items.astype(np.int64)[rows], -1), near
    return found, similarity


def neighbour_disagreement(
    items: NDArray[np.uint32],
    neighbours: NDArray[np.integer],
    original: NDArray[np.int32],
    similarity: NDArray[np.floating] | None = None,
) -> pl.DataFrame:
    """The share of an item's neighbours with another label than its own; suggested is what most of those have.

    `items` (n,) are item numbers; `neighbours` (n, k) are item numbers too, nearest first, -1 for none. The item
    itself among them is left out, and so are neighbours without a label: an item without any is not in the frame.
    With `similarity` (n, k) a neighbour weighs exp(cosine / 0.07), as in Wu et al., CVPR 2018; else all weigh alike.
    """
    labelled = original[items] >= 0
    parts = []
    for start in range(0, int(labelled.sum()), _ROWS):
        some = np.flatnonzero(labelled)[start : start + _ROWS]
        near, target = np.asarray(neighbours)[some].astype(np.int64), original[items[some]]
        there = (near >= 0) & (near != items[some][:, None])
        labels = np.where(there, original[np.where(there, near, 0)], -1)
        weight = (labels >= 0).astype(np.float64)
        if similarity is not None:
            closeness = np.where(labels >= 0, similarity[some], -1)
            weight *= np.exp((closeness - closeness.max(axis=1, initial=-1)[:, None]) / TEMPERATURE)
        total = weight.sum(axis=1)
        other = weight * (labels != target[:, None])
        # How much the neighbours of each one's label weigh together; of equals the nearest wins.
        together = ((labels[:, :, None] == labels[:, None, :]) * other[:, None, :]).sum(axis=2)
        place = np.where(other > 0, together, 0).argmax(axis=1)
        best = np.where((other > 0).any(axis=1), labels[np.arange(len(some)), place], -1)
        known = total > 0
        score = other.sum(axis=1)[known] / total[known]
        parts.append(signal_frame(items[some][known], score, best[known]))
    return joined(parts)


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
    by_class = np.argsort(target, kind="stable")
    means = np.zeros((n_classes, vectors.shape[1]), np.float32)
    starts = np.searchsorted(target[by_class], np.flatnonzero(counts))
    means[counts > 0] = np.add.reduceat(vectors[by_class], starts) / counts[counts > 0, None]
    covariance, _ = ledoit_wolf(vectors - means[target], assume_centered=True)
    covariance = covariance + np.eye(len(covariance)) * (1e-6 * np.trace(covariance) / len(covariance) + 1e-12)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(np.float32)
    white, centres = vectors @ whitening, means @ whitening
    parts = []
    for start in range(0, len(items), BLOCK):
        some = slice(start, start + BLOCK)
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
    return joined(parts)
