"""Runs under review: what the judgements make of their predictions, and which items the queues' designs cover.

What is right after review is what the label set `reviewed` says (analysis/review/reviewed.py); what of it may be
said of items that nobody looked at follows from the designs (analysis/review/estimates.py). An item counts as
reviewed when it was read in a queue whose design covers it:

- Queues with random strata count first, in the order in which they were made, then ordered ones. An item that
  several queues hold belongs to the first of them, whatever came out: a later queue may have been made because of
  what an earlier one found. What other queues and single judgements say of it settles its value, not its chance.
- A prediction that readers differ or are unsure about counts as in the base, and the bounds say how far that reaches.
  One that they were not asked about leaves bounds only.
- An item that is excluded by a problem counts as before and is counted apart. One whose every class was judged wrong
  stays: before and after share one denominator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.hierarchy import Hierarchy, with_lower_classes
from analysis.labels.sets import ABSENT, LabelSet, Unclear, counts_as_valid, label_set
from analysis.metrics import judge
from analysis.models.predictions import Predictions
from analysis.results.review_log import current
from analysis.review import log, queues, readings, state
from analysis.review.estimates import AfterReview, Sample, after_review
from analysis.review.queues import Queue
from analysis.review.reviewed import EXCLUDING, reviewed
from analysis.workspace import Workspace

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Items = NDArray[np.uint32]

# ---- what is known


@dataclass(frozen=True, eq=False)
class Design:
    """A queue's draw, as fixed when it was made."""

    queue: Queue
    members: pl.DataFrame
    """item u32, stratum i64: every item of its strata, drawn or not; by item."""
    asked: pl.DataFrame
    """item u32, class u32: the candidates of drawn items."""


@dataclass(frozen=True, eq=False)
class Review:
    """The judgements up to a position, and the queues under which they were made."""

    rows: pl.DataFrame
    """Of the log, in the columns of analysis.review.log.SCHEMA; those of images as they are."""
    designs: Sequence[Design]
    """The oldest queue first."""


def review(workspace: Workspace, queues_: Sequence[str] | None = None, upto: int | None = None) -> Review:
    """What was judged in a workspace up to a position, under the designs of these queues (ids; None for all).

    Judgements count whichever queue they come from. Raises InputError for a queue that does not exist.
    """
    there = queues.listed(workspace)
    if unknown := [id for id in queues_ or () if id not in {queue.id for queue in there}]:
        raise InputError(f"{workspace.name} has no queue {unknown[0]!r}.")
    chosen = [queue for queue in there if queues_ is None or queue.id in queues_]
    return Review(current(workspace, upto), [_design(workspace, queue.id) for queue in chosen])


@lru_cache(maxsize=64)
def _design(workspace: Workspace, queue: str) -> Design:
    made = queues.load(workspace, queue)
    members = queues.members(workspace, queue).select("item", "stratum", "place")
    drawn = members.filter(pl.col("place").is_not_null())["item"].to_list()
    places = readings.places(workspace, made, drawn)
    pairs = [(item, index) for item, place in places.items() for index in place.sources]
    asked = pl.DataFrame(pairs, schema={"item": pl.UInt32, "class": pl.UInt32}, orient="row")
    return Design(made, members.select("item", "stratum"), asked)


def read_items(rows: pl.DataFrame, design: Design) -> pl.Series:
    """Items of a queue that somebody has read as far as it asks, sorted; as `readings.is_over` has it.

    Taken from the log, not from leases, so that it can be told for any past position.
    """
    mine = rows.filter(
        log.stands(rows)
        & pl.col("queue").eq_missing(design.queue.id)
        & pl.col("stratum").ne_missing(state.REPEAT)
        & ~pl.col("panel")
    )
    unreadable = mine.filter((pl.col("kind") == "problem") & (pl.col("value") == "unreadable"))["item"]
    wanted = design.asked.group_by("item").agg(wanted=pl.len())
    said = mine.filter(pl.col("kind") == "verdict").join(design.asked, on=["item", "class"], how="semi")
    whole = said.group_by("item", "person").agg(said=pl.col("class").n_unique()).join(wanted, on="item")
    whole = whole.filter(pl.col("said") == pl.col("wanted")).select("item", "person")
    if design.queue.protocol.exhaustive:
        ended = mine.filter(pl.col("kind") == "exhaustive").select("item", "person").unique()
        unasked = ended.join(wanted, on="item", how="anti")  # no candidates: only what is missing is asked
        whole = pl.concat([whole.join(ended, on=["item", "person"], how="semi"), unasked])
    return pl.concat([whole["item"], unreadable]).unique().sort()


