"""What a workspace answers: outcomes of its runs, comparisons, suspected label errors.

Pages, command line and Python ask here, so that the same label set, hierarchy and causes stand behind each number.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from analysis import comparison, outcomes
from analysis import suspects as signals
from analysis.causes import Causes, causes_of
from analysis.comparison import Comparison
from analysis.errors import InputError
from analysis.labels.hierarchy import hierarchy_of, with_lower_classes
from analysis.labels.sets import LabelSet, Unclear
from analysis.workspace import Run, Workspace

PREFERRED = ("reviewed", "truth", "expert", "real")
"""Label sets that say more than `original`, the most trusted first; others follow by name."""

# A snapshot never changes, so what is derived from one can be kept as long as it is in use.


@lru_cache(maxsize=32)
def accepting(workspace: Workspace, labels: str) -> LabelSet:
    """A label set in which classes below a valid one are valid too, where the class list has a hierarchy of its own."""
    hierarchy = hierarchy_of(workspace.classes())
    return workspace.labels(labels) if hierarchy is None else with_lower_classes(workspace.labels(labels), hierarchy)


@lru_cache(maxsize=32)
def causes(workspace: Workspace, labels: str) -> Causes:
    """What tells the causes of mistakes under a label set: twins, superclasses, classes seen together."""
    sets = [workspace.labels(name) for name in workspace.label_set_names()]
    return causes_of(workspace.classes(), sets, workspace.original_labels, under=labels)


def run_outcomes(workspace: Workspace, run: str, labels: str, *, unclear: Unclear = "lenient") -> pl.DataFrame:
    """The outcome of each item of a run under a label set, in the columns of analysis.outcomes.OUTCOMES_SCHEMA.

    Raises WorkspaceError for a run or label set that does not exist.
    """
    return outcomes.outcomes(
        workspace.run(run).predictions,
        accepting(workspace, labels),
        workspace.original_labels,
        causes=causes(workspace, labels),
        unclear=unclear,
    )


def outcome_report(workspace: Workspace, run: str, labels: str) -> dict[str, Any]:
    """How often each outcome comes for a run under a label set, with both accuracies; what was not run, and why."""
    counted = outcomes.counts(run_outcomes(workspace, run, labels))
    return {"run": run, "labels": labels, **counted, "causes": causes(workspace, labels).record()}


def compare_runs(workspace: Workspace, a: str, b: str, labels: str, *, unclear: Unclear = "lenient") -> Comparison:
    """Two runs on their common items under a label set; see analysis.comparison.

    Raises WorkspaceError for a run or label set that does not exist.
    """
    pair = workspace.run(a), workspace.run(b)
    return comparison.compare(
        pair[0].predictions,
        pair[1].predictions,
        accepting(workspace, labels),
        workspace.original_labels,
        names=(a, b),
        unclear=unclear,
        scores=_dense(pair),
    )


def _dense(runs: tuple[Run, Run]) -> tuple[np.ndarray, np.ndarray] | None:
    """Both runs' dense scores, None where one has none or chose among other classes than its scores are of."""
    first, second = (run.scores() if run.manifest.get("competing", "all") == "all" else None for run in runs)
    return None if first is None or second is None else (first, second)


def suspected_errors(
    workspace: Workspace, runs: Sequence[str] | None = None, *, signal: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items whose original label is suspect, the most suspicious first, and how good each signal proved here.

    The first frame has analysis.suspects.SUSPECTS_SCHEMA; the second one row a signal with AUROC, average precision
    and precision at k against the label set that says more than `original`, empty where there is none. `signal`
    names one of them; by default the one of best average precision, else the votes.
    Raises InputError without runs, or for an unknown signal.
    """
    chosen = {name: workspace.run(name).predictions for name in (workspace.run_names() if runs is None else runs)}
    if not chosen:
        raise InputError("Suspected label errors are found by models: there is no run yet. Evaluate or import one.")
    original = workspace.original_labels
    found = signals.signals_of_runs(chosen, original, len(workspace.classes()))
    quality = pl.DataFrame()
    for name in by_trust(workspace):
        truth = signals.disputed(workspace.labels(name), original)
        # A set that leaves out images whose label is wrong, as the expert one does, cannot tell the signals apart.
        if truth["disputed"].any() and not truth["disputed"].all():
            quality = signals.evaluate(found, truth).sort("average_precision", descending=True, nulls_last=True)
            break
    if signal is None:
        signal = quality["signal"][0] if quality.height else ("votes" if "votes" in found else next(iter(found)))
    if signal not in found:
        raise InputError(f"There is no signal {signal!r}. There are: {', '.join(found)}.")
    listed = signals.suspects(found[signal], signal, workspace.items(), original, workspace.classes())
    return listed, quality


def by_trust(workspace: Workspace) -> list[str]:
    """The label sets other than `original`, the most trusted first."""
    trust = {name: rank for rank, name in enumerate(PREFERRED)}
    names = workspace.label_set_names()[1:]
    return sorted(names, key=lambda name: (trust.get(name, len(PREFERRED)), name))


def better_labels(workspace: Workspace) -> str | None:
    """The label set to hold `original` against, None where there is no other."""
    return next(iter(by_trust(workspace)), None)
