"""Is one run truly better than another? Two runs under one label set on their common items, A - B throughout.

Intervals are of image sampling only; label uncertainty is not included. In an open label set nobody judged some of
the predictions: `decidable` says whether these could turn the order.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binom

from analysis.errors import InputError
from analysis.estimates import Groups
from analysis.intervals import Difference, cell_means, paired_difference
from analysis.labels.sets import UNCLEAR, VALID, LabelSet, Unclear
from analysis.metrics import common_items, judge, on_items, targets
from analysis.models.predictions import Predictions

CELLS = pl.Enum(["both_right", "only_a_wrong", "only_b_wrong", "both_wrong"])
VERDICTS = pl.Enum(["right", "unclear", "unjudged", "wrong"])
"""What a label set says of a top-1: the class is valid, unclear, nothing (an open set), or not valid."""
EXACT_BELOW = 25
"""Flips below which the exact binomial test is given beside McNemar's."""

PAIRED_SCHEMA = {
    "item": pl.UInt32(),
    "target": pl.Int32(),  # original label; null for none
    "prediction_a": pl.Int32(),
    "prediction_b": pl.Int32(),
    "right_a": pl.Boolean(),
    "right_b": pl.Boolean(),
    "unjudged_a": pl.Boolean(),
    "unjudged_b": pl.Boolean(),
    "verdict_a": VERDICTS,
    "verdict_b": VERDICTS,
    "cell": CELLS,
}
TABLE_SCHEMA = {
    "verdict_a": VERDICTS,
    "verdict_b": VERDICTS,
    "n": pl.UInt32(),
    "share": pl.Float64(),
}
FLIPS_SCHEMA = {
    "group": pl.String(),
    "n": pl.UInt32(),
    "only_a_wrong": pl.UInt32(),
    "only_b_wrong": pl.UInt32(),
    "difference": pl.Float64(),  # micro, A - B
    "low": pl.Float64(),
    "high": pl.Float64(),
}


@dataclass(frozen=True)
class Bounded(Difference):
    """A difference, and the least and the most it could be if the unjudged predictions were judged."""

    bound_low: float | None = None
    bound_high: float | None = None

    @property
    def decidable(self) -> bool:
        """No judgement of the unjudged could turn the order, or make a tie of it."""
        if self.bound_low is None or self.bound_high is None:
            return False
        return self.bound_low > 0 or self.bound_high < 0 or self.bound_low == self.bound_high


