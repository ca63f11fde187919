"""Queues made of a workspace's items, and what a person is asked in one: candidates, exemplars, what is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl

from analysis.errors import InputError
from analysis.labels.hierarchy import distances
from analysis.labels.sets import REJECTED, VALID, LabelSet
from analysis.lens import Lens, frame
from analysis.overview import best_standing
from analysis.results.distances import mean_distances
from analysis.results.taxonomy import hierarchy
from analysis.results.trust import better_labels
from analysis.review import queues, readings
from analysis.review.designs import (
    DECOY,
    Stratum,
    complete,
    confidence_ordered,
    draw,
    nearest,
    simple_random,
    stratified,
    with_decoys,
)
from analysis.review.queues import Protocol, Queue, Task
from analysis.review.readings import BETWEEN, LABEL, Place, Reading, Word
from analysis.review.state import REPEAT
from analysis.workspace import Run, Workspace

Design = Literal["complete", "random", "stratified", "confident"]

CONTROL = "control: counted as right"
"""The stratum that is drawn from predictions counted as right."""
LEAST_DECOYS = 0.1
"""The share of decoys among candidates below which a reading is not called blind."""
SURE = 0.9
"""The probability from which a run counts as sure in self-paced judging."""
EXEMPLARS = 6
_NEAR = 5
_LEAST = 2  # items of a stratum: one says nothing of how much the others vary


# ---- making a queue


@dataclass(frozen=True)
class QueueOptions:
    """A queue to be made; the same for page, command line and Python."""

    name: str
    design: Design = "complete"
    """complete: every item, in random order. random: n of them. stratified: n, by outcome, with a control stratum of
    predictions counted as right. confident: the n of the lens's run that it is surest of (all without n)."""
    n: int | None = None
    control: float = 0.1
    """Share of a stratified queue's items that come from the control stratum; 0 for none."""
    readings: int = 1
    """Independent readings of each item, by different persons."""
    blind: bool = True
    """Else self-paced: what is known is filled in for confirmation, and no reading is independent."""
    exhaustive: bool = False
    runs: tuple[str, ...] | None = None
    """Runs whose top-1 are candidates, beside the original label; None for the lens's run."""
    decoys: float | None = None
    """Share of decoys among the candidates; None for a tenth where blind, else none."""
    repeats: float = 0.05
    people: tuple[str, ...] | None = None
    """Who may take it; None for everybody who may annotate."""
    guideline: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class NewQueue:
    """A queue that was made, and what there is to say of it."""

    queue: Queue
    n_drawn: int
    n_left_out: int
    """Items that have nothing to judge: neither an original label nor a prediction of the runs."""
    n_decoys: int
    decoys_from: str
    """What near classes were taken from, in words; empty where no decoys were wanted."""


