"""All of a workspace's runs at once: every pair, how alike they are, what they are worth together.

`within` leaves some items, by number: those of a slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis import many_runs
from analysis.intervals import Floats
from analysis.labels.sets import Unclear
from analysis.many_runs import Agreement, Member
from analysis.metrics import on_items
from analysis.models.predictions import Predictions
from analysis.progress import Progress, silent
from analysis.results.comparisons import Items, accuracies, dense_scores
from analysis.results.outcomes import accepting
from analysis.search import open_index
from analysis.workspace import Workspace

MOST_FOR_CKA = 10_000
"""Items that CKA is measured on; of more, a seeded sample."""


def _runs(workspace: Workspace, runs: Sequence[str] | None, within: Items | None) -> dict[str, Predictions]:
    chosen = {name: workspace.run(name).predictions for name in (workspace.run_names() if runs is None else runs)}
    return chosen if within is None else {name: on_items(run, within) for name, run in chosen.items()}


def compare_every_pair(
    workspace: Workspace,
    labels: str,
    *,
    runs: Sequence[str] | None = None,
    unclear: Unclear = "lenient",
    within: Items | None = None,
) -> pl.DataFrame:
    """Every pair of runs (None: of all) under a label set, in the columns of analysis.many_runs.compare_all.

    Raises WorkspaceError for a run or label set that does not exist.
    """
    label_set = accepting(workspace, labels)
    return many_runs.compare_all(_runs(workspace, runs, within), label_set, workspace.original_labels, unclear=unclear)


def agreement(
    workspace: Workspace, *, runs: Sequence[str] | None = None, within: Items | None = None
) -> tuple[Agreement, list[int]]:
    """How often each two runs predict the same class, and the places of the runs with those alike side by side."""
    found = many_runs.agreement_matrix(_runs(workspace, runs, within))
    return found, many_runs.similar_together(found)


@dataclass(frozen=True)
class Members:
    """Runs whose scores can be added, and why the others' cannot."""

    runs: list[str]
    left_out: dict[str, str]


def ensemble_members(workspace: Workspace, runs: Sequence[str] | None = None) -> Members:
    """Which runs (None: of all) can be in one ensemble: dense scores of the same items and classes as the most."""
    found, left_out = {}, {}
    for name in workspace.run_names() if runs is None else runs:
        run = workspace.run(name)
        scores = dense_scores(run)
        if scores is not None:
            found[name] = (scores.shape, run.predictions.items.tobytes())
        elif run.manifest.get("competing", "all") != "all":
            left_out[name] = "chose among fewer classes"
        else:
            left_out[name] = "no scores of all classes"
    kinds = list(found.values())
    most = max(kinds, key=kinds.count, default=None)
    left_out |= {name: "scores of other items or classes" for name, kind in found.items() if kind != most}
    return Members([name for name, kind in found.items() if kind == most], left_out)


def ensemble(
    workspace: Workspace,
    labels: str,
    *,
    runs: Sequence[str] | None = None,
    within: Items | None = None,
    progress: Progress = silent,
) -> list[Member]:
    """The greedy ensemble of `ensemble_members`; see analysis.many_runs.greedy_ensemble. Empty without any."""
    members = ensemble_members(workspace, runs).runs
    scores = {name: found for name in members if (found := dense_scores(workspace.run(name))) is not None}
    if not scores:
        return []
    items = workspace.run(members[0]).predictions.items
    return many_runs.greedy_ensemble(scores, items, accepting(workspace, labels), within=within, progress=progress)


@dataclass(frozen=True, eq=False)
class Kinship:
    """How alike spaces are: linear CKA of every two, (S, S), on `n` items that all of them hold."""

    spaces: list[str]
    matrix: Floats
    n: int


def spaces_alike(workspace: Workspace, *, seed: int = 0) -> Kinship:
    """Linear CKA of the workspace's spaces on their common items, or on MOST_FOR_CKA of these."""
    indexes = {space.name: open_index(space.folder) for space in workspace.spaces()}
    common: Items | None = None
    for index in indexes.values():
        common = index.items if common is None else np.intersect1d(common, index.items, assume_unique=True)
    items = np.zeros(0, np.uint32) if common is None else common
    if len(items) > MOST_FOR_CKA:
        items = np.sort(np.random.default_rng(seed).choice(items, MOST_FOR_CKA, replace=False))
    vectors = [index.vectors(index.rows(items)) for index in indexes.values()]
    matrix = np.eye(len(vectors))
    for row in range(len(vectors)):
        for column in range(row):
            matrix[row, column] = matrix[column, row] = many_runs.linear_cka(vectors[row], vectors[column])
    return Kinship(list(indexes), matrix, len(items))


def order_by_labels(
    workspace: Workspace, *, runs: Sequence[str] | None = None, within: Items | None = None
) -> pl.DataFrame:
    """How alike the label sets order the runs (micro accuracy); see analysis.many_runs.rank_stability."""
    tables = [accuracies(workspace, name, runs=runs, within=within) for name in workspace.label_set_names()]
    return many_runs.rank_stability(pl.concat(tables))