@dataclass(frozen=True)
class Comparison:
    """Two runs under one label set on `n` common scored items."""

    a: str
    b: str
    labels: str
    n: int
    n_only_a: int
    """Items that the label set scores and only A covers; `n_only_b` only B."""
    n_only_b: int
    both_right: int
    only_a_wrong: int
    only_b_wrong: int
    both_wrong: int
    mcnemar_chi2: float | None
    """(b - c)^2 / (b + c), without a correction; 0 without flips, None without items."""
    p_value: float | None
    p_exact: float | None
    """Two-sided binomial, where there are fewer than 25 flips; else None."""
    difference_micro: Bounded
    difference_class_mean: Bounded
    decidable: bool
    """False: "not decidable on these labels"."""
    n_unjudged_a: int | None
    n_unjudged_b: int | None
    """Unjudged predictions; None for a closed label set."""
    agreement: float | None
    """Share of items with the same top-1."""
    oracle: float | None
    """Share of items on which at least one is right."""
    oracle_gain: float | None
    """What the oracle has over the better of the two."""
    ensemble_gain: float | None = None
    """What the mean of both runs' dense scores has over the better of the two; None without these."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the fields, the two differences as value, low, high, bound_low, bound_high."""
        found = dict(vars(self))
        for name in ("difference_micro", "difference_class_mean"):
            difference = found[name]
            found[name] = {key: getattr(difference, key) for key in ("value", "low", "high", "bound_low", "bound_high")}
        return found


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both runs on their common items that the label set scores; arrays (n,)."""

    items: NDArray[np.uint32]
    target: NDArray[np.int32]
    top1: tuple[NDArray[np.int32], NDArray[np.int32]]
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    unjudged: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    states: tuple[NDArray[np.int8], NDArray[np.int8]]
    n_only: tuple[int, int]


def _pair(
    a: Predictions,
    b: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    unclear: Unclear,
    within: NDArray[np.uint32] | None = None,
) -> _Pair:
    items = common_items({"a": a, "b": b})
    n_only = []
    for run in (a, b):
        alone = run.items[~np.isin(run.items, items, assume_unique=True) & (run.top1 >= 0)]
        if within is not None:
            alone = np.intersect1d(alone, within)
        n_only.append(int(labels.scored(alone).sum()))
    if within is not None:
        items = np.intersect1d(items, within)
    a, b = on_items(a, items), on_items(b, items)
    judged = (judge(a, labels, unclear=unclear), judge(b, labels, unclear=unclear))
    rows = judged[0].scored & judged[1].scored
    return _Pair(
        items[rows],
        targets(a, original)[rows],
        (a.top1[rows], b.top1[rows]),
        (judged[0].right[rows], judged[1].right[rows]),
        (judged[0].unjudged[rows], judged[1].unjudged[rows]),
        (judged[0].states[rows], judged[1].states[rows]),
        (n_only[0], n_only[1]),
    )


def compare(
    a: Predictions,
    b: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    names: tuple[str, str] = ("a", "b"),
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
    scores: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    within: NDArray[np.uint32] | None = None,
) -> Comparison:
    """Compare two runs; `original` (N,) is by item number, -1 for none (such items have no class mean).

    `scores` are dense logits in the rows of each run's items, for the gain of the two together. `within` leaves
    the items in it, by number.
    """
    pair = _pair(a, b, labels, original, unclear, within)
    (right_a, right_b), n = pair.right, len(pair.items)
    both, neither = int((right_a & right_b).sum()), int((~right_a & ~right_b).sum())
    only_a_wrong, only_b_wrong = int((~right_a & right_b).sum()), int((right_a & ~right_b).sum())
    chi2, p_value, p_exact = mcnemar(only_a_wrong, only_b_wrong) if n else (None, None, None)
    micro = _bounded(pair, None, confidence)
    class_mean = _bounded(pair, pair.target, confidence)
    opened = labels.absent == "unjudged"
    best = max(int(right_a.sum()), int(right_b.sum()))
    gain = None
    if scores is not None and n:
        gain = (_right_together(a, b, scores, pair.items, labels, unclear) - best) / n
    return Comparison(
        *names,
        labels.name,
        n,
        *pair.n_only,
        both,
        only_a_wrong,
        only_b_wrong,
        neither,
        chi2,
        p_value,
        p_exact,
        micro,
        class_mean,
        # A difference that no class mean can be taken of hangs on nothing.
        decidable=micro.decidable and (class_mean.value is None or class_mean.decidable),
        n_unjudged_a=int(pair.unjudged[0].sum()) if opened else None,
        n_unjudged_b=int(pair.unjudged[1].sum()) if opened else None,
        agreement=float((pair.top1[0] == pair.top1[1]).mean()) if n else None,
        oracle=(n - neither) / n if n else None,
        oracle_gain=(n - neither - best) / n if n else None,
        ensemble_gain=gain,
    )


def mcnemar(b: int, c: int) -> tuple[float, float, float | None]:
    """chi2 = (b - c)^2 / (b + c), its p-value, and the exact two-sided binomial p where b + c < 25."""
    if b + c == 0:
        return 0.0, 1.0, 1.0
    chi2 = (b - c) ** 2 / (b + c)
    exact = min(1.0, 2 * float(binom.cdf(min(b, c), b + c, 0.5))) if b + c < EXACT_BELOW else None
    return chi2, math.erfc(math.sqrt(chi2 / 2)), exact


def _bounded(pair: _Pair, cells: NDArray[np.int32] | None, confidence: float) -> Bounded:
    difference = pair.right[0].astype(np.int8) - pair.right[1].astype(np.int8)
    # The same class predicted by both is judged once: it moves neither above the other.
    differ = pair.top1[0] != pair.top1[1]
    lowest = difference - (pair.unjudged[1] & differ)
    highest = difference + (pair.unjudged[0] & differ)
    if cells is not None:
        counted = cells >= 0
        cells = cells[counted]
        difference, lowest, highest = difference[counted], lowest[counted], highest[counted]
    found = paired_difference(difference, cells, confidence)
    low, high = (paired_difference(bound, cells, confidence).value for bound in (lowest, highest))
    return Bounded(found.value, found.low, found.high, found.error, low, high)


def _right_together(
    a: Predictions,
    b: Predictions,
    scores: tuple[NDArray[np.floating], NDArray[np.floating]],
    items: NDArray[np.uint32],
    labels: LabelSet,
    unclear: Unclear,
) -> int:
    """How many of the items the sum of both runs' logits gets right."""
    if scores[0].shape[1] != scores[1].shape[1]:
        raise InputError(
            f"The runs have scores of {scores[0].shape[1]:,} and {scores[1].shape[1]:,} classes: only scores of "
            f"the same classes can be added."
        )
    rows = np.searchsorted(a.items, items), np.searchsorted(b.items, items)
    right = 0
    for start in range(0, len(items), 4096):
        block = slice(start, start + 4096)
        total = scores[0][rows[0][block]].astype(np.float32) + scores[1][rows[1][block]].astype(np.float32)
        right += int(labels.valid_mask(items[block], total.argmax(axis=1), unclear=unclear).sum())
    return right


