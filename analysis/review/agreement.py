"""Agreement between readers: coefficients of how far it goes beyond chance, and who they disagree with.

A *unit* is what several readers judged, such as an (item, class). `counts` (n, k) says how many readers gave each of
k values to each of n units; a unit with a single reading tells nothing of agreement. Sources: Krippendorff, "Content
Analysis" (alpha); Cohen 1960; Fleiss 1971; Cicchetti and Feinstein 1990 (per-value agreement); Passonneau 2006 (MASI).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.intervals import bootstrap, finite
from analysis.review.log import undone
from analysis.review.state import REPEAT

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal"]


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its 95 % percentile interval over units; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Units with two readings or more."""


# ---- coefficients


def alpha(counts: ArrayLike, weights: Floats | None = None, *, distances: Level | ArrayLike = "nominal") -> float:
    """Krippendorff's alpha of units (n, k): 1 - observed / expected disagreement. NaN where nothing varies.

    `distances` is nominal, ordinal (the columns are in order), or a matrix (k, k). `weights` (n,) count units more
    than once. As many readings a unit as there are; those of units with one are left out.
    """
    table, pairable = _pairable(counts)
    return _alpha(table, distances, None if weights is None else weights[pairable])


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Cohen's kappa of two readers' values (n,), unit by unit. NaN where both always say the same one thing."""
    said = [np.asarray(first), np.asarray(second)]
    if len(said[0]) != len(said[1]) or not len(said[0]):
        raise ValueError("two readers' values of the same units, at least one")
    values, codes = np.unique(np.concatenate(said), return_inverse=True)
    a, b = np.split(codes, 2)
    shares = [np.bincount(codes, minlength=len(values)) / len(a) for codes in (a, b)]
    return _beyond_chance(float((a == b).mean()), float(shares[0] @ shares[1]))


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa of units (n, k) with as many readings each, at least two. NaN where all say the same one thing.

    Raises ValueError where the units differ in their number of readings: alpha is for those.
    """
    table = np.asarray(counts, np.float64)
    readings = table.sum(axis=1)
    if not len(table) or readings[0] < 2 or (readings != readings[0]).any():
        raise ValueError("Fleiss' kappa is for units with the same number of readings each, two or more")
    chance = table.sum(axis=0) / table.sum()
    return _beyond_chance(raw_agreement(table), float(chance @ chance))


def raw_agreement(counts: ArrayLike, weights: Floats | None = None) -> float:
    """The mean over units (n, k) of the share of pairs of readings that agree. NaN without a unit of two readings."""
    table, pairable = _pairable(counts)
    n = table.sum(axis=1)
    agreeing = ((table**2).sum(axis=1) - n) / (n * (n - 1))
    mass = np.ones(len(n)) if weights is None else weights[pairable]
    return float(mass @ agreeing / mass.sum()) if mass.sum() else float("nan")


def agreement_by_value(counts: ArrayLike) -> Floats:
    """Of readers who gave a value, the share of the unit's other readers who gave it too; (k,), NaN for unused ones.

    With two values and two readers these are positive and negative agreement.
    """
    table, _ = _pairable(counts)
    others = table.sum(axis=1) - 1
    agreeing = (table**2).sum(axis=0) - table.sum(axis=0)
    possible = table.T @ others
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(possible > 0, agreeing / possible, np.nan), np.float64)


def interval(
    statistic: Callable[[NDArray, Floats], float], counts: ArrayLike, *, draws: int = 1000, seed: int = 0
) -> Coefficient:
    """A statistic of (counts, weights), such as `alpha`, with its interval: units are drawn with replacement."""
    table = np.asarray(counts)
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        return Coefficient(None, None, None, 0)
    low, high = bootstrap(lambda weights: statistic(table, weights), len(table), draws=draws, seed=seed)
    return Coefficient(finite(statistic(table, np.ones(len(table)))), finite(low), finite(high), len(table))


