"""How far the readers of a workspace agree: coefficients with intervals, who splits from whom, and on what.

Only blind, independent first readings enter (analysis/review/agreement.py). Verdicts and sets of valid classes are
measured on all of them, categories and severities only where every reader of the item and class said wrong. Raw
agreement stands beside the coefficients: where nearly all verdicts are alike, chance explains most of it, and alpha is
low however well people agree. Intervals are bootstraps of items: what is judged of one item is drawn together.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from analysis.errors import InputError
from analysis.intervals import bootstrap, finite, wilson
from analysis.results.review_log import current
from analysis.review import agreement as measures
from analysis.review import queues
from analysis.review.kinds import CAUSES, VERDICTS
from analysis.review.state import REPEAT
from analysis.workspace import Workspace

Floats = NDArray[np.float64]
By = Literal["queue", "class", "pair", "week"]

DRAWS = 1000
DRAWS_OF_GROUPS = 200
_ORDER = ("wrong", "unsure", "valid")
"""Verdicts as degrees; who calls for an expert is unsure."""

COEFFICIENTS_SCHEMA = {
    "of": pl.String(),  # verdict, valid set, category or severity
    "measure": pl.String(),
    "value": pl.Float64(),  # null where it is not defined
    "low": pl.Float64(),  # 95 % interval
    "high": pl.Float64(),
    "n": pl.UInt32(),  # units with two readings or more: (item, class), or items for sets
}
GROUPS_SCHEMA = {
    "group": pl.String(),
    "raw": pl.Float64(),
    "raw_low": pl.Float64(),
    "raw_high": pl.Float64(),
    "alpha": pl.Float64(),
    "alpha_low": pl.Float64(),
    "alpha_high": pl.Float64(),
    "kappa": pl.Float64(),  # Cohen's, of pairs; else null
    "kappa_low": pl.Float64(),
    "kappa_high": pl.Float64(),
    "n": pl.UInt32(),  # (item, class) with two readings or more
}
PERSONS_SCHEMA = {
    "person": pl.String(),
    "readings": pl.UInt32(),  # first blind verdicts
    "with_others": pl.Float64(),  # share of pairs with another reader of the same that agree; null without one
    "with_others_low": pl.Float64(),
    "with_others_high": pl.Float64(),
    "pairs": pl.UInt32(),
    "decoys": pl.UInt32(),
    "decoys_accepted": pl.UInt32(),
    "decoys_low": pl.Float64(),  # Wilson's interval of the share that was accepted
    "decoys_high": pl.Float64(),
    "repeats": pl.UInt32(),
    "repeats_same": pl.UInt32(),
    "repeats_low": pl.Float64(),  # of the share that was judged as before
    "repeats_high": pl.Float64(),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the log that agreement is measured on, and the decoys of their queues."""

    log: pl.DataFrame
    decoys: pl.DataFrame
    """item, class, queue."""


def rows_of(workspace: Workspace, queue: str | None = None, upto: int | None = None) -> Rows:
    """What was said up to a position, in one queue (id) or in all. Raises InputError for a queue that is not there."""
    there = [one.id for one in queues.listed(workspace)]
    if queue is not None and queue not in there:
        raise InputError(f"{workspace.name} has no queue {queue!r}.")
    rows = current(workspace, upto)
    if queue is not None:
        rows = _within(rows, queue)
    chosen = there if queue is None else [queue]
    parts = [queues.decoys(workspace, one).with_columns(queue=pl.lit(one)) for one in chosen]
    empty = pl.DataFrame(schema={"item": pl.UInt32, "class": pl.UInt32, "queue": pl.String})
    return Rows(rows, pl.concat([empty, *parts]))


def _within(rows: pl.DataFrame, queue: str) -> pl.DataFrame:
    """The rows of a queue with what takes them back, wherever it was said."""
    mine = set(rows.filter(queue=queue)["position"])
    refers = rows.filter(pl.col("supersedes").is_not_null()).select("position", "supersedes")
    for position, target in refers.iter_rows():  # by position, so that an undo of an undo finds it there
        if target in mine:
            mine.add(position)
    return rows.filter(pl.col("position").is_in(pl.Series(sorted(mine), dtype=pl.Int64).implode()))


