"""Intervals of accuracies and of their differences.

They are of image sampling only; label uncertainty is not included. A *cell* is a set of items whose mean counts
once, such as a class in a class-mean accuracy; a mean over all items is the case of one cell. Functions are
vectorised over *groups*, each with cells of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError

Floats = NDArray[np.float64]

NOTE = "Intervals are of image sampling only; label uncertainty is not included."


def wilson(hits: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval (low, high) of a proportion hits / n, elementwise; NaN where n = 0."""
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    z = normal_quantile(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = hits / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 and at n the formula gives 0 and 1, up to rounding.
    return np.where(hits == 0, p, centre - half), np.where(hits == n, p, centre + half)


@dataclass(frozen=True, eq=False)
class CellMeans:
    """Means over cells of the cells' means, with normal intervals; all (G,), NaN where they cannot be given."""

    value: Floats
    low: Floats
    high: Floats
    cells: NDArray[np.int64]
    """Cells that have an item; `single` of them have one only, which shows no variance and adds none."""
    single: NDArray[np.int64]
    error: Floats
    """Standard error of `value`; NaN where every cell is single."""


def cell_means(
    n: NDArray[np.integer],
    total: NDArray[Any],
    squares: NDArray[Any],
    *,
    groups: NDArray[np.integer] | None = None,
    n_groups: int = 1,
    confidence: float = 0.95,
    limits: tuple[float, float] = (0.0, 1.0),
) -> CellMeans:
    """The mean over cells of each cell's mean, from its n, sum and sum of squares, all (cells,).

    SE^2 = 1/C^2 * sum over cells of (mean of squares - square of mean) / (n - 1): for shares p (1 - p) / (n - 1),
    and for paired differences of two runs that of the per-class variances and covariance. `groups` (cells,)
    says whose a cell is (None: all of one group); intervals are cut off at `limits`.
    """
    present = n > 0
    size = n[present].astype(np.float64)
    of = np.zeros(len(size), np.int64) if groups is None else groups[present]
    mean = total[present] / size
    with np.errstate(invalid="ignore"):  # an infinite value has no spread
        spread = np.maximum(squares[present] / size - mean * mean, 0.0)
    several = size > 1
    cells = np.bincount(of, minlength=n_groups)
    variance = np.bincount(of[several], spread[several] / (size[several] - 1), minlength=n_groups)
    known = np.bincount(of[several], minlength=n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.bincount(of, mean, minlength=n_groups) / cells
        error = np.where(known > 0, np.sqrt(variance) / cells, np.nan)
    half = normal_quantile(confidence) * error
    low, high = np.maximum(limits[0], value - half), np.minimum(limits[1], value + half)
    return CellMeans(value, low, high, cells, cells - known, error)


def class_mean_interval(
    hits: NDArray[Any], size: NDArray[np.integer], confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """Mean of hits/size (C,) over the classes that have items, and its normal interval within 0 to 1.

    No interval when no class has two items; (None, None, None) without any item.
    """
    means = cell_means(size, hits, hits, confidence=confidence)
    return finite(means.value[0]), finite(means.low[0]), finite(means.high[0])


@dataclass(frozen=True)
class Difference:
    """A paired difference A - B, a fraction; None where it cannot be given."""

    value: float | None
    low: float | None
    high: float | None
    error: float | None = None
    """Standard error."""

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def sign(self) -> int:
        return 0 if self.value is None else int(np.sign(self.value))


def paired_difference(
    difference: NDArray[Any], cells: NDArray[np.integer] | None = None, confidence: float = 0.95
) -> Difference:
    """Mean of per-item differences (n,), micro or (with a cell number for each item) over the cells' means."""
    # Any bound beyond the possible: a difference of differences reaches from -2 to 2.
    if cells is None:
        cells = np.zeros(len(difference), np.int64)
    values = difference.astype(np.float64)
    means = cell_means(
        np.bincount(cells, minlength=1),
        np.bincount(cells, values, minlength=1),
        np.bincount(cells, values * values, minlength=1),
        confidence=confidence,
        limits=(-2.0, 2.0),
    )
    return Difference(*(finite(part[0]) for part in (means.value, means.low, means.high, means.error)))


def bootstrap(
    statistic: Callable[[Floats], ArrayLike],
    n: int,
    *,
    strata: NDArray[np.integer] | None = None,
    groups: NDArray[np.integer] | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Percentile interval (low, high) of a statistic of n items, shaped like its value.

    `statistic` takes how often each item was drawn, (n,). Items are drawn within their stratum (n,), such as their
    class. With `groups` (n,), such as the number of the picture that items are copies of, whole groups are drawn;
    they are stratified as well, unless some group has items of several strata, when no stratification is possible.
    Seeded: the same call gives the same interval. Undefined draws (NaN) are left out.
    """
    found = np.array([statistic(weights) for weights in _draws(n, strata, groups, draws, seed)], np.float64)
    tail = (1 - confidence) / 2
    if n == 0 or np.isnan(found).all():
        empty = np.full(found.shape[1:], np.nan)
        return empty, empty
    low, high = np.nanquantile(found, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def _draws(
    n: int,
    strata: NDArray[np.integer] | None,
    groups: NDArray[np.integer] | None,
    draws: int,
    seed: int,
) -> Iterator[Floats]:
    for name, given in (("strata", strata), ("groups", groups)):
        if given is not None and len(given) != n:
            raise InputError(f"There are {len(given):,} {name} for {n:,} items.")
    rng = np.random.default_rng(seed)
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(unit.max(initial=-1)) + 1
    stratum = np.zeros(n_units, np.int64)
    if strata is not None:
        code = np.unique(strata, return_inverse=True)[1]
        stratum[unit] = code
        if (stratum[unit] != code).any():
            stratum[:] = 0
    # Units in the order of their stratum; a draw picks, for each place, a place of the same stratum.
    order = np.argsort(stratum, kind="stable")
    size = np.bincount(stratum, minlength=1)
    start = np.repeat(np.cumsum(size) - size, size)
    span = np.repeat(size, size)
    for _ in range(draws):
        picked = order[start + (rng.random(n_units) * span).astype(np.int64)]
        yield np.bincount(picked, minlength=n_units).astype(np.float64)[unit]


def normal_quantile(confidence: float) -> float:
    """Half the width of a two-sided normal interval, in standard errors: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def finite(value: Any) -> float | None:
    """A number for people: None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None
