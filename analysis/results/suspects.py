"""Suspected label errors of a workspace: every signal that its runs and spaces give, and how far each is to be trusted.

Signals are measured against a label set; `learnt from LABELS` also learnt from it. It is cross-fitted: no item's own
answer enters its score. Candidates of label sets such as ReaL came from models, so that agreement of models with
them is partly circular, whatever the signal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from analysis import suspects as signals
from analysis.errors import InputError
from analysis.labels.sets import ABSENT
from analysis.results.outcomes import accepting
from analysis.results.trust import by_trust
from analysis.search import open_index
from analysis.workspace import Run, Workspace

RANK_AVERAGE = "rank average"
LEARNT = "learnt from {labels}"

QUALITY_SCHEMA = {
    "signal": pl.String(),
    "n": pl.Int64(),  # items on which it was measured
    "base_rate": pl.Float64(),
    "auroc": pl.Float64(),
    "average_precision": pl.Float64(),
    "precision_at_100": pl.Float64(),
    "precision_at_1000": pl.Float64(),
    "note": pl.String(),  # what a reader of these numbers must know, "" for nothing
}


def suspected_errors(
    workspace: Workspace,
    runs: Sequence[str] | None = None,
    *,
    signal: str | None = None,
    against: str | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items whose original label is suspect, the most suspicious first, and how good each signal proved here.

    The first frame has analysis.suspects.SUSPECTS_SCHEMA, the second QUALITY_SCHEMA: one row a signal, the best
    average precision first; null where no label set measures it, or where that one cannot tell signals apart.

    `runs`: those to take signals from, by default all. `against`: the label set to measure by, and to learn a
    combination from; by default the most trusted that disputes some labels and keeps others. `signal`: by default
    the one of best average precision; where none is measured, the rank average, else the mean margin, else the first.
    Raises InputError where neither a run nor a space gives a signal, and for an unknown signal; WorkspaceError for
    an unknown run or label set.
    """
    chosen = tuple(dict.fromkeys(workspace.run_names() if runs is None else runs))
    if against is None:
        against = telling(workspace)
    found = _all_signals(workspace, chosen, against)
    quality = _quality(workspace, chosen, against)
    if signal is None:
        signal = _first(quality, list(found))
    if signal not in found:
        raise InputError(f"There is no signal {signal!r}. There are: {', '.join(found)}.")
    original = workspace.original_labels
    listed = signals.suspects(found[signal], signal, workspace.items(), original, workspace.classes())
    return listed, quality


def telling(workspace: Workspace) -> str | None:
    """The most trusted label set that can tell signals apart: it disputes some original labels and keeps others.

    The expert set of ImageNet cannot: it leaves out images whose label is itself wrong.
    """
    return next((name for name in by_trust(workspace) if tells(workspace, name)), None)


def tells(workspace: Workspace, labels: str) -> bool:
    """Whether a label set disputes some original labels and keeps others."""
    answers = disputes(workspace, labels)["disputed"]
    return bool(answers.any()) and not answers.all()


@lru_cache(maxsize=32)
def disputes(workspace: Workspace, labels: str) -> pl.DataFrame:
    """item, disputed: whether a label set does not hold the original label valid, for the items that it scores."""
    return signals.disputed(accepting(workspace, labels), workspace.original_labels)


def scored(workspace: Workspace, listed: pl.DataFrame, labels: str) -> pl.DataFrame:
    """Those of a list of suspects that a label set scores, in their order, and whether it disputes each: disputed."""
    return listed.join(disputes(workspace, labels), on="item", how="inner", maintain_order="left")


def precision_of(workspace: Workspace, listed: pl.DataFrame, labels: str) -> pl.DataFrame:
    """How precise a list of suspects (item, score) is by its length, of those that the label set scores: the columns
    of analysis.suspects.precision_curve."""
    known = scored(workspace, listed, labels)
    return signals.precision_curve(known["score"].to_numpy(), known["disputed"].to_numpy())


