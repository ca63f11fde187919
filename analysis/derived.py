"""Derived columns: what a slice may ask of an item beyond its lens: other runs, other label sets, all runs at once.

    right@RUN         another run under the lens's label set: its top-1 is valid (unclear classes count); so also
                      predicted@RUN, outcome@RUN, unjudged@RUN, confidence@RUN, severity@RUN as in the lens frame
    verdict@RUN       the same in four words: right, unclear, unjudged or wrong; null where not scored
    right@LABELS      the lens's run under another label set; so also the others
    right@RUN@LABELS  another run under another label set; so also the others
    valid@LABELS      the label set holds the original label valid; null where it does not score the item, or is open
                      and says nothing of it
    wrong_by          how many of all runs are wrong under the lens's label set; null where no run is scored
    wrong_same        how many of these give the wrong class that most of them give
    conflict          two label sets disagree about the original label (`original` itself holds it valid)
    reviewed_by       how many people have given a verdict on the item; a panel counts as one
    major             some wrong class of the item is of major severity by the consensus, whoever predicted it
    superclass        the superclasses of the original label, by name: a list, as a class may be in several

A name that is both a run's and a label set's means the run. A column of the dataset's own goes before these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.sets import ABSENT, UNCLEAR, VALID
from analysis.metrics import Judged, judge
from analysis.models.predictions import Predictions
from analysis.results.outcomes import run_outcomes
from analysis.results.review_log import current, tip
from analysis.results.taxonomy import accepting, superclass_table
from analysis.review import state
from analysis.slices import Condition
from analysis.workspace import Workspace

VERDICTS = pl.Enum(["right", "unclear", "unjudged", "wrong"])


@dataclass(frozen=True)
class Derived:
    """A derived column: its kind, and the run and label set that it is of; None where the kind has none."""

    kind: str
    run: str | None
    labels: str | None


def read_name(workspace: Workspace, name: str, run: str | None, labels: str) -> Derived:
    """What a column's name stands for, in a lens of this run (None: the dataset alone) and label set.

    Raises InputError for a name that is no derived column, and for a run or label set that does not exist.
    """
    kind, at, of = name.partition("@")
    if not at and kind in _OF_ALL:
        return Derived(kind, None, labels)
    runs, sets = workspace.run_names(), workspace.label_set_names()
    there = f"Runs: {', '.join(runs) or 'none'}; label sets: {', '.join(sets)}."
    if at and kind == "valid":
        if of not in sets:
            raise InputError(f"{name!r}: there is no label set {of!r}. Label sets: {', '.join(sets)}.")
        return Derived(kind, None, of)
    if not at or kind not in _OF_RUN:
        known = ", ".join([*(f"{kind}@..." for kind in _OF_RUN), "valid@...", *_OF_ALL])
        raise InputError(f"There is no column {name!r} here, and it is none of the derived ones: {known}.")
    if of in runs:
        return Derived(kind, of, labels)
    if of in sets:
        if run is None:
            raise InputError(f"{name!r} is of the run looked at, and there is none. Say {kind}@RUN@LABELS.")
        return Derived(kind, run, of)
    # Names may hold an @ themselves; the longest run that fits is meant.
    for other in sorted(runs, key=len, reverse=True):
        if of.startswith(f"{other}@"):
            if (rest := of.removeprefix(f"{other}@")) not in sets:
                raise InputError(f"{name!r}: there is no label set {rest!r}. Label sets: {', '.join(sets)}.")
            return Derived(kind, other, rest)
    raise InputError(f"{name!r}: {of!r} is no run, no label set and no RUN@LABELS. {there}")


def derived_column(workspace: Workspace, name: str, run: str | None, labels: str, items: pl.Series) -> pl.Series:
    """The column of this name, for a lens of this run and label set: one value for each of the items (n,).

    Raises InputError as `read_name` does, and for superclasses where there are none.
    """
    found = read_name(workspace, name, run, labels)
    if found.run is not None and found.labels is not None:
        column = _OF_RUN[found.kind](workspace, found.run, found.labels)
    elif found.kind == "valid":
        column = _valid(workspace, str(found.labels))
    else:
        column = _OF_ALL[found.kind](workspace, str(found.labels))
    return column.gather(items).rename(name)


def offered(workspace: Workspace, run: str | None, labels: str, *, most_runs: int = 20) -> list[str]:
    """Conditions on derived columns that are worth offering in a lens of this run and label set, as text."""
    runs, sets = workspace.run_names(), workspace.label_set_names()
    found = [Condition(f"right@{other}", value) for other in runs[:most_runs] if other != run for value in _EITHER]
    for other in sets:
        if other != labels and run is not None and other not in runs:
            found += [Condition(f"verdict@{other}", verdict) for verdict in VERDICTS.categories]
        if other != "original":
            found += [Condition(f"valid@{other}", value) for value in _EITHER]
    if len(sets) > 1:
        found.append(Condition("conflict", "true"))
    if len(runs) > 1:
        found += [Condition("wrong_by", str(n)) for n in (len(runs), 0)]
    if tip(workspace)[0]:
        found += [Condition("reviewed_by", "0"), *(Condition("major", value) for value in _EITHER)]
    if superclass_table(workspace) is not None:
        names = _superclass(workspace, labels).explode().drop_nulls().value_counts(sort=True)["superclass"]
        found += [Condition("superclass", name) for name in names]
    return list(map(str, found))


_EITHER = ("true", "false")


# Each of the following has a value for every item number, (N,).


def _by_item(workspace: Workspace, items: NDArray[np.uint32], values: pl.Series) -> pl.Series:
    """Values of some items (n,) by item number; null for the others."""
    row = np.full(workspace.items().height, -1, np.int64)
    row[items] = np.arange(len(items))
    place = pl.Series(row)
    return values.gather(place.set(place < 0, None))


def _judged(workspace: Workspace, run: str, labels: str) -> tuple[Predictions, Judged]:
    predictions = workspace.run(run).predictions
    return predictions, judge(predictions, accepting(workspace, labels))


def _right(workspace: Workspace, run: str, labels: str) -> pl.Series:
    predictions, judged = _judged(workspace, run, labels)
    right = pl.Series(judged.right).set(pl.Series(~judged.scored), None)
    return _by_item(workspace, predictions.items, right)


def _unjudged(workspace: Workspace, run: str, labels: str) -> pl.Series:
    predictions, judged = _judged(workspace, run, labels)
    return _by_item(workspace, predictions.items, pl.Series(judged.unjudged))


def _verdict(workspace: Workspace, run: str, labels: str) -> pl.Series:
    predictions, judged = _judged(workspace, run, labels)
    code = np.full(len(judged.scored), 3)
    code[judged.unjudged] = 2
    code[judged.states == UNCLEAR] = 1
    code[judged.states == VALID] = 0
    words = pl.Series([*VERDICTS.categories, None], dtype=VERDICTS)
    return _by_item(workspace, predictions.items, words.gather(np.where(judged.scored, code, 4)))


def _predicted(workspace: Workspace, run: str, labels: str) -> pl.Series:
    predictions, names = workspace.run(run).predictions, workspace.classes().display_names()
    top1 = predictions.top1
    named = pl.Series([*names, None], dtype=pl.String).gather(np.where(top1 < 0, len(names), top1))
    return _by_item(workspace, predictions.items, named)


def _of_outcomes(kind: str) -> Callable[[Workspace, str, str], pl.Series]:
    """A column of the run's outcomes as it is."""

    def column(workspace: Workspace, run: str, labels: str) -> pl.Series:
        found = run_outcomes(workspace, run, labels)
        return _by_item(workspace, found["item"].to_numpy(), found[kind])

    return column


