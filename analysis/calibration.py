"""Calibration: do a run's probabilities say how often it is right? That depends on whose labels say what is right,
so every number here names its label set.

The calibration error of the top-1 needs only its probability. The negative log-likelihood and the Brier score need
the scores of all classes and are refused from a top-k.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from analysis.errors import InputError
from analysis.estimates import Estimate, ItemValues, single
from analysis.intervals import wilson
from analysis.labels.sets import LabelSet, Unclear
from analysis.metrics import Judged, ValidClasses, judge
from analysis.models.predictions import Kind, Predictions

BINS = 15
BLOCK = 4096  # items whose dense scores are in memory at a time

RELIABILITY_SCHEMA = {
    "bin": pl.UInt32(),  # from 0; bins without an item have no row
    "from": pl.Float64(),  # probabilities above this,
    "to": pl.Float64(),  # up to this
    "n": pl.UInt32(),
    "confidence": pl.Float64(),  # mean probability of the top-1
    "right": pl.Float64(),  # share of top-1 that are valid, with Wilson's interval
    "low": pl.Float64(),
    "high": pl.Float64(),
}


@dataclass(frozen=True, eq=False)
class Calibration:
    """How a run's top-1 probabilities compare with how often it is right under one label set."""

    labels: str
    ece: Estimate
    """Expected calibration error: mean over items of |mean probability - share right| of their bin."""
    table: pl.DataFrame
    """The reliability diagram, in the columns of RELIABILITY_SCHEMA."""


def calibration(
    predictions: Predictions,
    labels: LabelSet,
    *,
    bins: int = BINS,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
) -> Calibration:
    """ECE and reliability table over equal-width bins (Guo et al., 2017) of the top-1 probability.

    Right is "the top-1 is valid". Items without a probability are left out and counted. The error cannot be
    negative and so is a little too high where a bin has few items. Raises InputError when the run's scores give no
    probability.
    """
    probability = predictions.confidence
    if probability is None:
        raise InputError(_no_probability(predictions))
    judged = judge(predictions, labels, unclear=unclear)
    values = gap_values(probability, judged, labels, bins=bins)
    counted = values.counted
    right = judged.right[counted]
    place = values.cells[counted]  # type: ignore[index]
    n = np.bincount(place, minlength=bins)
    hits = np.bincount(place, right, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, probability[counted], minlength=bins) / n
    low, high = wilson(hits, n, confidence)
    edges = np.linspace(0, 1, bins + 1)
    table = pl.DataFrame(
        {
            "bin": range(bins),
            "from": edges[:-1],
            "to": edges[1:],
            "n": n,
            "confidence": mean,
            "right": hits / np.maximum(n, 1),
            "low": low,
            "high": high,
        },
        schema=RELIABILITY_SCHEMA,
    )
    return Calibration(labels.name, single(values, confidence), table.filter(pl.col("n") > 0))


def gap_values(probability: NDArray[np.floating], judged: Judged, labels: LabelSet, *, bins: int = BINS) -> ItemValues:
    """Probability minus right in cells of the probability's bin, (low, high] each: what ECE is estimated from."""
    counted = judged.scored & ~np.isnan(probability)
    exact = probability.astype(np.float64)
    place = np.clip(np.ceil(np.where(counted, exact, 0) * bins).astype(np.int64) - 1, 0, bins - 1)
    unjudged = judged.unjudged if labels.absent == "unjudged" else None
    return ItemValues("ece", exact - judged.right, counted, "gap", cells=place, unjudged=unjudged)


def _no_probability(predictions: Predictions) -> str:
    if predictions.kind == "logits" and predictions.scores is not None:
        return (
            "Calibration needs the probability of the top-1. This run stores the best logits without their sum "
            "over all classes, so that no probability follows: import its full logits or its probabilities."
        )
    return (
        "Calibration needs the probability of the top-1, and this run has ranks without scores: import its "
        "probabilities or its logits."
    )


# ---- from dense scores


def set_nll(
    scores: NDArray[np.floating] | None,
    kind: Kind,
    items: NDArray[np.uint32],
    valid: ValidClasses,
    *,
    temperature: float = 1.0,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of -log of the probability that all valid classes of an item have together, in nats.

    `scores` (n, C) are dense, in the rows of `items`, logits or probabilities by `kind`; `temperature` divides
    logits. Items without a valid class are left out. None where a probability is 0: the mean is infinite. Raises
    InputError when there are no dense scores.
    """
    return single(nll_values(scores, kind, items, valid, temperature=temperature), confidence)


def brier(
    scores: NDArray[np.floating] | None,
    kind: Kind,
    items: NDArray[np.uint32],
    valid: ValidClasses,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Mean over items of the squared distance between the probabilities and the one valid class, 0 to 2.

    Only where labels are single: items with several valid classes are left out and counted, as are those with
    none. Arguments and errors as of `set_nll`.
    """
    return single(brier_values(scores, kind, items, valid), confidence)


def nll_values(
    scores: NDArray[np.floating] | None,
    kind: Kind,
    items: NDArray[np.uint32],
    valid: ValidClasses,
    *,
    temperature: float = 1.0,
) -> ItemValues:
    """`set_nll` item by item."""
    lost = np.full(len(items), np.nan)
    for rows, log_p in _log_probabilities(scores, kind, temperature, "The negative log-likelihood"):
        for of, classes in _valid_rows(items, rows, valid):
            lost[rows.start + of] = -logsumexp(log_p[of[:, None], classes], axis=1)
    return ItemValues("set_nll", lost, ~np.isnan(lost), "mean", highest=np.inf)


def brier_values(
    scores: NDArray[np.floating] | None, kind: Kind, items: NDArray[np.uint32], valid: ValidClasses
) -> ItemValues:
    """`brier` item by item."""
    lost = np.full(len(items), np.nan)
    single_valued = ValidClasses(valid.labels, {k: of for k, of in valid.by_k.items() if k == 1})
    for rows, log_p in _log_probabilities(scores, kind, 1.0, "The Brier score"):
        p = np.exp(log_p)
        for of, classes in _valid_rows(items, rows, single_valued):
            lost[rows.start + of] = (p[of] ** 2).sum(axis=1) - 2 * p[of, classes[:, 0]] + 1
    return ItemValues("brier", lost, ~np.isnan(lost), "mean", highest=2.0)


def dense(scores: NDArray[np.floating] | None, what: str) -> NDArray[np.floating]:
    """The scores, or an InputError that says that `what` needs those of all classes."""
    if scores is None:
        raise InputError(
            f"{what} needs the scores of all classes, and this run stores its top-k only. Evaluate the model with "
            f"--scores full, or import its full logits."
        )
    return scores


def _log_probabilities(
    scores: NDArray[np.floating] | None, kind: Kind, temperature: float, what: str
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    found = dense(scores, what)
    if kind == "ranks":
        raise InputError(f"{what} needs probabilities or logits, and this run has ranks.")
    for start in range(0, len(found), BLOCK):
        rows = slice(start, min(start + BLOCK, len(found)))
        block = np.asarray(found[rows], np.float64)
        if kind == "probabilities":
            with np.errstate(divide="ignore"):
                block = np.log(block)
        yield rows, block if kind == "probabilities" else log_softmax(block / temperature, axis=1)


def _valid_rows(
    items: NDArray[np.uint32], rows: slice, valid: ValidClasses
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Places within the block of rows, with the valid classes (m, k) of their items, for each k."""
    block = items[rows]
    for known, classes in valid.by_k.values():
        place = np.minimum(np.searchsorted(known, block), len(known) - 1)
        of = np.flatnonzero(known[place] == block)
        yield of, classes[place[of]]
