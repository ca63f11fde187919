"""From a metric laid out item by item to its value, interval and bounds: for all items, or for groups of them.

Intervals are of image sampling only; label uncertainty is not included. All values are fractions.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.intervals import Floats, bootstrap, cell_means, finite, wilson


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
    """Of a mean over cells: cells with an item; `n_single` of them have one only, which shows no variance."""
    n_single: int | None = None


@dataclass(frozen=True, eq=False)
class ItemValues:
    """A metric laid out over a run's items; arrays are (n,) in the run's rows."""

    metric: str
    values: NDArray[Any]
    """bool or float; of `gap`, confidence minus right."""
    counted: NDArray[np.bool_]
    kind: Literal["share", "mean", "gap"] = "share"
    """A share of items (0 or 1 each); a mean over cells of the cells' means; or the sum over cells of the absolute
    sum of values, by n: what a calibration error is over its bins."""
    cells: NDArray[np.integer] | None = None
    """Cell of each counted item, from 0; None: one cell."""
    unjudged: NDArray[np.bool_] | None = None
    """Items on which an open set says nothing of the prediction; None for a closed set."""
    bounded: bool = False
    """Whether right instead of wrong on the unjudged items bounds the metric."""
    k: int | None = None
    highest: float = 1.0
    """The most that the metric can be."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Items in named groups; an item may be in several, or in none."""

    names: list[str | None]
    items: NDArray[np.uint32]
    """(m,) item numbers, one for each membership."""
    codes: NDArray[np.int64]
    """(m,) place in `names`."""

    @staticmethod
    def from_frame(frame: pl.DataFrame) -> "Groups":
        """From columns item and group (any kind; null is no group)."""
        rows = frame.drop_nulls("group").select("item", group=pl.col("group").cast(pl.String)).unique()
        names = rows["group"].unique().sort()
        codes = rows["group"].replace_strict(names, pl.Series(range(len(names))), return_dtype=pl.Int64)
        return Groups(names.to_list(), rows["item"].to_numpy().astype(np.uint32), codes.to_numpy())

    def rows(self, items: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Memberships among a run's items (sorted): their rows and group codes."""
        if not len(items):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        row = np.minimum(np.searchsorted(items, self.items), len(items) - 1)
        there = items[row] == self.items
        return row[there], self.codes[there]


@dataclass(frozen=True, eq=False)
class Estimates:
    """One metric of one run by groups; all (G,), NaN where a number cannot be given."""

    value: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    n_unjudged: NDArray[np.int64] | None = None
    bound_low: Floats | None = None
    bound_high: Floats | None = None
    n_classes: NDArray[np.int64] | None = None
    n_single: NDArray[np.int64] | None = None


Members = tuple[NDArray[np.int64], NDArray[np.int64], int]
"""Rows, group codes and the number of groups."""


def estimate(
    of: ItemValues,
    *,
    members: Members | None = None,
    confidence: float = 0.95,
    strata: NDArray[np.integer] | None = None,
    copies: NDArray[np.integer] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Estimates:
    """A metric with its interval, n and bounds, for all items (one group) or for groups of rows (`members`).

    Shares have Wilson's interval, means the normal one, calibration errors that of the delta method. With `copies`
    (n,), a number shared by items that are no independent images (copies, views), the interval is a bootstrap that
    draws those as a whole, stratified by `strata` (n,), the original label.
    """
    codes: NDArray[np.int64] | None
    if members is None:
        rows, codes, n_groups = np.flatnonzero(of.counted), None, 1
    else:
        rows, codes, n_groups = members
        rows, codes = rows[of.counted[rows]], codes[of.counted[rows]]
    values = of.values[rows]
    cells = None if of.cells is None else of.cells[rows].astype(np.int64)
    result = _estimate(of, values, cells, codes, n_groups, confidence)
    if copies is not None:
        low, high = bootstrap(
            lambda weights: _weighted(of.kind, values, cells, codes, n_groups, weights[rows]),
            len(of.counted),
            strata=strata,
            groups=copies,
            draws=draws,
            confidence=confidence,
            seed=seed,
        )
        result = replace(result, low=low, high=high)
    if of.unjudged is None:
        return result
    silent = of.unjudged[rows]
    n_unjudged = _sums(codes, silent, n_groups)[1]
    if not of.bounded:
        return replace(result, n_unjudged=n_unjudged)
    # Never right as well: a class that counts as valid was judged.
    high = _estimate(of, values | silent, cells, codes, n_groups, confidence).value
    return replace(result, n_unjudged=n_unjudged, bound_low=result.value, bound_high=high)


def _estimate(
    of: ItemValues,
    values: NDArray[Any],
    cells: NDArray[np.int64] | None,
    codes: NDArray[np.int64] | None,
    n_groups: int,
    confidence: float,
) -> Estimates:
    n = _sums(codes, values, n_groups)[0]
    if of.kind == "share":
        hits = _sums(codes, values, n_groups)[1]
        low, high = wilson(hits, n, confidence)
        with np.errstate(invalid="ignore"):
            return Estimates(hits / n, low, high, n)
    place, n_cells = _places(cells, codes)
    if of.kind == "gap" and place is not None:
        # With the sign of each bin held fixed, the error is a mean over items, and has a mean's interval.
        signs = np.sign(_sums(place, values, n_cells * n_groups)[1])
        values = signs[place] * values
        place, n_cells = codes, 1
    means = cell_means(
        *_sums(place, values, n_cells * n_groups),
        groups=np.repeat(np.arange(n_groups), n_cells),
        n_groups=n_groups,
        confidence=confidence,
        limits=(0.0, of.highest),
    )
    return Estimates(means.value, means.low, means.high, n, n_classes=means.cells, n_single=means.single)


def _sums(
    place: NDArray[np.int64] | None, values: NDArray[Any], size: int
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """n, sum and sum of squares at each of `size` places; None: all values are at one place."""
    boolean = values.dtype == bool  # counted, which is several times faster than added up
    if place is None:
        total = np.array([np.count_nonzero(values) if boolean else values.sum()])
        return np.array([len(values)]), total, total if boolean else np.array([np.square(values).sum()])
    n = np.bincount(place, minlength=size)
    if boolean:
        total = np.bincount(place[values], minlength=size)
        return n, total, total
    return n, np.bincount(place, values, minlength=size), np.bincount(place, np.square(values), minlength=size)


def _weighted(
    kind: str,
    values: NDArray[Any],
    cells: NDArray[np.int64] | None,
    codes: NDArray[np.int64] | None,
    n_groups: int,
    weights: Floats,
) -> Floats:
    """The metric alone (G,), each item counted as often as its weight says."""
    place, n_cells = _places(cells, codes)
    if place is None:
        place = np.zeros(len(values), np.int64)
    total = np.bincount(place, values * weights, minlength=n_cells * n_groups).reshape(n_groups, n_cells)
    size = np.bincount(place, weights, minlength=n_cells * n_groups).reshape(n_groups, n_cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind == "gap":
            return np.abs(total).sum(axis=1) / size.sum(axis=1)
        means = np.where(size > 0, total / size, 0.0)
        return means.sum(axis=1) / (size > 0).sum(axis=1)


def _places(cells: NDArray[np.int64] | None, codes: NDArray[np.int64] | None) -> tuple[NDArray[np.int64] | None, int]:
    """One number for each group and cell, the cells of a group side by side; and how many cells a group has."""
    if cells is None:
        return codes, 1
    n_cells = int(cells.max(initial=0)) + 1
    return cells if codes is None else codes * n_cells + cells, n_cells


def single(of: ItemValues, confidence: float) -> Estimate:
    """The estimate over all items, as one."""
    found = estimate(of, confidence=confidence)
    numbers = {name: _number(getattr(found, name)) for name in ("value", "low", "high", "bound_low", "bound_high")}
    counts = {
        name: None if array is None else int(array[0])
        for name in ("n_unjudged", "n_classes", "n_single")
        for array in (getattr(found, name),)
    }
    if of.kind != "mean" or of.cells is None:
        counts["n_classes"] = counts["n_single"] = None
    n = int(found.n[0])
    return Estimate(n=n, n_left_out=len(of.counted) - n, **numbers, **counts)  # type: ignore[arg-type]


def _number(array: Floats | None) -> float | None:
    return None if array is None else finite(array[0])