# ---- what became of predictions


@dataclass(frozen=True, eq=False)
class Judgements:
    """What the judgements say of classes and items, on a base; ready to be held against runs."""

    base: LabelSet
    after: LabelSet
    """`reviewed` on the base. Both accept what is below a valid class, where the class list has a hierarchy."""
    decided: LabelSet
    """Only what reviewers decided."""
    said: LabelSet
    """All that anybody gave a verdict on, decided or not, whatever its state here."""
    closed: Items
    """Items of which a reviewer said that no further class is valid."""
    excluded: Items
    """Items with a problem for which they are not scored."""
    unclear: Unclear


@dataclass(frozen=True, eq=False)
class Predicted:
    """A run's top-1 before and after review, item by item; all (n,)."""

    scored: Bools
    """The base scores the item, and the run has a prediction."""
    before: Bools
    after: Bools
    """As in the base where review did not settle it, and where the item is newly excluded."""
    settled: Bools
    told: Bools
    """Somebody gave a verdict on it, or it is settled."""
    unjudged: Bools
    """An open base says nothing of it, nor did review."""
    excluded: Bools


def judgements(
    rows: pl.DataFrame, base: LabelSet, items: pl.DataFrame, above: Hierarchy | None, *, unclear: Unclear = "lenient"
) -> Judgements:
    """What the log's rows say on a base. `items` are the workspace's; `above` is the hierarchy of its classes."""
    consensus = state.verdicts(rows)
    words = {"valid": "valid", "wrong": "rejected", "unclear": "unclear"}
    decided = consensus.filter(pl.col("state").is_in(state.DECIDED)).select(
        "item", "class", state=pl.col("state").cast(pl.String).replace(words)
    )
    said = consensus.select("item", "class", state=pl.lit("valid"))

    def lower(labels: LabelSet) -> LabelSet:
        return labels if above is None else with_lower_classes(labels, above)

    def of(labels: pl.DataFrame) -> LabelSet:
        return lower(label_set("judged", labels, labels.select("item").unique(), absent="unjudged"))

    problems = state.problems(rows).filter(pl.col("problem").is_in(EXCLUDING))["item"].unique().sort()
    return Judgements(
        base=lower(base),
        after=lower(reviewed(rows, base, items)),
        decided=of(decided),
        said=of(said),
        closed=state.exhaustive(rows).to_numpy(),
        excluded=problems.to_numpy(),
        unclear=unclear,
    )


def predicted(judged: Judgements, predictions: Predictions) -> Predicted:
    """A run's predictions before and after review."""
    items, top1 = predictions.items, predictions.top1
    before = judge(predictions, judged.base, unclear=judged.unclear)
    # By the state of the class, scored or not: an item that lost its last valid class stays, as a mistake.
    valid = counts_as_valid(judged.after.states(items, top1), judged.unclear)
    excluded = np.isin(items, judged.excluded)
    undecided = judged.said.states(items, top1) != ABSENT
    decided = judged.decided.states(items, top1) != ABSENT
    settled = before.scored & (excluded | decided | (np.isin(items, judged.closed) & ~undecided))
    return Predicted(
        scored=before.scored,
        before=before.right,
        after=np.where(settled & ~excluded, valid, before.right),
        settled=settled,
        told=settled | undecided,
        unjudged=before.unjudged & ~settled,
        excluded=excluded & before.scored,
    )


# ---- estimates


@dataclass(frozen=True, eq=False)
class Covered:
    """How the designs cover items, (n,)."""

    stratum: NDArray[np.int64]
    """-1 where none covers the item."""
    random: Bools
    """(strata,)"""
    read: Bools
    """Read in the queue that the item belongs to."""
    words: tuple[str, ...]
    """Each queue that takes part, with how far its strata are read."""
    waiting: tuple[str, ...]
    """Ordered strata that are not complete, in words."""