def _first(rows: pl.DataFrame, kind: str = "verdict") -> pl.DataFrame:
    """First blind readings; what was shown again unknowingly measures the person, not agreement."""
    return measures.first_readings(rows.filter(pl.col("stratum").ne_missing(REPEAT)), kind)


def _interval(
    every: Callable[[Floats], Floats | list[float]], n: int, *, groups: NDArray | None = None, draws: int, seed: int = 0
) -> tuple[Floats, Floats]:
    """`bootstrap`, for several measures at once; NaN for those that no draw gives."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return bootstrap(every, n, groups=groups, draws=draws, seed=seed)


# ---- coefficients


def coefficients(rows: pl.DataFrame, *, draws: int = DRAWS, seed: int = 0) -> pl.DataFrame:
    """Every coefficient of the log's rows, in the columns of COEFFICIENTS_SCHEMA.

    Verdicts: raw, alpha nominal and ordinal (wrong, unsure, valid), Fleiss' kappa of the units with the most frequent
    number of readings, and the agreement on each verdict. Valid sets: alpha by MASI and by Jaccard. Category: raw and
    alpha nominal; severity: raw and alpha ordinal.
    """
    verdicts = _first(rows)
    units, counts = measures.counts(verdicts, VERDICTS)
    degrees = np.stack([counts[:, 1], counts[:, 2] + counts[:, 3], counts[:, 0]], axis=1)
    found = [
        *_measured(
            "verdict", units, counts, {"raw": measures.raw_agreement, "alpha nominal": measures.alpha}, draws, seed
        ),
        *_measured("verdict", units, degrees, {"alpha ordinal": _ordinal}, draws, seed),
        _fleiss(units, counts, draws, seed),
        *_by_verdict(units, counts, draws, seed),
        *_sets(verdicts, draws, seed),
    ]
    wrong = _all_wrong(verdicts)
    causes = _first(rows, "cause").join(wrong, on=["item", "class"], how="semi")
    units, counts = measures.counts(causes, CAUSES)
    plain = {"raw": measures.raw_agreement, "alpha nominal": measures.alpha}
    found += _measured("category", units, counts, plain, draws, seed)
    units, counts = measures.counts(causes, ["minor", "borderline", "major"], "severity")
    found += _measured(
        "severity", units, counts, {"raw": measures.raw_agreement, "alpha ordinal": _ordinal}, draws, seed
    )
    return pl.DataFrame(found, schema=COEFFICIENTS_SCHEMA, orient="row")


Row = tuple[str, str, float | None, float | None, float | None, int]
Statistic = Callable[[NDArray, Floats], float]


def _ordinal(counts: NDArray, weights: Floats) -> float:
    return measures.alpha(counts, weights, distances="ordinal")


def _measured(
    of: str, units: pl.DataFrame, counts: NDArray, what: Mapping[str, Statistic], draws: int, seed: int
) -> list[Row]:
    """Each statistic of units (item, class) with two readings or more, with its interval over items."""
    twice = counts.sum(axis=1) >= 2
    table, items = counts[twice], units["item"].to_numpy()[twice]
    if not len(table):
        return [(of, name, None, None, None, 0) for name in what]

    def every(weights: Floats) -> list[float]:
        return [statistic(table, weights) for statistic in what.values()]

    low, high = _interval(every, len(table), groups=items, draws=draws, seed=seed)
    values = every(np.ones(len(table)))
    return [
        (of, name, finite(values[place]), finite(low[place]), finite(high[place]), len(table))
        for place, name in enumerate(what)
    ]


def _fleiss(units: pl.DataFrame, counts: NDArray, draws: int, seed: int) -> Row:
    """Of the units that have the number of readings that most have."""
    readings = counts.sum(axis=1)
    several = readings[readings >= 2]
    if not len(several):
        return ("verdict", "Fleiss' kappa", None, None, None, 0)
    most = np.bincount(several).argmax()
    same = readings == most

    def kappa(table: NDArray, weights: Floats) -> float:
        shares = weights @ table / (weights.sum() * most)
        chance = float(shares @ shares)
        return (measures.raw_agreement(table, weights) - chance) / (1 - chance) if chance < 1 else float("nan")

    return _measured("verdict", units.filter(pl.Series(same)), counts[same], {"Fleiss' kappa": kappa}, draws, seed)[0]


def _by_verdict(units: pl.DataFrame, counts: NDArray, draws: int, seed: int) -> list[Row]:
    """Of readers who gave a verdict, the share of the other readers who gave it too."""

    def of(place: int) -> Statistic:
        def share(table: NDArray, weights: Floats) -> float:
            n = table[:, place]
            possible = weights @ (n * (table.sum(axis=1) - 1))
            return float(weights @ (n * (n - 1)) / possible) if possible else float("nan")

        return share

    what = {f"agreement on {verdict}": of(place) for place, verdict in enumerate(VERDICTS)}
    return _measured("verdict", units, counts, what, draws, seed)


def _all_wrong(verdicts: pl.DataFrame) -> pl.DataFrame:
    """(item, class) of which every reader said wrong."""
    said = verdicts.group_by("item", "class").agg((pl.col("value") == "wrong").all().alias("wrong"))
    return said.filter("wrong").select("item", "class")


# ---- sets


def _sets(verdicts: pl.DataFrame, draws: int, seed: int) -> list[Row]:
    """Alpha of the sets of valid classes that readers of an item gave, by MASI and by Jaccard."""
    sets = measures.valid_sets(verdicts)
    if not sets:
        return [("valid set", f"alpha {name}", None, None, None, 0) for name in ("MASI", "Jaccard")]
    table, alike = set_table(sets)

    def every(weights: Floats) -> list[float]:
        return [sparse_alpha(table, similar, weights) for similar in alike.values()]

    low, high = _interval(every, len(sets), draws=draws, seed=seed)
    values = every(np.ones(len(sets)))
    return [
        ("valid set", f"alpha {name}", finite(values[place]), finite(low[place]), finite(high[place]), len(sets))
        for place, name in enumerate(alike)
    ]


def set_table(sets: Sequence[Sequence[frozenset[int]]]) -> tuple[sparse.csr_array, dict[str, sparse.csr_array]]:
    """Counts (n, k) of the k different sets, and how alike these are (k, k), 1 - distance, by MASI and by Jaccard.

    Sparse: of many sets few have a class in common. The distances are those of analysis/review/agreement.py.
    """
    kinds = list(dict.fromkeys(one for unit in sets for one in unit))
    place = {one: number for number, one in enumerate(kinds)}
    unit, kind = zip(*((row, place[one]) for row, found in enumerate(sets) for one in found), strict=True)
    table = sparse.csr_array((np.ones(len(unit)), (unit, kind)), shape=(len(sets), len(kinds)))
    members = [(number, index) for number, one in enumerate(kinds) for index in one]
    rows, columns = np.array(members, np.int64).reshape(-1, 2).T
    holds = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(kinds), int(columns.max(initial=0)) + 1))
    common = sparse.coo_array(holds @ holds.T)
    a, b = common.coords
    size = np.array([len(one) for one in kinds], np.float64)
    jaccard = common.data / (size[a] + size[b] - common.data)
    within = common.data == np.minimum(size[a], size[b])
    masi = jaccard * np.where(a == b, 1, np.where(within, 2 / 3, 1 / 3))
    empty = np.flatnonzero(size == 0)  # two empty sets agree
    a, b = np.append(a, empty), np.append(b, empty)
    shape = (len(kinds), len(kinds))
    alike = {
        name: sparse.csr_array((np.append(values, np.ones(len(empty))), (a, b)), shape=shape)
        for name, values in (("MASI", masi), ("Jaccard", jaccard))
    }
    return table, alike


def sparse_alpha(table: sparse.csr_array, alike: sparse.csr_array, weights: Floats) -> float:
    """Krippendorff's alpha as analysis.review.agreement.alpha, of units (n, k) and similarities (k, k)."""
    n = table.sum(axis=1)
    apart = n**2 - (table @ alike).multiply(table).sum(axis=1)
    totals = weights @ table
    all_ = totals.sum()
    expected = all_**2 - totals @ (alike @ totals)
    return float(1 - (all_ - 1) * (weights @ (apart / (n - 1))) / expected) if expected > 0 else float("nan")