_OF_RUN: dict[str, Callable[[Workspace, str, str], pl.Series]] = {
    "right": _right,
    "predicted": _predicted,
    "outcome": _of_outcomes("outcome"),
    "unjudged": _unjudged,
    "confidence": _of_outcomes("confidence"),
    "severity": _of_outcomes("severity"),
    "verdict": _verdict,
}


def _valid(workspace: Workspace, labels: str) -> pl.Series:
    said, original = accepting(workspace, labels), workspace.original_labels
    items = np.arange(len(original))
    known = said.scored(items) & (original >= 0)
    if said.absent == "unjudged":
        known &= (said.states(items, original) != ABSENT) | said.exhaustive(items)
    return pl.Series(said.valid_mask(items, original)).set(pl.Series(~known), None)


def _conflict(workspace: Workspace, labels: str) -> pl.Series:
    words = pl.DataFrame([_valid(workspace, name).alias(name) for name in workspace.label_set_names()])
    disagree = pl.any_horizontal(pl.all()) & ~pl.all_horizontal(pl.all().fill_null(True))
    return words.select(disagree.fill_null(False).alias("conflict"))["conflict"]


def _wrong_by(workspace: Workspace, labels: str) -> pl.Series:
    wrong, scored, _ = _wrongs(workspace, labels)
    return pl.Series(wrong).set(pl.Series(~scored), None)