# ---- item by item, and by groups


def paired_items(
    a: Predictions,
    b: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    unclear: Unclear = "lenient",
    within: NDArray[np.uint32] | None = None,
) -> pl.DataFrame:
    """The items behind a comparison, in the columns of PAIRED_SCHEMA."""
    pair = _pair(a, b, labels, original, unclear, within)
    (right_a, right_b) = pair.right
    cell = pl.Series(CELLS.categories, dtype=CELLS).gather(2 * ~right_b + ~right_a)
    # Place 1 of the cells is A wrong alone, 2 B wrong alone, 3 both.
    frame = pl.DataFrame(
        {
            "item": pair.items,
            "target": pair.target,
            "prediction_a": pair.top1[0],
            "prediction_b": pair.top1[1],
            "right_a": right_a,
            "right_b": right_b,
            "unjudged_a": pair.unjudged[0],
            "unjudged_b": pair.unjudged[1],
            "verdict_a": _verdicts(pair.states[0], pair.unjudged[0]),
            "verdict_b": _verdicts(pair.states[1], pair.unjudged[1]),
            "cell": cell,
        },
        schema=PAIRED_SCHEMA,
    )
    return frame.with_columns(pl.when(pl.col("target") >= 0).then(pl.col("target")))


def _verdicts(states: NDArray[np.int8], unjudged: NDArray[np.bool_]) -> pl.Series:
    code = np.select([states == VALID, states == UNCLEAR, unjudged], [0, 1, 2], 3)
    return pl.Series(VERDICTS.categories, dtype=VERDICTS).gather(code)


def flip_table(paired: pl.DataFrame) -> pl.DataFrame:
    """How often each verdict on A meets each on B, in the columns of TABLE_SCHEMA: a row a cell that has items.

    Right and unclear together are right in a lenient comparison, unjudged and wrong together wrong.
    """
    counted = paired.group_by("verdict_a", "verdict_b").agg(n=pl.len()).sort("verdict_a", "verdict_b")
    return counted.with_columns(share=pl.col("n") / paired.height).cast(TABLE_SCHEMA)  # type: ignore[arg-type]


