"""Many runs at once: how alike they are, what they all get wrong, and what they are worth together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control, kendalltau

from analysis.comparison import mcnemar
from analysis.errors import InputError
from analysis.intervals import Difference, Floats, normal_quantile, paired_difference
from analysis.labels.sets import LabelSet, Unclear
from analysis.metrics import Judged, common_items, judge, on_items
from analysis.models.predictions import Predictions
from analysis.progress import Progress, silent

BLOCK = 4096

SHARED_SCHEMA = {
    "item": pl.UInt32(),
    "runs": pl.UInt32(),  # runs with a prediction on it
    "wrong": pl.UInt32(),  # of them wrong
    "prediction": pl.Int32(),  # the wrong class that most of them give; of several, the first
    "same": pl.UInt32(),  # runs that give it
    "unjudged": pl.UInt32(),  # wrong runs whose prediction an open label set says nothing of
}


@dataclass(frozen=True, eq=False)
class Agreement:
    """Share of common items with the same top-1, for every pair of runs."""

    runs: list[str]
    matrix: Floats
    """(R, R); 1 on the diagonal, NaN without a common item."""
    n: int
    """Items that all runs cover."""


def agreement_matrix(runs: Mapping[str, Predictions]) -> Agreement:
    """How often each two runs predict the same class, on the items that all cover."""
    items = common_items(runs)
    top1 = np.array([on_items(run, items).top1 for run in runs.values()], np.int32).reshape(len(runs), len(items))
    matrix = np.full((len(runs), len(runs)), np.nan)
    if len(items):
        for place, row in enumerate(top1):
            matrix[place, place:] = matrix[place:, place] = (top1[place:] == row).mean(axis=1)
    return Agreement(list(runs), matrix, len(items))


def similar_together(agreement: Agreement) -> list[int]:
    """Places of the runs in an order that puts those that agree side by side (average linkage)."""
    n_runs = len(agreement.runs)
    if n_runs < 3 or not agreement.n:
        return list(range(n_runs))
    distance = 1 - agreement.matrix
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True)).tolist()


def shared_mistakes(
    runs: Mapping[str, Predictions],
    labels: LabelSet,
    *,
    at_least: float = 1.0,
    same: float = 0.0,
    unclear: Unclear = "lenient",
) -> pl.DataFrame:
    """Items that at least a share of the runs get wrong, in the columns of SHARED_SCHEMA, the most wrong first.

    `same`: only those on which at least this share of the wrong runs predict one and the same class. Items that
    all runs cover and the label set scores.
    """
    items = common_items(runs)
    on = [on_items(run, items) for run in runs.values()]
    items = items[labels.scored(items)]
    on = [on_items(run, items) for run in on]
    judged = [judge(run, labels, unclear=unclear) for run in on]
    shape = (len(on), len(items))
    scored = np.array([one.scored for one in judged], bool).reshape(shape)
    wrong = scored & ~np.array([one.right for one in judged], bool).reshape(shape)
    enough = (wrong.sum(axis=0) >= at_least * scored.sum(axis=0)) & wrong.any(axis=0)
    wrong, scored = wrong[:, enough], scored[:, enough]
    unjudged = np.array([one.unjudged for one in judged], bool).reshape(shape)[:, enough]
    top1 = np.array([run.top1 for run in on], np.int32).reshape(shape)[:, enough]
    prediction, votes = _most_frequent(np.where(wrong, top1, -1))
    frame = pl.DataFrame(
        {
            "item": items[enough],
            "runs": scored.sum(axis=0),
            "wrong": wrong.sum(axis=0),
            "prediction": prediction,
            "same": votes,
            "unjudged": (unjudged & wrong).sum(axis=0),
        },
        schema=SHARED_SCHEMA,
        strict=False,
    )
    kept = frame.filter(pl.col("same") >= same * pl.col("wrong"))
    return kept.sort("wrong", "same", "item", descending=[True, True, False])


def _most_frequent(votes: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The most frequent class of each column of (R, n) that is not -1, the lowest of several; and its votes."""
    ordered = np.sort(votes, axis=0)
    best, count = np.full(votes.shape[1], -1, np.int32), np.zeros(votes.shape[1], np.int64)
    run = np.zeros(votes.shape[1], np.int64)
    for place in range(len(ordered)):
        same = ordered[place] == ordered[place - 1] if place else np.zeros(votes.shape[1], bool)
        run = np.where(same, run + 1, 1)
        better = (run > count) & (ordered[place] >= 0)
        best[better], count[better] = ordered[place][better], run[better]
    return best, count