def _pairable(counts: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """The units with two readings or more, and which they are."""
    table = np.asarray(counts, np.float64)
    pairable = table.sum(axis=1) >= 2
    return table[pairable], pairable


def _alpha(table: Floats, distances: Level | ArrayLike, weights: Floats | None) -> float:
    mass = np.ones(len(table)) if weights is None else weights
    totals = mass @ table
    apart = _distances(distances, totals)
    pairs = ((table @ apart) * table).sum(axis=1)  # of each unit; a reading is 0 from itself
    observed = mass @ (pairs / (table.sum(axis=1) - 1))
    expected = totals @ apart @ totals
    return float(1 - (totals.sum() - 1) * observed / expected) if expected > 0 else float("nan")


def _distances(distances: Level | ArrayLike, totals: Floats) -> Floats:
    """(k, k) squared differences. Ordinal: how many readings lie between two values, each end counting half."""
    if isinstance(distances, str):
        if distances == "nominal":
            return 1 - np.eye(len(totals))
        middle = np.cumsum(totals) - totals / 2
        return np.asarray((middle[:, None] - middle) ** 2, np.float64)
    return np.asarray(distances, np.float64)


def _beyond_chance(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


# ---- sets


def masi(a: frozenset, b: frozenset) -> float:
    """MASI distance of two sets: 1 - Jaccard * (1 equal, 2/3 one within the other, 1/3 overlapping, 0 apart).

    Two empty sets agree: 0.
    """
    if a == b:
        return 0.0
    if not a & b:
        return 1.0
    return 1 - (2 / 3 if a <= b or b <= a else 1 / 3) * len(a & b) / len(a | b)


def jaccard(a: frozenset, b: frozenset) -> float:
    """Jaccard distance of two sets: 1 - |a and b| / |a or b|; 0 for two empty ones."""
    return 1 - len(a & b) / len(a | b) if a | b else 0.0


def set_counts(
    readings: Sequence[Sequence[frozenset]], distance: Callable[[frozenset, frozenset], float]
) -> tuple[NDArray[np.int64], Floats]:
    """Counts (n, k) and distances (k, k) for `alpha` of units whose readings are sets, unit by unit."""
    kinds = list(dict.fromkeys(found for unit in readings for found in unit))
    place = {found: number for number, found in enumerate(kinds)}
    counts = np.zeros((len(readings), len(kinds)), np.int64)
    for row, unit in enumerate(readings):
        for found in unit:
            counts[row, place[found]] += 1
    return counts, np.array([[distance(a, b) for b in kinds] for a in kinds]).reshape(len(kinds), len(kinds))


# ---- from the log


def first_readings(log: pl.DataFrame, kind: str = "verdict") -> pl.DataFrame:
    """The readings that agreement is measured on: each person's first blind one of a subject, by position.

    A panel's decisions are none, nor is what was taken back by an undo; what a person later said instead is not
    their first.
    """
    mine = (pl.col("kind") == kind) & pl.col("blind") & ~pl.col("panel")
    return log.filter(mine & ~undone(log)).unique(["item", "class", "person"], keep="first").sort("position")


def repeats(log: pl.DataFrame) -> pl.DataFrame:
    """How each person judged what they were shown again unknowingly: person, n, same; sorted.

    Repeats are blind verdicts whose stratum is `repeat`, held against the same person's first on (item, class).
    """
    again = log.filter((pl.col("kind") == "verdict") & (pl.col("stratum") == REPEAT) & pl.col("blind"))
    first = first_readings(log.filter(pl.col("stratum").ne_missing(REPEAT)))
    pairs = again.join(first, on=["item", "class", "person"])
    same = (pl.col("value") == pl.col("value_right")).sum()
    return pairs.group_by("person").agg(n=pl.len(), same=same).sort("person")


def decoys(log: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """How often each person took a decoy for valid: person, n, accepted; sorted. `shown` has item, class of decoys."""
    first = first_readings(log).join(shown.select("item", "class").unique(), on=["item", "class"], how="semi")
    return first.group_by("person").agg(n=pl.len(), accepted=(pl.col("value") == "valid").sum()).sort("person")


def counts(
    readings: pl.DataFrame, values: Sequence[str], column: str = "value"
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Units (item, class; sorted) and how many readings gave each of the values to them, (n, k)."""
    table = (
        readings.filter(pl.col(column).is_in(list(values)))
        .group_by("item", "class")
        .agg((pl.col(column) == value).sum().alias(value) for value in values)
        .sort("item", "class")
    )
    return table.select("item", "class"), table.select(values).to_numpy().astype(np.int64)


def splits(readings: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """The units that split the team, the most divided first: item, class, the values' counts, agreement.

    Agreement is the share of pairs of readings that agree; units without disagreement are left out.
    """
    units, table = counts(readings, values)
    n = table.sum(axis=1)
    agreeing = (table * (table - 1)).sum(axis=1) / np.maximum(n * (n - 1), 1)
    found = units.with_columns(
        *[pl.Series(value, table[:, place]) for place, value in enumerate(values)], agreement=pl.Series(agreeing)
    )
    return found.filter((pl.Series(n) >= 2) & (pl.col("agreement") < 1)).sort("agreement", "item", "class")


def valid_sets(readings: pl.DataFrame) -> list[list[frozenset[int]]]:
    """Of each item with two readers or more, the set of classes that each of them called valid; by item number."""
    each = (
        readings.group_by("item", "person")
        .agg(valid=pl.col("class").filter(pl.col("value") == "valid"))
        .sort("item", "person")
        .group_by("item", maintain_order=True)
        .agg("valid")
    )
    return [[frozenset(found) for found in sets] for sets in each["valid"].to_list() if len(sets) >= 2]