def could_change_the_verdict(paired: pl.DataFrame) -> pl.DataFrame:
    """Of `paired_items`, those whose predictions differ and one of which nobody judged: a queue for reviewers."""
    unjudged = pl.col("unjudged_a") | pl.col("unjudged_b")
    return paired.filter((pl.col("prediction_a") != pl.col("prediction_b")) & unjudged)


def flipped(paired: pl.DataFrame, groups: pl.DataFrame, group: str) -> list[int]:
    """The items of one group (of `groups`, as in `flips`) that one run has right and the other wrong."""
    flips = paired.filter(pl.col("right_a") != pl.col("right_b"))
    members = groups.filter(pl.col("group").cast(pl.String) == group)
    return flips.join(members, on="item", how="semi")["item"].to_list()


def flips(paired: pl.DataFrame, groups: pl.DataFrame, *, confidence: float = 0.95) -> pl.DataFrame:
    """Flips by group, in the columns of FLIPS_SCHEMA, the most flips first.

    `groups` has item and group (a class, superclass, cluster, outcome ...); an item may be in several groups.
    """
    named = Groups.from_frame(groups)
    rows, codes = named.rows(paired["item"].to_numpy())
    right_a, right_b = paired["right_a"].to_numpy()[rows], paired["right_b"].to_numpy()[rows]
    size, g = np.bincount(codes, minlength=len(named.names)), len(named.names)
    only_a = np.bincount(codes, ~right_a & right_b, minlength=g)
    only_b = np.bincount(codes, right_a & ~right_b, minlength=g)
    means = cell_means(
        size,
        only_b - only_a,
        only_a + only_b,
        groups=np.arange(g),
        n_groups=g,
        confidence=confidence,
        limits=(-1, 1),
    )
    frame = pl.DataFrame(
        {
            "group": named.names,
            "n": size,
            "only_a_wrong": only_a,
            "only_b_wrong": only_b,
            "difference": means.value,
            "low": means.low,
            "high": means.high,
        },
        schema=FLIPS_SCHEMA,
        strict=False,
    ).filter(pl.col("n") > 0)
    numbers = [pl.col(name).fill_nan(None) for name in ("difference", "low", "high")]
    order = [pl.col("only_a_wrong") + pl.col("only_b_wrong"), pl.col("group")]
    return frame.with_columns(numbers).sort(order, descending=[True, False])


# ---- do two label sets disagree?


@dataclass(frozen=True)
class LabelSetContrast:
    """One pair of runs under two label sets, on the `n` items that both score; micro."""

    first: Difference
    second: Difference
    n: int
    disagree: bool
    """Both intervals exclude zero, with opposite signs."""
    difference: Difference
    """The first difference minus the second, paired."""
    p_value: float | None
    """Of that difference being zero (normal, two-sided); None where no item tells them apart."""


def contrast_label_sets(
    a: Predictions,
    b: Predictions,
    first: LabelSet,
    second: LabelSet,
    original: NDArray[np.int32],
    *,
    class_mean: bool = False,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
    within: NDArray[np.uint32] | None = None,
) -> LabelSetContrast:
    """Whether two label sets disagree about which run is better, and the difference of the differences."""
    pairs = [_pair(a, b, labels, original, unclear, within) for labels in (first, second)]
    items = np.intersect1d(pairs[0].items, pairs[1].items, assume_unique=True)
    if class_mean:
        items = items[original[items] >= 0]
    differences = []
    for pair in pairs:
        rows = np.searchsorted(pair.items, items)
        differences.append(pair.right[0][rows].astype(np.int8) - pair.right[1][rows].astype(np.int8))
    cells = original[items] if class_mean else None
    one, other, change = (
        paired_difference(values, cells, confidence)
        for values in (differences[0], differences[1], differences[0] - differences[1])
    )
    opposite = one.sign * other.sign == -1
    disagree = one.excludes_zero and other.excludes_zero and opposite
    p_value = None
    if change.error:
        p_value = math.erfc(abs(change.value or 0.0) / change.error / math.sqrt(2))
    return LabelSetContrast(one, other, len(items), disagree, change, p_value)