# ---- every pair


def compare_all(
    runs: Mapping[str, Predictions],
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Every pair of runs on the items that all of them cover and have a prediction for: one row a pair.

    Columns: a, b, n, both_right, only_a_wrong, only_b_wrong, both_wrong, mcnemar_chi2, p_value, p_exact, p_holm,
    p_bh (corrected over the pairs: Holm, and Benjamini and Hochberg; of p_exact where it is given), agreement, and
    micro and class_mean, each with _low, _high, _bound_low and _bound_high, and decidable.
    """
    items = common_items(runs)
    on = [on_items(run, items) for run in runs.values()]
    judged = [judge(run, labels, unclear=unclear) for run in on]
    scored = np.ones(len(items), bool)
    for one in judged:
        scored &= one.scored
    target = original[items][scored]
    right = np.array([one.right[scored] for one in judged], bool).reshape(len(on), len(target))
    top1 = np.array([run.top1[scored] for run in on], np.int32).reshape(len(on), len(target))
    a, b = np.triu_indices(len(on), 1)
    names = pl.Series("name", list(runs), dtype=pl.String)
    n = int(scored.sum())
    whole = _cell_sums(right, np.zeros(n, np.int64))
    by_class = _cell_sums(right[:, target >= 0], target[target >= 0])
    micro_low, class_low = _reach(judged, scored, top1, target, a, b)
    micro_high, class_high = _reach(judged, scored, top1, target, b, a)
    columns: dict[str, Any] = {"a": names.gather(a), "b": names.gather(b), "n": np.full(len(a), n)}
    together = right.astype(np.float32) @ right.T.astype(np.float32)  # exact: counts stay below 2**24
    hits = right.sum(axis=1)
    columns["both_right"] = together[a, b].astype(np.int64)
    columns["only_a_wrong"] = hits[b] - columns["both_right"]
    columns["only_b_wrong"] = hits[a] - columns["both_right"]
    columns["both_wrong"] = n - hits[a] - columns["only_a_wrong"]
    tests = [mcnemar(int(x), int(y)) for x, y in zip(columns["only_a_wrong"], columns["only_b_wrong"], strict=True)]
    for place, name in enumerate(("mcnemar_chi2", "p_value", "p_exact")):
        columns[name] = pl.Series([test[place] for test in tests], dtype=pl.Float64)
    p = np.array([test[1] if test[2] is None else test[2] for test in tests], np.float64)
    columns["p_holm"], columns["p_bh"] = holm(p), benjamini_hochberg(p)
    columns["agreement"] = np.array([(top1[i] == top1[j]).mean() if n else np.nan for i, j in zip(a, b, strict=True)])
    z = normal_quantile(confidence)
    for name, (mean, error), (low, high) in (
        ("micro", whole, (micro_low, micro_high)),
        ("class_mean", by_class, (class_low, class_high)),
    ):
        value = mean[a, b]
        columns[name] = value
        columns[f"{name}_low"], columns[f"{name}_high"] = value - z * error[a, b], value + z * error[a, b]
        columns[f"{name}_bound_low"], columns[f"{name}_bound_high"] = value - low, value + high
    frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
    decidable = [
        (pl.col(f"{name}_bound_low") > 0)
        | (pl.col(f"{name}_bound_high") < 0)
        | (pl.col(f"{name}_bound_low") == pl.col(f"{name}_bound_high"))
        for name in ("micro", "class_mean")
    ]
    return frame.with_columns(decidable=decidable[0].fill_null(False) & decidable[1].fill_null(True))


def _cell_sums(right: NDArray[np.bool_], cells: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Mean over cells of A - B and its standard error, (R, R), for all pairs at once (as `cell_means`)."""
    n_runs = len(right)
    value, variance = np.zeros((n_runs, n_runs)), np.zeros((n_runs, n_runs))
    order = np.argsort(cells, kind="stable")
    size = np.bincount(cells) if len(cells) else np.zeros(0, np.int64)
    ends = np.cumsum(size)
    present, several = int((size > 0).sum()), int((size > 1).sum())
    for start, end in zip(ends - size, ends, strict=True):
        if start == end:
            continue
        block = right[:, order[start:end]].astype(np.float32)
        together = (block @ block.T).astype(np.float64)
        hits = np.diag(together)
        mean = (hits[:, None] - hits[None, :]) / (end - start)
        value += mean
        if end - start > 1:
            squares = (hits[:, None] + hits[None, :] - 2 * together) / (end - start)
            variance += np.maximum(squares - mean * mean, 0) / (end - start - 1)
    if not present:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    return value / present, np.sqrt(variance) / present if several else np.full_like(value, np.nan)


def _reach(
    judged: list[Judged],
    scored: NDArray[np.bool_],
    top1: NDArray[np.int32],
    target: NDArray[np.int32],
    a: NDArray[np.intp],
    b: NDArray[np.intp],
) -> tuple[Floats, Floats]:
    """How far B's unjudged predictions that differ from A's could move A - B: micro and class-mean, by pair."""
    micro = np.zeros((len(judged), len(judged)))
    class_mean = np.zeros_like(micro)
    size = np.bincount(target[target >= 0]).astype(np.float64) if len(target) else np.zeros(0)
    weight = np.zeros(len(target))
    weight[target >= 0] = 1 / (size[target[target >= 0]] * (size > 0).sum())
    for place, one in enumerate(judged):
        rows = np.flatnonzero(one.unjudged[scored])
        differ = top1[:, rows] != top1[place, rows]
        micro[:, place] = differ.sum(axis=1) / max(1, len(target))
        class_mean[:, place] = differ @ weight[rows]
    return micro[a, b], class_mean[a, b]


def holm(p: Floats) -> Floats:
    """Holm's corrected p-values (m,): they bound the chance of any false discovery."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    return corrected


def benjamini_hochberg(p: Floats) -> Floats:
    """Benjamini and Hochberg's corrected p-values (m,): they bound the share of false discoveries."""
    return np.asarray(false_discovery_control(p)) if len(p) else p


# ---- together


@dataclass(frozen=True)
class Member:
    """One step of a greedy ensemble."""

    run: str
    accuracy: float
    """Of the ensemble with this member, on the items it was not chosen on."""
    gain: Difference
    """What this member added there, paired (of the first: its own accuracy, without an interval)."""


def greedy_ensemble(
    scores: Mapping[str, NDArray[np.floating]],
    items: NDArray[np.uint32],
    labels: LabelSet,
    *,
    size: int | None = None,
    unclear: Unclear = "lenient",
    confidence: float = 0.95,
    seed: int = 0,
    within: NDArray[np.uint32] | None = None,
    progress: Progress = silent,
) -> list[Member]:
    """Runs in the order in which each adds most to the mean of the logits, up to `size` of them (None: all).

    `scores` are dense logits (n, C) in the rows of `items` and of the same classes. Logits and log-probabilities
    give the same ensemble: they differ by a number an item. Micro accuracy; members are chosen on a random half of
    the scored items and measured on the other half, as an ensemble measured where it was chosen looks too good.
    `within` leaves the items in it, by number.
    """
    shapes = {found.shape for found in scores.values()}
    if len(shapes) > 1 or any(shape[0] != len(items) for shape in shapes):
        raise InputError(f"An ensemble needs dense scores of the same items and classes; these are {sorted(shapes)}.")
    counted = labels.scored(items)
    if within is not None:
        counted &= np.isin(items, within)
    scored = np.flatnonzero(counted)
    if len(scored) < 2 or not scores:
        return []
    shuffled = np.random.default_rng(seed).permutation(scored)
    chosen_on, measured_on = np.sort(shuffled[: len(scored) // 2]), np.sort(shuffled[len(scored) // 2 :])
    left, members = list(scores), list[Member]()
    members_so_far: list[str] = []
    before: NDArray[np.bool_] | None = None
    steps = min(len(left), size or len(left))
    for step in range(steps):
        progress("Choosing members", step, steps)
        hits = {
            run: int(_right([scores[name] for name in [*members_so_far, run]], items, chosen_on, labels, unclear).sum())
            for run in left
        }
        best = max(left, key=hits.__getitem__)  # the first of equals, in the order given
        left.remove(best)
        members_so_far.append(best)
        right = _right([scores[name] for name in members_so_far], items, measured_on, labels, unclear)
        value = float(right.mean())
        gain = Difference(value, None, None)
        if before is not None:
            gain = paired_difference(right.astype(np.int8) - before.astype(np.int8), None, confidence)
        members.append(Member(best, value, gain))
        before = right
    progress("Choosing members", steps, steps)
    return members


def _right(
    scores: Sequence[NDArray[np.floating]],
    items: NDArray[np.uint32],
    rows: NDArray[np.int64],
    labels: LabelSet,
    unclear: Unclear,
) -> NDArray[np.bool_]:
    top1 = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        total = scores[0][block].astype(np.float32)
        for more in scores[1:]:
            total += more[block]
        top1[start : start + BLOCK] = total.argmax(axis=1)
    return labels.valid_mask(items[rows], top1, unclear=unclear)


def linear_cka(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Linear CKA (Kornblith et al., 2019) of two embeddings (n, d) and (n, e) of the same items, 0 to 1.

    Does not change under rotation and scaling of either. NaN when one of them does not vary.
    """
    if len(a) != len(b):
        raise InputError(f"Embeddings of {len(a):,} and {len(b):,} items: CKA compares the same items.")
    if not len(a):
        return float("nan")
    means = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    products = [np.zeros((x.shape[1], y.shape[1])) for x, y in ((a, b), (a, a), (b, b))]
    for start in range(0, len(a), BLOCK):
        x = a[start : start + BLOCK] - means[0]
        y = b[start : start + BLOCK] - means[1]
        for total, (left, right) in zip(products, ((x, y), (x, x), (y, y)), strict=True):
            total += left.T @ right
    cross, own_a, own_b = (float(np.linalg.norm(product)) for product in products)
    return cross**2 / (own_a * own_b) if own_a * own_b else float("nan")


# ---- orders


def pareto_front(cost: NDArray[np.floating], value: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Runs (n,) that no other beats in both cost (less) and value (more); NaN in either is never on the front.

    Of runs with the same cost and value all are on it.
    """
    known = ~(np.isnan(cost) | np.isnan(value))
    front = np.zeros(len(cost), bool)
    order = np.flatnonzero(known)[np.lexsort((-value[known], cost[known]))]
    best, at = -np.inf, np.nan
    for place in order:
        if value[place] > best or (value[place] == best and cost[place] == at):
            front[place], best, at = True, value[place], cost[place]
    return front


def rank_stability(accuracies: pl.DataFrame) -> pl.DataFrame:
    """How alike label sets order the runs: first, second, n, tau, swaps for every two label sets.

    `accuracies` has run, labels, value, one row for each run and label set, such as a report filtered to one
    metric. `tau` is Kendall's tau-b (null below two runs, or where all are equal), `swaps` counts the pairs of
    runs whose order the two label sets reverse.
    """
    names = accuracies["labels"].unique(maintain_order=True).to_list()
    rows = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            both = (
                accuracies.filter(labels=first)
                .join(accuracies.filter(labels=second), on="run", suffix="_second")
                .drop_nulls(["value", "value_second"])
            )
            x, y = both["value"].to_numpy(), both["value_second"].to_numpy()
            tau = float(kendalltau(x, y).statistic) if len(x) > 1 else float("nan")
            swaps = int((np.sign(x[:, None] - x) * np.sign(y[:, None] - y) < 0).sum()) // 2
            rows.append((first, second, len(x), None if np.isnan(tau) else tau, swaps))
    schema = {"first": pl.String, "second": pl.String, "n": pl.UInt32, "tau": pl.Float64, "swaps": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")