# ---- groups


def by(rows: pl.DataFrame, what: By, *, draws: int = DRAWS_OF_GROUPS, seed: int = 0) -> pl.DataFrame:
    """Agreement of verdicts within groups, in the columns of GROUPS_SCHEMA, by name of the group.

    A queue by its id, a class by its index, a week by its Monday (of the newest reading), a pair of readers as
    `ANN & BOB`. Groups without a unit of two readings are left out.
    """
    first = _first(rows)
    if what == "pair":
        return _pairs(first, draws, seed)
    key = {
        "queue": pl.col("queue"),
        "class": pl.col("class").cast(pl.String),
        "week": pl.col("time").max().over("item", "class").dt.truncate("1w").dt.date().cast(pl.String),
    }[what]
    grouped = first.with_columns(key.alias("group")).drop_nulls("group")
    counted = (
        grouped.group_by("group", "item", "class")
        .agg(pl.len().alias("n"), *[(pl.col("value") == verdict).sum().alias(verdict) for verdict in VERDICTS])
        .filter(pl.col("n") >= 2)
        .sort("group", "item", "class")
    )
    names = counted["group"].unique().sort()
    if names.is_empty():
        return pl.DataFrame(schema=GROUPS_SCHEMA)
    code = counted["group"].rank("dense").to_numpy().astype(np.int64) - 1
    table = counted.select(VERDICTS).to_numpy().astype(np.float64)

    def every(weights: Floats) -> Floats:
        return np.stack(_raw_and_alpha(table, code, len(names), weights))

    low, high = _interval(every, len(table), groups=counted["item"].to_numpy(), draws=draws, seed=seed)
    found = every(np.ones(len(table)))
    n = np.bincount(code, minlength=len(names))
    return _groups(names.to_list(), found, low, high, n)


