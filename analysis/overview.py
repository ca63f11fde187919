"""What a workspace holds, how its best run stands, and what needs doing."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis import metrics, outcomes, spaces
from analysis.workspace import Workspace

PREFERRED = ("reviewed", "truth", "expert", "real")
"""Label sets that say more than `original`, the most trusted first; others follow by name."""


@dataclass(frozen=True)
class Standing:
    """One run on the items that both `original` and another label set count: numbers of items."""

    run: str
    labels: str
    n: int
    right_by_original: int
    right_by_labels: int
    none: int
    """Errors by the original label that the other label set calls right."""

    @property
    def errors(self) -> int:
        """Errors by the original label."""
        return self.n - self.right_by_original


def better_labels(workspace: Workspace) -> str | None:
    """The label set to hold `original` against, None where there is no other."""
    names = workspace.label_set_names()[1:]
    return min(
        names,
        key=lambda name: (PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), name),
        default=None,
    )


def best_standing(workspace: Workspace, labels: str) -> Standing | None:
    """How the run that is right most often under `labels` stands; None without runs or common items."""
    standings = [standing for run in workspace.run_names() if (standing := _standing(workspace, run, labels))]
    return max(standings, key=lambda standing: standing.right_by_labels / standing.n, default=None)


def _standing(workspace: Workspace, run: str, labels: str) -> Standing | None:
    predictions = workspace.run(run).predictions
    original = metrics.judge(predictions, workspace.labels("original"))
    other = metrics.judge(predictions, workspace.labels(labels))
    common = original.scored & other.scored
    if not common.any():
        return None
    return Standing(
        run,
        labels,
        n=int(common.sum()),
        right_by_original=int((original.right & common).sum()),
        right_by_labels=int((other.right & common).sum()),
        none=int((~original.right & other.right & common).sum()),
    )


def outcome_counts(workspace: Workspace, labels: str) -> pl.DataFrame:
    """How often each run has each outcome under a label set: run, outcome, unjudged, n."""
    counted = [
        outcomes.outcomes(run.predictions, workspace.labels(labels), workspace.original_labels)
        .group_by("outcome", "unjudged")
        .agg(n=pl.len())
        .select(pl.lit(run.name).alias("run"), "outcome", "unjudged", "n")
        for run in workspace.runs()
    ]
    schema = pl.Schema(
        {"run": pl.String(), "outcome": outcomes.OUTCOMES, "unjudged": pl.Boolean(), "n": pl.UInt32()}
    )
    return (
        pl.concat(counted).cast(schema).sort("run", "outcome", "unjudged")
        if counted
        else pl.DataFrame(schema=schema)
    )


def label_set_table(workspace: Workspace) -> pl.DataFrame:
    """Each label set: labels, items it knows, items it scores, labels an item, open or closed, conflicts, note."""
    rows = []
    for name in workspace.label_set_names():
        labels = workspace.labels(name)
        valid = labels.labels.filter(pl.col("state") == "valid")
        scored = int(labels.items["scored"].sum())
        several = valid.group_by("item").len().filter(pl.col("len") > 1).height
        rows.append(
            {
                "labels": name,
                "items": labels.items.height,
                "scored": scored,
                "several valid": several,
                "absent": labels.absent,
                "conflicts": labels.conflicts,
                "note": labels.note,
                "stale": None if name == "original" else workspace.stale(workspace.label_artefact(name)),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"note": pl.String, "stale": pl.String})


@dataclass(frozen=True)
class Step:
    """Something worth doing next: why, and the command that does it."""

    what: str
    command: str


def next_steps(workspace: Workspace) -> list[Step]:
    """What is stale or missing, each with the command that mends it; the most pressing first."""
    ws = workspace.path.name
    pixels = workspace.image_root is not None
    steps = []
    for run in workspace.runs():
        if reason := workspace.stale(run):
            again = f"errata evaluate {ws} {run.manifest.get('reference', run.name)}"
            steps.append(
                Step(f"Run {run.name} is stale ({reason}).", again if pixels else "errata runs import ...")
            )
    for name in workspace.label_set_names()[1:]:
        if reason := workspace.stale(workspace.label_artefact(name)):
            steps.append(Step(f"Label set {name} is stale ({reason}).", f"errata labels import {ws} {name} FILE"))
    if not workspace.run_names():
        command = f"errata evaluate {ws} timm:resnet50.a1_in1k" if pixels else f"errata runs import {ws} NAME FILE"
        steps.append(Step("There are no predictions yet.", command))
    for space in workspace.spaces():
        missing = {"projection", "clusters"} - set(spaces.fresh_steps(space))
        if reason := workspace.stale(space):
            steps.append(Step(f"Space {space.name} is stale ({reason}).", f"errata space build {ws} {space.name}"))
        elif missing:
            what = " and ".join(sorted(missing))
            steps.append(Step(f"Space {space.name} has no {what} yet.", f"errata space build {ws} {space.name}"))
    if pixels and not workspace.spaces():
        steps.append(Step("There is no map yet: no embeddings.", f"errata space build {ws} ENCODER"))
    if len(workspace.label_set_names()) == 1:
        steps.append(Step("There is one label set only.", f"errata labels import {ws} NAME FILE"))
    return steps


def class_counts(workspace: Workspace) -> pl.DataFrame:
    """How many items carry each class as original label: class (index), n; classes without any are left out."""
    labels = workspace.original_labels
    index, n = np.unique(labels[labels >= 0], return_counts=True)
    return pl.DataFrame({"class": index, "n": n})