def new_queue(
    workspace: Workspace, items: pl.Series | Sequence[int], lens: Lens, options: QueueOptions, person: str
) -> NewQueue:
    """Draw a queue from items, such as those of a slice, and keep it.

    Candidates of an item are its original label and the top-1 of the runs, each class once with all its sources, and
    decoys. A stratified queue has a stratum for each outcome among the items that are not counted as right, and a
    control stratum of all predictions of the lens's run that are, whether among the items or not.
    Raises InputError for options that cannot be, WorkspaceError for a run or label set that does not exist.
    """
    runs = _runs(workspace, lens, options)
    decoys = (LEAST_DECOYS if options.blind else 0.0) if options.decoys is None else options.decoys
    if not 0 <= decoys < 1 or (options.blind and decoys < LEAST_DECOYS):
        raise InputError(f"The share of decoys is below 1, and in a blind queue at least {LEAST_DECOYS:.0%}.")
    rows = frame(workspace, lens)
    wanted = pl.DataFrame({"item": pl.Series(items, dtype=pl.UInt32)}).unique(maintain_order=True)
    if (strange := wanted.join(rows, on="item", how="anti")).height:
        raise InputError(f"Item {strange['item'][0]} is not in {workspace.name}.")
    chosen = wanted.join(rows, on="item", how="left", maintain_order="left")
    asked = _candidates(rows.select("item", "target"), runs)
    n_left_out = 0
    if not options.exhaustive:
        n_left_out = chosen.join(asked, on="item", how="anti").height
        chosen, rows = (all_.join(asked, on="item", how="semi", maintain_order="left") for all_ in (chosen, rows))
    if chosen.is_empty():
        raise InputError("There is nothing to judge: no item has an original label or a prediction of these runs.")
    strata = _STRATA[options.design](chosen, rows, lens, options)
    drawn = draw(strata, options.seed).filter(pl.col("place").is_not_null()).select(pl.col("item").cast(pl.UInt32))
    asked = asked.join(drawn, on="item", how="semi")
    basis = ""
    if decoys:
        near, basis = near_classes(workspace, lens.space, options.seed)
        asked = with_decoys(asked, near, options.seed, decoys)
    protocol = Protocol(
        readings=options.readings,
        blind=options.blind,
        exhaustive=options.exhaustive,
        repeats=options.repeats,
        people=options.people,
        guideline=options.guideline,
        seed=options.seed,
    )
    queue = queues.create(workspace, options.name, strata, protocol, asked, person=person)
    n_decoys = asked.filter(pl.col("source") == DECOY).height
    return NewQueue(queue, drawn.height, n_left_out, n_decoys, basis)


def _runs(workspace: Workspace, lens: Lens, options: QueueOptions) -> list[Run]:
    names = options.runs if options.runs is not None else (() if lens.run is None else (lens.run,))
    for name in names:
        if name in (LABEL, DECOY) or BETWEEN in name:
            raise InputError(f"The run {name!r} cannot be told from what else a candidate comes from; rename it.")
    return [workspace.run(name) for name in dict.fromkeys(names)]


def _candidates(labelled: pl.DataFrame, runs: Sequence[Run]) -> pl.DataFrame:
    """item, class, source of original labels (item, target) and top-1s; a class once an item, with all its sources."""
    parts = [labelled.select("item", pl.col("target").alias("class"), pl.lit(LABEL).alias("source"))]
    for run in runs:
        top1 = {"item": run.predictions.items, "class": run.predictions.classes[:, 0].astype(np.int64)}
        parts.append(pl.DataFrame(top1).with_columns(source=pl.lit(run.name)))
    every = pl.concat([part.cast({"item": pl.UInt32, "class": pl.Int64}) for part in parts])
    each = (
        every.filter((pl.col("class") >= 0) & pl.col("item").is_in(labelled["item"].implode()))
        .group_by("item", "class", maintain_order=True)
        .agg("source")
    )
    return each.with_columns(source=pl.col("source").list.join(BETWEEN)).sort("item", "class")


def near_classes(workspace: Workspace, space: str | None, seed: int) -> tuple[Callable[[int], Sequence[int]], str]:
    """The classes nearest to a class, the nearest first, and in words what says so.

    By the hierarchy, else by the mean embeddings of the classes in the space, else at random.
    """
    n = len(workspace.classes())
    if (above := hierarchy(workspace)) is not None:
        return nearest(distances(above), _NEAR), f"the class hierarchy ({above.source})"
    if space is not None:
        return nearest(mean_distances(workspace, space), _NEAR), f"mean embeddings of the classes ({space})"

    def chance(index: int) -> list[int]:
        others = np.random.default_rng([seed, index]).permutation(n)
        return [int(other) for other in others[: _NEAR + 1] if other != index][:_NEAR]

    return chance, "random classes: the class list has no hierarchy, and the workspace no embeddings"


# ---- designs


Strata = Callable[[pl.DataFrame, pl.DataFrame, Lens, QueueOptions], list[Stratum]]


def _complete(chosen: pl.DataFrame, rows: pl.DataFrame, lens: Lens, options: QueueOptions) -> list[Stratum]:
    if options.n is not None:
        raise InputError("A complete queue takes every item; leave n out, or take the design random.")
    return complete(chosen["item"])


