"""Everything known about one item, and pictures to hold it against."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.labels.sets import REJECTED, UNCLEAR, VALID
from analysis.lens import metadata_columns
from analysis.search import NO_ITEM, SpaceIndex
from analysis.workspace import Run, Workspace

STATE_NAMES = {VALID: "valid", UNCLEAR: "unclear", REJECTED: "rejected"}


@dataclass(frozen=True)
class LabelRow:
    """What one label set says of the item: (class index, state) pairs."""

    labels: str
    scored: bool
    known: bool
    classes: list[tuple[int, str]]


@dataclass(frozen=True)
class Guess:
    """One rank of a run: class index, score in the run's scale, probability where it is known, state."""

    index: int
    score: float | None
    probability: float | None
    state: str
    """valid, unclear, rejected, wrong, unjudged or (where the item is) not scored, under the label set asked for."""


@dataclass(frozen=True)
class RunRow:
    """One run's ranked classes for the item; empty where the run does not cover it."""

    run: str
    kind: str
    guesses: list[Guess]


@dataclass(frozen=True)
class ItemDetails:
    """One item with all that label sets and runs say of it."""

    item: int
    key: str
    label: int | None
    label_rows: list[LabelRow]
    run_rows: list[RunRow]
    metadata: dict[str, str]
    problem: str | None


def item_details(workspace: Workspace, item: int, labels: str) -> ItemDetails:
    """Details of an item, its runs' guesses judged by the label set `labels`."""
    row = workspace.items().row(item, named=True)
    shown = ["width", "height", "bytes", "split", *metadata_columns(workspace)]
    return ItemDetails(
        item=item,
        key=row["key"],
        label=row["label"],
        label_rows=[_label_row(workspace, item, name) for name in workspace.label_set_names()],
        run_rows=[_run_row(workspace, run, item, labels) for run in workspace.runs()],
        metadata={name: str(row[name]) for name in shown if row[name] is not None},
        problem=row["problem"],
    )


def _label_row(workspace: Workspace, item: int, name: str) -> LabelRow:
    labels = workspace.labels(name)
    at = np.array([item], np.uint32)
    said = labels.labels.filter(pl.col("item") == item)
    return LabelRow(
        name,
        scored=bool(labels.scored(at)[0]),
        known=bool((labels.items["item"] == item).any()),
        classes=list(said.select("class", pl.col("state").cast(pl.String)).iter_rows()),
    )


def _run_row(workspace: Workspace, run: Run, item: int, labels: str) -> RunRow:
    predictions = run.predictions
    place = int(np.searchsorted(predictions.items, item))
    if place == len(predictions.items) or predictions.items[place] != item:
        return RunRow(run.name, predictions.kind, [])
    classes = predictions.classes[place]
    label_set = workspace.labels(labels)
    at = np.array([item], np.uint32)
    states = label_set.states(at, classes[None, :])[0]
    scored, exhaustive = bool(label_set.scored(at)[0]), bool(label_set.exhaustive(at)[0])
    unsaid = "unjudged" if label_set.absent == "unjudged" and not exhaustive else "wrong"
    guesses = []
    for rank, index in enumerate(classes):
        if index < 0:
            continue
        score = None if predictions.scores is None else float(predictions.scores[place, rank])
        probability = score if predictions.kind == "probabilities" else None
        if predictions.kind == "logits" and predictions.logsumexp is not None and score is not None:
            probability = float(np.exp(score - predictions.logsumexp[place]))
        state = STATE_NAMES.get(int(states[rank]), unsaid) if scored else "not scored"
        guesses.append(Guess(int(index), score, probability, state))
    return RunRow(run.name, predictions.kind, guesses)


def neighbours(index: SpaceIndex, item: int, k: int) -> list[tuple[int, float]]:
    """The k items most similar to one and their cosine similarities; empty where it has no embedding."""
    if index.rows(np.array([item]))[0] < 0:
        return []
    items, similarities = index.similar_to(item, k)
    return [(int(i), float(s)) for i, s in zip(items, similarities, strict=True) if i != NO_ITEM]


def exemplars(frame: pl.DataFrame, classes: list[int], k: int) -> dict[int, list[int]]:
    """Up to k items for each class (index) to hold a mistake against, from a lens frame.

    Items that carry the class as original label, those first that the run has right and is surest of. Ask for one
    more than is shown: the mistake itself may be among them.
    """
    chosen = (
        frame.filter(pl.col("target").is_in(classes), pl.col("problem").is_null())
        .sort("right", "confidence", "item", descending=[True, True, False], nulls_last=True)
        .group_by("target", maintain_order=True)
        .agg(pl.col("item").head(k))
    )
    found = {int(target): list(items) for target, items in chosen.iter_rows()}
    return {index: found.get(index, []) for index in classes}
