"""From dense scores to a predicted class in other ways than the highest score, and how far off a prediction is.

Loki ("Geometry-Aware Adaptation for Pretrained Models", 2023) predicts the class with the least expected squared
distance to the truth, a weighted Frechet mean: classes that the model cannot name may win as well.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from analysis.calibration import BLOCK, dense
from analysis.errors import InputError
from analysis.estimates import ItemValues
from analysis.labels.sets import LabelSet, Unclear
from analysis.models.predictions import Kind, Predictions
from analysis.progress import Progress, silent


def frechet_mean(
    scores: NDArray[np.floating] | None,
    kind: Kind,
    items: NDArray[np.uint32],
    distances: NDArray[np.number],
    *,
    observed: Sequence[int] | None = None,
    temperature: float = 1.0,
    k: int = 5,
    progress: Progress = silent,
) -> Predictions:
    """Loki: classes ranked by the expected squared distance to the truth, least first, as a run without scores.

    `scores` (n, C) are dense, in the rows of `items`, of the classes `observed` (None: all, in their order).
    `distances` is (C', C'), symmetric, over every class that may be predicted. With distances of 0 and 1 this is
    the highest score. Probabilities should be calibrated: `temperature` divides logits. Equal distances rank by
    class. Raises InputError when there are no dense scores or the matrix does not fit them.
    """
    found = dense(scores, "Loki decoding")
    if kind == "ranks":
        raise InputError("Loki decoding needs probabilities or logits, and this run has ranks.")
    squared = _square(distances).astype(np.float32) ** 2
    columns = np.arange(found.shape[1]) if observed is None else np.asarray(observed)
    if len(columns) != found.shape[1] or (len(columns) and columns.max() >= len(squared)):
        raise InputError(
            f"The scores are of {found.shape[1]:,} classes, {len(columns):,} are named, and the distances are of "
            f"{len(squared):,}: use a distance matrix over the run's own class list."
        )
    k = min(k, len(squared))
    ranked = np.empty((len(found), k), np.int32)
    for start in range(0, len(found), BLOCK):
        progress("Decoding", start, len(found))
        rows = slice(start, start + BLOCK)
        block = np.asarray(found[rows], np.float32)
        probabilities = block if kind == "probabilities" else softmax(block / temperature, axis=1)
        expected = probabilities @ squared[columns]
        # Of equal distances both take the first class; one alone needs no sorting.
        best = expected.argmin(axis=1)[:, None] if k == 1 else np.argsort(expected, axis=1, kind="stable")[:, :k]
        ranked[rows] = best
    progress("Decoding", len(found), len(found))
    return Predictions(items, ranked, None, "ranks", None)


def rank_among(
    scores: NDArray[np.floating] | None,
    kind: Kind,
    items: NDArray[np.uint32],
    among: Sequence[int],
    *,
    k: int = 5,
) -> Predictions:
    """The run with only the classes `among` competing, such as the 200 of ImageNet-A: the k best of them.

    Probabilities and the logsumexp are among these classes. Equal scores rank in the order of the columns; scores
    stored as float16 are equal more often than the model's own. Raises InputError when there are no dense scores:
    classes beyond a stored top-k might win.
    """
    found = dense(scores, "A mask of competing classes")
    columns = np.unique(np.asarray(among, np.int64))
    if not len(columns) or columns[0] < 0 or columns[-1] >= found.shape[1]:
        raise InputError(f"The mask names no class, or one beyond the {found.shape[1]:,} that the run has scores of.")
    k = min(k, len(columns))
    classes, best = np.empty((len(found), k), np.int32), np.empty((len(found), k), np.float32)
    sums = np.empty(len(found), np.float32)
    for start in range(0, len(found), BLOCK):
        rows = slice(start, start + BLOCK)
        block = np.asarray(found[rows, columns], np.float32)
        order = np.argsort(-block, axis=1, kind="stable")[:, :k]
        classes[rows], best[rows] = columns[order], np.take_along_axis(block, order, axis=1)
        if kind == "probabilities":
            best[rows] /= block.sum(axis=1, keepdims=True)
        else:
            sums[rows] = logsumexp(block, axis=1)
    return Predictions(items, classes, best, kind, sums if kind == "logits" else None)


def distance_to_valid(
    predictions: Predictions,
    labels: LabelSet,
    distances: NDArray[np.number],
    *,
    unclear: Unclear = "lenient",
) -> pl.DataFrame:
    """How far each top-1 is from the nearest valid class: item u32, nearest u32 (class), distance f64.

    One row for each scored item with a prediction and a valid class; 0 where the prediction is right. A graded
    error: its unit is that of `distances` (C, C). Of equally near classes the first is named.
    """
    matrix = _square(distances)
    states = ["valid", "unclear"] if unclear == "lenient" else ["valid"]
    scored = labels.scored(predictions.items) & (predictions.top1 >= 0)
    run = pl.DataFrame({"item": predictions.items[scored], "top1": predictions.top1[scored]})
    pairs = labels.labels.filter(pl.col("state").is_in(states)).join(run, on="item")
    classes = pairs["class"].to_numpy()
    if pairs.height and max(int(classes.max()), int(run["top1"].max())) >= len(matrix):  # type: ignore[arg-type]
        raise InputError(
            f"There are distances for {len(matrix):,} classes, but labels or predictions name more: use a "
            f"distance matrix over the workspace's own class list."
        )
    far = matrix[pairs["top1"].to_numpy(), classes].astype(np.float64)
    return (
        pairs.select("item", nearest="class", distance=pl.Series(far, dtype=pl.Float64))
        .sort("item", "distance", "nearest")
        .unique("item", keep="first", maintain_order=True)
    )


def graded_error_values(
    predictions: Predictions, labels: LabelSet, distances: NDArray[np.number], *, unclear: Unclear = "lenient"
) -> ItemValues:
    """`distance_to_valid` item by item, as a metric: the mean distance from the top-1 to the nearest valid class.

    Items without a prediction or a valid class are not counted.
    """
    found = distance_to_valid(predictions, labels, distances, unclear=unclear)
    rows = np.searchsorted(predictions.items, found["item"].to_numpy())
    far, counted = np.zeros(len(predictions.items)), np.zeros(len(predictions.items), bool)
    far[rows], counted[rows] = found["distance"].to_numpy(), True
    return ItemValues("graded_error", far, counted, "mean", highest=float(distances.max(initial=0)))


def _square(distances: NDArray[np.number]) -> NDArray[np.number]:
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise InputError(f"A distance matrix is square, and this one is {distances.shape}.")
    return distances