def covered(given: Review, items: Items) -> Covered:
    """Which stratum each of the items (n,) belongs to; see the top of this page for items of several queues."""
    stratum, read = np.full(len(items), -1, np.int64), np.zeros(len(items), bool)
    random: list[bool] = []
    words: dict[str, list[str]] = {}
    waiting = []
    reads = [read_items(given.rows, design) for design in given.designs]
    for is_random in (True, False):
        for design, found in zip(given.designs, reads, strict=True):
            row, member = rows_of(items, design.members)
            seen = np.isin(items, found.to_numpy())
            for number, described in enumerate(design.queue.strata):
                mine = np.zeros(len(items), bool)
                mine[row] = member == number
                if described["random"] != is_random or not (mine & seen).any():
                    continue
                free = mine & (stratum < 0)
                stratum[free] = len(random)
                read[free] = seen[free]
                random.append(is_random)
                n, size = int((mine & seen).sum()), int(mine.sum())
                how = "complete" if n == size else "at random" if is_random else "in its order"
                taken = int(mine.sum() - free.sum())
                words.setdefault(design.queue.name, []).append(
                    f"{described['name']} {n:,} of {size:,} {how}"
                    + (f" ({taken:,} items count in another queue)" if taken else "")
                )
                if not is_random and n < size:
                    waiting.append(f"{design.queue.name}: {n:,} of {size:,} read in its order")
    told_ = tuple(f"{name}: {', '.join(parts)}" for name, parts in words.items())
    return Covered(stratum, np.array(random, bool), read, told_, tuple(waiting))


def rows_of(items: Items, members: pl.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which of the items (sorted) are members: rows (m,), and their strata (m,)."""
    _, row, place = np.intersect1d(items, members["item"].to_numpy(), assume_unique=True, return_indices=True)
    return row, members["stratum"].to_numpy()[place]


@dataclass(frozen=True)
class Estimate:
    """A metric before and after review, with why a part of it cannot be given."""

    found: AfterReview
    n_undecided: int
    """Items that were read and whose prediction is not settled."""
    why: str | None


def estimate(
    before: Floats,
    ends: tuple[Floats, Floats, Floats],
    how: Covered,
    known: Bools,
    told: Bools,
    weights: Floats,
    extremes: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """A mean after review. All are (n,).

    `ends` are each item's value after review: as it counts, at its least and at its most, which differ where it is
    not settled. `known`: settled, for certain; `told`: readers were asked about it.
    """
    random = np.zeros(len(before), bool)
    inside = how.stratum >= 0
    random[inside] = how.random[how.stratum[inside]]
    # Of a random stratum only what was read in its own queue stands for the others; elsewhere all that is settled,
    # and everywhere once nothing is left to stand for.
    whole = (how.read | known)[weights > 0].all()
    seen = how.read | (known & (~random | whole))

    def run(values: Floats) -> AfterReview:
        sample = Sample(how.stratum, how.random, np.where(seen, values, np.nan))
        return after_review(before, sample, weights, extremes=extremes)

    undecided = seen & ~known & (weights > 0)
    middle = least = most = run(ends[0])
    if undecided.any():
        least, most = run(ends[1]), run(ends[2])
    n_unasked = int((undecided & ~told).sum())
    why = _why(middle, how, n_unasked)

    def possible(value: float) -> float:
        return min(max(value, extremes[0]), extremes[1])

    found = replace(
        middle,
        value=None if middle.value is None else possible(middle.value),
        bound_low=possible(least.bound_low),
        bound_high=possible(most.bound_high),
    )
    if n_unasked or not found.n:
        found = replace(found, value=None, low=None, high=None)
    return Estimate(found, int(undecided.sum()), why)


def _why(found: AfterReview, how: Covered, n_unasked: int) -> str | None:
    if not found.n:
        return "no item is scored"
    if not how.words:
        return "nobody has read an item of a queue yet"
    if n_unasked:
        return f"on {n_unasked:,} of the items read, readers were not asked about this prediction"
    if found.n_uncovered:
        rest = f"; {'; '.join(how.waiting)}" if how.waiting else ""
        return f"{found.n_uncovered:,} items are in no stratum that is random or complete{rest}"
    if found.low is None:
        return "no interval: a stratum has a single item read"
    return None
