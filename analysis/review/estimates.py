"""Scores while people review: what a run's accuracy is after review, from the sample that was reviewed.

Reviewing only mistakes can only raise a score, so a sample counts by its design. Every item belongs to a stratum of
the design, or to none. With w the item's weight in the metric, y0 its value before and y1 after review:

    estimate = sum of w y0 over all items + sum of w (y1 - y0) / pi over the reviewed ones      (Horvitz-Thompson)

In a *random* stratum pi = reviewed / size: its items are served in random order, so that those reviewed so far are a
random sample of it. In a *certainty* stratum (confidence-ordered, hand-picked, or every mistake) pi = 1, and it
counts once it is complete. Items that no complete or random stratum covers (pi = 0) could be anything: then there
are bounds and no estimate. Intervals are of the draw only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.intervals import wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Which items a design covers and what review made of those that were looked at; arrays (N,) by item."""

    stratum: NDArray[np.int64]
    """Number of the item's stratum, from 0; -1 where the design has the item in none."""
    random: NDArray[np.bool_]
    """(strata,) whether a stratum is sampled at random; else it is a certainty stratum."""
    after: Floats
    """y1 of reviewed items; NaN for the others, and for those of which review has not settled y1 yet."""

    def __post_init__(self) -> None:
        if self.stratum.shape != self.after.shape or self.stratum.max(initial=-1) >= len(self.random):
            raise ValueError("one stratum, of those given, and one value after review an item")


@dataclass(frozen=True)
class AfterReview:
    """A metric before and after review; fractions of 1."""

    before: float
    value: float | None
    """The estimate; None where some items have no chance to be looked at."""
    low: float | None
    high: float | None
    """95 % interval of the draw; None without an estimate, or where a stratum has a single reviewed item."""
    bound_low: float
    bound_high: float
    """The estimate if everything that no stratum covers were wrong, or right; equal to it where all is covered."""
    n: int
    n_reviewed: int
    n_uncovered: int
    """Items of no stratum, of a certainty stratum that is not complete, or of a random one with none reviewed."""


def micro_weights(counted: ArrayLike) -> Floats:
    """1 / N for the items that count, 0 for the others; `counted` (N,) bool."""
    mask = np.asarray(counted, bool)
    return mask / max(mask.sum(), 1)


def class_mean_weights(counted: ArrayLike, classes: ArrayLike) -> Floats:
    """1 / (C n_c): each original class counts once. `classes` (N,) from 0; items without one (-1) do not count."""
    label = np.asarray(classes, np.int64)
    mask = np.asarray(counted, bool) & (label >= 0)
    n = np.bincount(label[mask], minlength=1)
    return np.where(mask, 1 / ((n > 0).sum() * np.maximum(n[np.maximum(label, 0)], 1)), 0.0)


def after_review(
    before: ArrayLike,
    sample: Sample,
    weights: Floats,
    *,
    extremes: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
) -> AfterReview:
    """A metric's mean after review; `before` and `weights` are (N,), items of weight 0 play no part.

    For the difference of two runs give the differences of their values and `extremes` (-1, 1). Before and after share
    one denominator: the weights.
    """
    y0 = np.asarray(before, np.float64)
    part = weights > 0
    change = np.where(np.isnan(sample.after), 0.0, sample.after - y0) * weights
    reviewed = ~np.isnan(sample.after) & part
    estimate, variances, freedom = float(weights @ y0), [], []
    uncovered = part & (sample.stratum < 0)
    for number, is_random in enumerate(sample.random):
        inside = part & (sample.stratum == number)
        seen = inside & reviewed
        size, n = int(inside.sum()), int(seen.sum())
        if n == 0 or (n < size and not is_random):
            uncovered |= inside
            continue
        estimate += size / n * float(change[seen].sum())
        if n < size:
            variances.append(size**2 * (1 - n / size) / n * _spread(change[seen], weights[inside]))
            freedom.append(n - 1)
    # An uncovered item that was looked at all the same is known, though it stands for no other.
    known = uncovered & reviewed
    fixed = estimate + float(change[known].sum())
    open_ = uncovered & ~reviewed
    low_end, high_end = (float(weights[open_] @ (extreme - y0[open_])) for extreme in extremes)
    covered = not open_.any()
    low, high = (
        _interval(fixed, np.array(variances), np.array(freedom), extremes, confidence) if covered else (None, None)
    )
    return AfterReview(
        before=float(weights @ y0),
        value=fixed if covered else None,
        low=low,
        high=high,
        bound_low=fixed + low_end,
        bound_high=fixed + high_end,
        n=int(part.sum()),
        n_reviewed=int(reviewed.sum()),
        n_uncovered=int(open_.sum()),
    )


def _spread(changes: Floats, weights: Floats) -> float:
    """The variance of changes (n,) in a stratum; never less than if one in n + 2 items changed.

    A sample without any change, or with changes only, shows no variance, but does not prove that there is none.
    """
    n = len(changes)
    rare = 1 / (n + 2)
    least = float((weights**2).mean()) * rare * (1 - rare)
    return max(float(changes.var(ddof=1)) if n > 1 else 0.0, least)


def _interval(
    value: float, variances: Floats, freedom: NDArray, extremes: tuple[float, float], confidence: float
) -> tuple[float | None, float | None]:
    """Student's t with Satterthwaite's degrees of freedom, within what the mean can be."""
    if (freedom < 1).any():
        return None, None
    total = float(variances.sum())
    if not total:
        return value, value
    degrees = total**2 / float((variances**2 / freedom).sum())
    half = float(stats.t.ppf((1 + confidence) / 2, degrees)) * total**0.5
    return max(value - half, extremes[0]), min(value + half, extremes[1])


@dataclass(frozen=True)
class Share:
    """A share of a stratum's items, from those reviewed so far."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    size: int


def share_right(sample: Sample, stratum: int, confidence: float = 0.95) -> Share:
    """Of the items of a stratum (a run's mistakes, say) the share that is right after review: those that were none.

    None where the stratum is no random sample and not complete. Wilson's interval, narrowed by what of the stratum
    was reviewed; a complete one has no uncertainty of the draw.
    """
    inside = sample.stratum == stratum
    values = sample.after[inside]
    values = values[~np.isnan(values)]
    size, n = int(inside.sum()), len(values)
    if not n or (n < size and not sample.random[stratum]):
        return Share(None, None, None, n, size)
    value = float(values.mean())
    # A sample of n out of few items says as much as a larger one out of many.
    effective = n * (size - 1) / (size - n) if n < size else np.inf
    if not np.isfinite(effective):
        return Share(value, value, value, n, size)
    low, high = wilson(value * effective, effective, confidence)
    return Share(value, float(low), float(high), n, size)