def _random(chosen: pl.DataFrame, rows: pl.DataFrame, lens: Lens, options: QueueOptions) -> list[Stratum]:
    return simple_random(chosen["item"], _number(options))


def _confident(chosen: pl.DataFrame, rows: pl.DataFrame, lens: Lens, options: QueueOptions) -> list[Stratum]:
    if chosen["confidence"].is_null().all():
        raise InputError("Nothing says how sure a run is of these items; choose a run that has scores.")
    n = None if options.n is None else _number(options)
    return confidence_ordered(chosen["item"], chosen["confidence"].fill_null(-1), n)


def _stratified(chosen: pl.DataFrame, rows: pl.DataFrame, lens: Lens, options: QueueOptions) -> list[Stratum]:
    if lens.run is None:
        raise InputError("A stratified queue is drawn by the outcomes of a run; choose one.")
    if not 0 <= options.control < 1:
        raise InputError("The share of the control stratum is at least 0 and below 1.")
    right = rows.filter(pl.col("right"))["item"].to_numpy()
    wrong = chosen.filter(pl.col("right").not_().fill_null(True))
    named = wrong.with_columns(pl.col("outcome").cast(pl.String).fill_null("no prediction"))
    strata = dict(named.group_by("outcome").agg("item").sort("outcome").iter_rows())
    n_control = round(options.control * _number(options)) if options.n is not None else None
    if n_control is None:
        n_control = min(round(options.control / (1 - options.control) * wrong.height), len(right))
    n_wrong = wrong.height if options.n is None else _number(options) - n_control
    shares = _shared({name: len(found) for name, found in strata.items()}, n_wrong)
    if n_control:
        strata, shares = strata | {CONTROL: right}, shares | {CONTROL: n_control}
    return stratified(strata, shares)


_STRATA: dict[str, Strata] = {
    "complete": _complete,
    "random": _random,
    "stratified": _stratified,
    "confident": _confident,
}


def _number(options: QueueOptions) -> int:
    if options.n is None or options.n < 1:
        raise InputError(f"The design {options.design} needs a number of items, at least 1.")
    return options.n