def _wrong_same(workspace: Workspace, labels: str) -> pl.Series:
    wrong, scored, votes = _wrongs(workspace, labels)
    n_classes = len(workspace.classes())
    given, counts = np.unique(votes, return_counts=True)
    same = np.zeros(len(wrong), np.uint32)
    np.maximum.at(same, given // n_classes, counts)
    return pl.Series(same).set(pl.Series(~scored), None)


def _wrongs(workspace: Workspace, labels: str) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]:
    """How many runs are wrong on each item (N,), which items any run is scored on, and every wrong vote (m,).

    A vote is item * number of classes + class. Unjudged predictions count as wrong.
    """
    n_items, n_classes = workspace.items().height, len(workspace.classes())
    wrong, scored = np.zeros(n_items, np.uint32), np.zeros(n_items, bool)
    votes = []
    for run in workspace.run_names():
        predictions, judged = _judged(workspace, run, labels)
        scored[predictions.items[judged.scored]] = True
        rows = judged.scored & ~judged.right
        items = predictions.items[rows]
        wrong[items] += 1
        votes.append(items.astype(np.int64) * n_classes + predictions.top1[rows])
    return wrong, scored, np.concatenate(votes) if votes else np.zeros(0, np.int64)


def _reviewed_by(workspace: Workspace, labels: str) -> pl.Series:
    readers = state.readings(current(workspace), "verdict").group_by("item").agg(pl.col("reader").n_unique())
    return _by_item(workspace, readers["item"].to_numpy(), readers["reader"]).fill_null(0)


def _major(workspace: Workspace, labels: str) -> pl.Series:
    major = state.causes(current(workspace)).filter(pl.col("severity") == "major")["item"].unique()
    return _by_item(workspace, major.to_numpy(), pl.repeat(True, len(major), eager=True)).fill_null(False)


def _superclass(workspace: Workspace, labels: str) -> pl.Series:
    table = superclass_table(workspace)
    if table is None:
        raise InputError(f"The class list {workspace.classes().name!r} has no hierarchy, hence no superclasses.")
    names = table.frame.with_columns(
        shown=pl.when(pl.col("superclass").n_unique().over("name") > 1)
        .then(pl.format("{} ({})", "name", "superclass"))
        .otherwise("name")
    )
    by_class: list[list[str] | None] = [None] * (len(workspace.classes()) + 1)  # the last, of no label, stays null
    for index, shown in names.group_by("class").agg(pl.col("shown").sort()).iter_rows():
        by_class[index] = shown
    return pl.Series("superclass", by_class, dtype=pl.List(pl.String)).gather(
        np.where(workspace.original_labels < 0, len(by_class) - 1, workspace.original_labels)
    )


_OF_ALL: dict[str, Callable[[Workspace, str], pl.Series]] = {
    "wrong_by": _wrong_by,
    "wrong_same": _wrong_same,
    "conflict": _conflict,
    "reviewed_by": _reviewed_by,
    "major": _major,
    "superclass": _superclass,
}
