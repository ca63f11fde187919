"""Outcomes of a workspace's runs, and what tells the causes of their mistakes."""

from functools import lru_cache
from typing import Any

import polars as pl

from analysis import outcomes
from analysis.causes import Causes, causes_of
from analysis.labels.hierarchy import hierarchy_of, with_lower_classes
from analysis.labels.sets import LabelSet, Unclear
from analysis.workspace import Workspace

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