def _raw_and_alpha(table: Floats, code: NDArray, n_groups: int, weights: Floats) -> tuple[Floats, Floats]:
    """Raw agreement and nominal alpha of the units (n, k) of each group, (G,); NaN where there is none."""
    n = table.sum(axis=1)
    agreeing = (table**2).sum(axis=1) - n
    units = np.bincount(code, weights, n_groups)
    totals = np.stack([np.bincount(code, weights * column, n_groups) for column in table.T], axis=1)
    observed = np.bincount(code, weights * (n * (n - 1) - agreeing) / (n - 1), n_groups)
    all_ = totals.sum(axis=1)
    expected = all_**2 - (totals**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.bincount(code, weights * agreeing / (n * (n - 1)), n_groups) / units
        return raw, np.where(expected > 0, 1 - (all_ - 1) * observed / expected, np.nan)


def _pairs(first: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """Each two readers of the same item and class, as raw agreement, alpha and Cohen's kappa."""
    said = first.select("item", "class", "person", "value")
    both = said.join(said, on=["item", "class"]).filter(pl.col("person") < pl.col("person_right"))
    if both.is_empty():
        return pl.DataFrame(schema=GROUPS_SCHEMA)
    both = both.with_columns(group=pl.concat_str("person", "person_right", separator=" & "))
    both = both.sort("group", "item", "class")
    groups = both["group"].unique().sort()
    code = both["group"].rank("dense").to_numpy().astype(np.int64) - 1
    words = pl.Enum(VERDICTS)
    a, b = (both[name].cast(words).to_physical().to_numpy().astype(np.int64) for name in ("value", "value_right"))
    k, n_groups = len(VERDICTS), len(groups)
    table = np.eye(k)[a] + np.eye(k)[b]

    def every(weights: Floats) -> Floats:
        raw, alpha = _raw_and_alpha(table, code, n_groups, weights)
        shares = [
            np.stack([np.bincount(code, weights * (said_by == value), n_groups) for value in range(k)], axis=1)
            for said_by in (a, b)
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = (shares[0] * shares[1]).sum(axis=1) / np.bincount(code, weights, n_groups) ** 2
            kappa = np.where(chance < 1, (raw - chance) / (1 - chance), np.nan)
        return np.stack([raw, alpha, kappa])

    low, high = _interval(every, len(both), groups=both["item"].to_numpy(), draws=draws, seed=seed)
    return _groups(groups.to_list(), every(np.ones(len(both))), low, high, np.bincount(code, minlength=n_groups))


def _groups(names: list[str], found: Floats, low: Floats, high: Floats, n: NDArray) -> pl.DataFrame:
    columns: dict[str, object] = {"group": names}
    for place, measure in enumerate(("raw", "alpha", "kappa")[: len(found)]):
        columns |= {measure: found[place], f"{measure}_low": low[place], f"{measure}_high": high[place]}
    frame = pl.DataFrame(columns | {"n": n})
    missing = [pl.lit(None, kind).alias(name) for name, kind in GROUPS_SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(missing).select(
        pl.col(name).cast(kind).fill_nan(None) if kind == pl.Float64() else pl.col(name).cast(kind)
        for name, kind in GROUPS_SCHEMA.items()
    )


# ---- people, and what splits them


def persons(rows: Rows) -> pl.DataFrame:
    """Each reader: agreement with the others, decoys accepted, the same item judged alike again; PERSONS_SCHEMA."""
    first = _first(rows.log)
    known = first.group_by("person").agg(readings=pl.len())
    said = first.select("item", "class", "person", "value")
    both = said.join(said, on=["item", "class"]).filter(pl.col("person") != pl.col("person_right"))
    others = _with_others(both)
    # A decoy is one of its own queue: another queue may have the same class of the item from a run.
    of_queues = first.join(rows.decoys, on=["item", "class", "queue"], how="semi")
    decoys = of_queues.group_by("person").agg(decoys=pl.len(), decoys_accepted=(pl.col("value") == "valid").sum())
    again = measures.repeats(rows.log).rename({"n": "repeats", "same": "repeats_same"})
    found = known.join(others, on="person", how="left").join(decoys, on="person", how="left")
    found = found.join(again, on="person", how="left").with_columns(
        pl.col("pairs", "decoys", "decoys_accepted", "repeats", "repeats_same").fill_null(0)
    )
    for of, hits, n in (("decoys", "decoys_accepted", "decoys"), ("repeats", "repeats_same", "repeats")):
        low, high = wilson(found[hits].to_numpy(), found[n].to_numpy())
        found = found.with_columns(
            pl.Series(f"{of}_low", low, dtype=pl.Float64).fill_nan(None),
            pl.Series(f"{of}_high", high, dtype=pl.Float64).fill_nan(None),
        )
    return found.sort("person").select(pl.col(name).cast(kind) for name, kind in PERSONS_SCHEMA.items())


def _with_others(both: pl.DataFrame, draws: int = DRAWS_OF_GROUPS) -> pl.DataFrame:
    """person, with_others with its interval over items, pairs; of all ordered pairs of readings of one unit."""
    both = both.sort("person", "item", "class")
    names = both["person"].unique().sort()
    code = both["person"].rank("dense").fill_null(1).to_numpy().astype(np.int64) - 1
    same = (both["value"] == both["value_right"]).to_numpy()

    def every(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.bincount(code, weights * same, len(names)) / np.bincount(code, weights, len(names))

    low, high = _interval(every, len(both), groups=both["item"].to_numpy(), draws=draws)
    found = {"with_others": every(np.ones(len(both))), "with_others_low": low, "with_others_high": high}
    columns = {name: pl.Series(values, dtype=pl.Float64).fill_nan(None) for name, values in found.items()}
    pairs = pl.Series(np.bincount(code, minlength=len(names)))
    return pl.DataFrame({"person": names, **columns, "pairs": pairs})


def splits(rows: pl.DataFrame) -> pl.DataFrame:
    """(item, class) on which readers differ, the most divided first: item, class, counts of verdicts, agreement."""
    return measures.splits(_first(rows), VERDICTS)