# ---- what is known of a suspect


@dataclass(frozen=True)
class Saying:
    """What one label set says of an item's original label."""

    labels: str
    keeps: bool | None
    """Whether it holds the original label valid, lenient; None where it does not score the item."""
    others: tuple[int, ...]
    """Class indices that it holds valid (or unclear) beside the original label."""


def sayings(workspace: Workspace, items: Sequence[int]) -> list[list[Saying]]:
    """For each item what every label set but `original` says, the most trusted first."""
    at = np.array(items, np.int64)
    target = workspace.original_labels[at]
    found: list[list[Saying]] = [[] for _ in items]
    for name in by_trust(workspace):
        labels = accepting(workspace, name)
        keeps, scored = labels.valid_mask(at, target), labels.scored(at)
        said = workspace.labels(name).labels.filter(pl.col("item").is_in(list(items)), pl.col("state") != "rejected")
        valid: dict[int, list[int]] = {}
        for item, index in said.select("item", "class").iter_rows():
            valid.setdefault(item, []).append(index)
        for place, item in enumerate(items):
            others = tuple(index for index in valid.get(item, []) if index != target[place])
            found[place].append(Saying(name, bool(keeps[place]) if scored[place] else None, others))
    return found


def verdicts(
    workspace: Workspace, labels: str, items: Sequence[int], classes: Sequence[int]
) -> list[tuple[bool | None, bool]]:
    """For each item whether a label set holds the class beside it valid, lenient (None where it does not score the
    item, or the class is -1), and whether that is unjudged: nobody looked at this class in an open set."""
    at, wanted = np.array(items, np.int64), np.array(classes, np.int64)
    judge = accepting(workspace, labels)
    valid, states = judge.valid_mask(at, wanted), judge.states(at, wanted)
    unjudged = (states == ABSENT) & ~judge.exhaustive(at) & (judge.absent == "unjudged")
    known = judge.scored(at) & (wanted >= 0)
    return [
        (bool(is_valid) if is_known else None, bool(is_unjudged))
        for is_valid, is_known, is_unjudged in zip(valid, known, unjudged, strict=True)
    ]


def backing(workspace: Workspace, items: Sequence[int], classes: Sequence[int]) -> list[tuple[int, int]]:
    """For each item how many runs put the class beside it first, and how many cover the item."""
    at, wanted = np.array(items, np.int64), np.array(classes, np.int64)
    votes, runs = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    for run in workspace.runs():
        known = run.predictions.items
        if not len(known):
            continue
        place = np.minimum(np.searchsorted(known, at), len(known) - 1)
        first = np.where(known[place] == at, run.predictions.top1[place], -1)
        votes += (first == wanted) & (first >= 0)
        runs += first >= 0
    return list(zip(votes.tolist(), runs.tolist(), strict=True))


# ---- the signals, each computed once for an open workspace: a snapshot never changes


@lru_cache(maxsize=8)
def _plain_signals(workspace: Workspace, runs: tuple[str, ...]) -> dict[str, pl.DataFrame]:
    """The signals that no label set teaches, by name."""
    if not runs and not workspace.spaces():
        raise InputError(
            "Suspected label errors are found by models: there is no run yet, and no space. Evaluate a model or "
            "import predictions."
        )
    taken = [workspace.run(name) for name in runs]
    dense = {run.name: scores for run in taken if (scores := _dense(run)) is not None}
    found = signals.signals_of_runs(
        {run.name: run.predictions for run in taken}, workspace.original_labels, len(workspace.classes()), dense
    )
    in_spaces: dict[str, pl.DataFrame] = {}
    for space in workspace.space_names():
        in_spaces |= _of_space(workspace, space)
    found = {name: frame for name, frame in (found | in_spaces).items() if frame.height}
    if not found:
        raise InputError("No item has both an original label and a prediction or an embedding.")
    together = _together(found, runs)
    if in_spaces and len(together) > 1:
        found[RANK_AVERAGE] = signals.rank_average(together)
    return found


