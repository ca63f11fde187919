"""What a workspace holds, how its best run stands, and what needs doing."""

import shlex
from dataclasses import dataclass

import polars as pl

from analysis import metrics, spaces
from analysis.workspace import Run, Workspace


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


def best_standing(workspace: Workspace, labels: str) -> Standing | None:
    """How the run that is right most often under `labels` stands; None without runs or common items.

    Runs that chose among fewer classes had an easier task and count only where there are no others.
    """
    full = [run.name for run in workspace.runs() if run.manifest.get("competing", "all") == "all"]
    names = full or workspace.run_names()
    standings = [standing for run in names if (standing := _standing(workspace, run, labels))]
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
    ws = shlex.quote(str(workspace.path))
    pixels = workspace.image_root is not None
    steps = []
    for run in workspace.runs():
        if reason := workspace.stale(run):
            steps.append(Step(f"Run {run.name} is stale ({reason}).", _again(run, ws)))
    for name in workspace.label_set_names()[1:]:
        if reason := workspace.stale(workspace.label_artefact(name)):
            again = f"errata labels import {ws} {_argument(name)} FILE"
            steps.append(Step(f"Label set {name} is stale ({reason}).", again))
    if not workspace.run_names():
        command = f"errata evaluate {ws} timm:resnet50.a1_in1k" if pixels else f"errata runs import {ws} NAME FILE"
        steps.append(Step("There are no predictions yet.", command))
    mapped = [space for space in workspace.spaces() if space.file("projection.parquet")]
    for space in mapped:
        build = f"errata space build {ws} {shlex.quote(space.name)}"
        missing = {"projection", "clusters"} - set(spaces.fresh_steps(workspace, space))
        if reason := workspace.stale(space):
            steps.append(Step(f"Space {space.name} is stale ({reason}).", build))
        elif missing:
            steps.append(Step(f"Space {space.name} needs {' and '.join(sorted(missing))} made anew.", build))
    if pixels and not mapped:
        encoder = shlex.quote(workspace.space_names()[0]) if workspace.spaces() else "ENCODER"
        steps.append(Step("There is no map yet.", f"errata space build {ws} {encoder}"))
    if len(workspace.label_set_names()) == 1:
        steps.append(Step("There is one label set only.", f"errata labels import {ws} NAME FILE"))
    # Two runs of one evaluation are made again by one command.
    return list({step.command: step for step in reversed(steps)}.values())[::-1]


def _again(run: Run, ws: str) -> str:
    """The command that makes a run again."""
    asked = run.manifest.get("asked")
    if asked is None:
        return f"errata runs import {ws} {_argument(run.name)} FILE"
    seen = run.manifest.get("seen_in_training", "unknown")
    options = {"among": asked["among"], "scores": asked["scores"], "name": asked["name"], "seen": seen}
    usual = {"among": "all", "scores": "auto", "name": None, "seen": "unknown"}
    given = [f"--{key} {shlex.quote(value)}" for key, value in options.items() if value != usual[key]]
    return " ".join(["errata evaluate", ws, *given, _argument(run.manifest["reference"])])


def _argument(text: str) -> str:
    """A name as a shell takes it for one argument, not for an option."""
    return f"-- {shlex.quote(text)}" if text.startswith("-") else shlex.quote(text)


def run_table(workspace: Workspace) -> pl.DataFrame:
    """How each run was made: its items, ranks, scores, competing classes, preprocessing, precision, date."""
    rows = []
    for run in workspace.runs():
        made = run.manifest.get("inference", {})
        shape = made.get("preprocessing", {})
        competing = run.manifest.get("competing", "all")
        size = "×".join(map(str, shape.get("size", [])))
        rows.append(
            {
                "run": run.name,
                "items": len(run.predictions.items),
                "ranks": run.predictions.classes.shape[1],
                "scores": run.predictions.kind,
                "classes competing": "all" if competing == "all" else f"{len(competing):,}",
                "seen in training": run.manifest.get("seen_in_training", "unknown"),
                "preprocessing": f"{size}, {shape.get('interpolation')}" if shape else "imported",
                "own preprocessing": shape.get("own"),
                "precision": made.get("precision"),
                "images/s": made.get("images_per_second"),
                "made": run.manifest["created"][:10],
                "stale": workspace.stale(run),
            }
        )
    text = {"preprocessing": pl.String, "precision": pl.String, "stale": pl.String}
    return pl.DataFrame(rows, schema_overrides={**text, "own preprocessing": pl.Boolean, "images/s": pl.Float64})


def space_table(workspace: Workspace) -> pl.DataFrame:
    """Each space: vectors, dimensions, the index's measured recall@10, the steps made, and why it is stale."""
    rows = [
        {
            "space": space.name,
            "vectors": len(space.items),
            "dimensions": space.manifest["steps"]["index"]["dimension"],
            "recall@10": space.manifest["steps"]["index"]["recall_at_10"] or 1.0,
            "made": ", ".join(space.manifest["steps"]),
            "stale": workspace.stale(space),
        }
        for space in workspace.spaces()
    ]
    return pl.DataFrame(rows, schema_overrides={"stale": pl.String})
