"""Comparisons of a workspace's runs."""

import numpy as np

from analysis import comparison
from analysis.comparison import Comparison
from analysis.labels.sets import Unclear
from analysis.results.outcomes import accepting
from analysis.workspace import Run, Workspace


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