def _shared(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """n items shared among strata in proportion to their sizes, with at least two of each that has them."""
    least = {name: min(size, _LEAST) for name, size in sizes.items()}
    total = sum(sizes.values())
    if not sum(least.values()) <= n <= total:
        raise InputError(
            f"{n:,} items cannot be drawn from {len(sizes)} outcomes with {total:,} items, "
            f"{_LEAST} of each at least; {sum(least.values()):,} to {total:,} can."
        )
    rest, spare = n - sum(least.values()), total - sum(least.values())
    exact = {name: (size - least[name]) * rest / max(spare, 1) for name, size in sizes.items()}
    found = {name: least[name] + int(exact[name]) for name in sizes}
    short = sorted(sizes, key=lambda name: int(exact[name]) - exact[name])[: n - sum(found.values())]
    return {name: count + (name in short) for name, count in found.items()}


# ---- what a person is asked


@dataclass(frozen=True)
class Choice:
    """A class to judge: its index, exemplar items, and verdicts that are filled in or given already."""

    index: int
    exemplars: tuple[int, ...]
    prefilled: Word | None
    """valid or wrong, to be confirmed; only in self-paced queues."""
    decided: Word | None
    """The verdict that this reading already holds."""


@dataclass(frozen=True)
class Asked:
    """An item in a person's hands with its candidates in the order to show them."""

    reading: Reading
    choices: tuple[Choice, ...]
    exhaustive: bool


def tasks(workspace: Workspace, queue: str, person: str, n: int = queues.AT_ONCE) -> list[Asked]:
    """Up to n readings of a queue for a person, those that they have in hand first; they are leased by this.

    Raises InputError when there is no such queue, or it is not theirs to take.
    """
    made = queues.load(workspace, queue)
    while True:
        leased = queues.lease(workspace, queue, person, n)
        items = {task.item for task in leased}
        places = readings.places(workspace, made, items)
        past = readings.said_by(workspace, person, items)
        asked = {Reading(queue, task.item, task.stratum == REPEAT): task for task in leased}
        # The server may have ended between the last verdict and noting that the reading is over.
        over = [
            reading
            for reading in asked
            if readings.is_over(past.get(reading.item, []), reading, places[reading.item], made.protocol.exhaustive)
        ]
        if not over:
            break
        queues.finish(workspace, queue, person, [(reading.item, reading.again) for reading in over])
    known = _exemplars(workspace, queue)
    known_labels = better_labels(workspace)
    trusted = None if made.protocol.blind or known_labels is None else workspace.labels(known_labels)

    def choice(reading: Reading, task: Task, index: int, decided: Mapping[int, Word]) -> Choice:
        shown = [item for item in known.get(index, ()) if item != reading.item][:EXEMPLARS]
        filled = None if made.protocol.blind else _filled(workspace, trusted, places[reading.item], reading.item, index)
        return Choice(index, tuple(shown), filled, decided.get(index))

    found = []
    for reading, task in asked.items():
        decided = readings.verdicts(past.get(reading.item, []), reading)
        choices = tuple(choice(reading, task, index, decided) for index in task.candidates)
        found.append(Asked(reading, choices, made.protocol.exhaustive))
    return found


def _filled(workspace: Workspace, trusted: LabelSet | None, place: Place, item: int, index: int) -> Word | None:
    """What is known of a candidate: what the most trusted label set says, else valid where the original label and
    all runs of the reading agree, each of them sure; None for what is to be asked."""
    if trusted is not None:
        state = trusted.states(np.array([item]), np.array([index]))[0]
        if state in (VALID, REJECTED):
            return "valid" if state == VALID else "wrong"
    runs = place.runs
    agreed = place.sources[index]
    if not runs or set(agreed) != {LABEL, *runs}:
        return None
    return "valid" if all(_sure(workspace, run, item) for run in runs) else None


def _sure(workspace: Workspace, run: str, item: int) -> bool:
    if run not in workspace.run_names():
        return False
    predictions = workspace.run(run).predictions
    at = int(np.searchsorted(predictions.items, item))
    if at == len(predictions.items) or predictions.items[at] != item:
        return False
    return bool(_confidence(workspace, run)[at] >= SURE)


@lru_cache(maxsize=32)
def _confidence(workspace: Workspace, run: str) -> np.ndarray:
    """(n,) probability of a run's top-1; NaN where it is not known."""
    predictions = workspace.run(run).predictions
    rows = frame(workspace, Lens(run, "original")).select("item", "confidence")
    items = pl.DataFrame({"item": pl.Series(predictions.items, dtype=pl.UInt32)})
    found = items.join(rows, on="item", how="left", maintain_order="left")["confidence"]
    return found.fill_null(float("nan")).to_numpy()


@lru_cache(maxsize=32)
def _exemplars(workspace: Workspace, queue: str) -> dict[int, tuple[int, ...]]:
    """Items to hold each class against, the best first: one more than is shown, as the item asked for may be one.

    Items that carry the class as original label, that the most trusted label set holds valid and that its best run
    has right, those first that the run is surest of. None of the items that the queue serves.
    """
    trusted = better_labels(workspace)
    labels = trusted or "original"
    standing = best_standing(workspace, labels)
    rows = frame(workspace, Lens(standing.run if standing else None, labels)).filter(
        pl.col("problem").is_null() & pl.col("target").is_not_null()
    )
    if standing is not None:
        rows = rows.filter("right")
    items, targets = rows["item"].to_numpy(), rows["target"].to_numpy()
    chosen = workspace.labels(labels)
    rows = rows.filter(chosen.scored(items) & (chosen.states(items, targets) == VALID))
    served = queues.members(workspace, queue).filter(pl.col("place").is_not_null()).select("item")
    best = (
        rows.join(served, on="item", how="anti")
        .sort("confidence", "item", descending=[True, False], nulls_last=True)
        .group_by("target", maintain_order=True)
        .agg(pl.col("item").head(EXEMPLARS + 1))
    )
    return {int(target): tuple(found) for target, found in best.iter_rows()}
