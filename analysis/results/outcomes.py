"""Outcomes of a workspace's runs."""

from typing import Any

import polars as pl

from analysis import outcomes
from analysis.labels.sets import Unclear
from analysis.results.causes import causes
from analysis.results.taxonomy import accepting
from analysis.workspace import Workspace

__all__ = ["accepting", "causes", "outcome_report", "run_outcomes"]


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