@lru_cache(maxsize=8)
def _of_space(workspace: Workspace, space: str) -> dict[str, pl.DataFrame]:
    index = open_index(workspace.space(space).folder)
    present = index.items[workspace.original_labels[index.items] >= 0]
    return signals.signals_of_space(
        space, present, index.vectors(index.rows(present)), workspace.original_labels, len(workspace.classes())
    )


def _dense(run: Run) -> np.ndarray | None:
    """A run's dense scores, None where it has none or chose among other classes than its scores are of."""
    return run.scores() if run.manifest.get("competing", "all") == "all" else None


def _together(found: dict[str, pl.DataFrame], runs: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The signals that combinations are made of: what all runs say together, and what each space says.

    Signals of single runs add nothing to them, and those of a hundred would drown them.
    """
    names = ["votes", "mean margin"]
    if len(runs) == 1:
        names = [f"1 - p(t) of {runs[0]}", f"margin of {runs[0]}"]
    names += [name for name in found if name.startswith(("neighbours in ", "class Gaussian in "))]
    return signals.side_by_side({name: found[name] for name in names if name in found})


@lru_cache(maxsize=16)
def _all_signals(workspace: Workspace, runs: tuple[str, ...], against: str | None) -> dict[str, pl.DataFrame]:
    """The plain signals, and what they teach together where a label set disputes enough labels to learn from."""
    found = _plain_signals(workspace, runs)
    together = _together(found, runs)
    if against is None or not together:
        return found
    try:
        learnt = signals.combine(together, disputes(workspace, against), workspace.original_labels)
    except InputError:  # too few disputed labels, or too few kept
        return found
    return found | {LEARNT.format(labels=against): learnt}


@lru_cache(maxsize=16)
def _quality(workspace: Workspace, runs: tuple[str, ...], against: str | None) -> pl.DataFrame:
    found = _all_signals(workspace, runs, against)
    notes = [_note(workspace, name, runs, against) for name in found]
    told = pl.DataFrame({"signal": list(found), "note": notes}, schema={"signal": pl.String, "note": pl.String})
    # Without a label set every signal is measured on no item.
    truth = disputes(workspace, against) if against else disputes(workspace, "original").clear()
    rows = told.join(signals.measured(found, truth), on="signal", how="left", maintain_order="left")
    shown = rows.select(pl.col(name).cast(kind) for name, kind in QUALITY_SCHEMA.items())
    return shown.sort("average_precision", descending=True, nulls_last=True, maintain_order=True)


def _first(quality: pl.DataFrame, names: list[str]) -> str:
    """The signal to show: the best, or where none is measured the one that proves best elsewhere."""
    if quality["average_precision"][0] is not None:
        return str(quality["signal"][0])
    return next((name for name in (RANK_AVERAGE, "mean margin") if name in names), names[0])


# ---- what a reader must know of a signal


def _note(workspace: Workspace, name: str, runs: tuple[str, ...], against: str | None) -> str:
    """Whether a signal is out-of-fold, and from what it learnt."""
    seen = {run for run in runs if workspace.run(run).manifest.get("seen_in_training") == "yes"}
    said = []
    if against is not None and name == LEARNT.format(labels=against):
        said.append(f"learnt from {against}, cross-fitted")
    run = next((run for run in runs if name in (f"1 - p(t) of {run}", f"margin of {run}")), None)
    space = next((space for space in workspace.space_names() if name.endswith(f" in {space}")), None)
    if run in seen or space in seen:
        said.append(f"the {'run' if run in seen else 'encoder'} was trained on these images: not out-of-fold")
    elif seen and run is None and space is None:
        who = "the run was" if len(runs) == 1 else f"{len(seen)} of {len(runs)} runs were"
        said.append(f"{who} trained on these images: not out-of-fold")
    return "; ".join(said)
