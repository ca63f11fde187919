"""Judgements that were made elsewhere: the files of imagenet-mistakes, every mistake of a model with its cause.

The repository google-research/imagenet-mistakes has one JSON file a model: image -> top_prediction (ImageNet's class
index), failure category, failure severity. They come in as readings of one person, `imported: NAME`, not as this
team's panel: where the team reads otherwise the class is disputed, and nobody's word is overwritten.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from analysis.causes import CATEGORY_WORDS, SEVERITIES, spelled
from analysis.errors import InputError
from analysis.labels.classes import ClassList, imagenet_1k, is_wnid
from analysis.labels.readers import item_numbers
from analysis.review import log, state
from analysis.review.kinds import Cause, Judgement, Note, Statement, Undo, Verdict
from analysis.workspace import Workspace

UNKNOWN, UNSET = "unknown", "unset"
"""A category that the file spells in no known way; a severity that it does not give, or in no known way."""

_PREDICTION, _CATEGORY, _SEVERITY = "top_prediction", "failure category", "failure severity"


@dataclass(frozen=True)
class Imported:
    """What an import brought."""

    mistakes: int
    written: int
    """Rows added to the log; 0 when everything was there already."""
    withdrawn: int
    """Judgements of an earlier import under the same name that this file does not have."""
    unknown: dict[str, list[str]]
    """Words that no table knows -> the images that have them. The words are kept in a note."""


def import_reviews(workspace: Workspace, file: Path, run: str, *, complete: bool = False) -> Imported:
    """Bring in the mistakes of a model named `run`, which need not be a run of the workspace.

    `complete` says that the file lists every mistake of the model, so that each had the inclusion probability 1. An
    import replaces the one before it under the same name; the same file again changes nothing. Raises InputError,
    naming the image, before anything is written: for an image or class that the workspace lacks, and for an entry
    that cannot be.
    """
    rows, unknown = _read(workspace, file)
    told = log.read(workspace)
    before = _of_import(told, run)
    standing = before.filter(log.stands(told).filter(told["queue"].eq_missing(_queue(run))))
    # Taken back and brought in again, a judgement is another one; brought in twice at once, it is the same.
    generation = before.height - standing.height
    said = {
        _content(statement, complete): _judgement(statement, row, file, run, complete, generation)
        for row in rows
        for statement in row.says
    }
    ids = dict(_contents(standing))
    fresh = [judgement for content, judgement in said.items() if content not in ids]
    # From the end: a cause goes before the verdict that it rests on.
    gone = [id for content, id in reversed(ids.items()) if content not in said]
    items = dict(standing.select("id", "item").iter_rows())
    undone = [_under(Undo(items[id], id), run, f"{id}-undo") for id in gone]
    log.append(workspace, [*undone, *fresh])
    return Imported(len(rows), len(fresh) + len(undone), len(gone), unknown)


def summary(workspace: Workspace, run: str, labels: str | None = None) -> dict[str, Any]:
    """What was judged of a run's mistakes: counts of categories and severities, and the accuracy that follows.

    `run` is the name of an import, else a run whose top-1 predictions the team judged wrong. The accuracy is the
    mean over original classes of the share of items right, if exactly the judged items were wrong, over the items
    that the label set scores; MLA under `expert`, which is taken unless `labels` says otherwise.
    Raises InputError when nothing was judged of a run of that name.
    """
    found = _imported(workspace, run)
    if found is None:
        found = _judged(workspace, run)
    categories, severities = found["category"].fill_null(UNKNOWN), found["severity"].fill_null(UNSET)
    return {
        "run": run,
        "judgements": found.height,
        "categories": dict(categories.value_counts(sort=True).iter_rows()),
        "severities": dict(severities.value_counts(sort=True).iter_rows()),
        "implied_class_mean_accuracy": _implied(workspace, found["item"], labels or _best_labels(workspace)),
    }


# ---- reading


@dataclass(frozen=True)
class _Row:
    key: str
    item: int
    prediction: int
    words: dict[str, Any]
    says: list[Statement]


def _read(workspace: Workspace, file: Path) -> tuple[list[_Row], dict[str, list[str]]]:
    """The file's mistakes, and the words in it that no table knows with their images."""
    entries = _entries(file)
    items, _ = item_numbers(pl.Series("key", list(entries), pl.String), workspace.items(), file.name)
    if items.is_duplicated().any():
        twice = [key for key, doubled in zip(entries, items.is_duplicated(), strict=True) if doubled]
        raise InputError(f"{file.name}: {twice[0]!r} and {twice[1]!r} are one image of the workspace.")
    indices = _class_indices(workspace.classes())
    words = pl.DataFrame(
        {
            "category": [_word(entry.get(_CATEGORY)) for entry in entries.values()],
            "severity": [_word(entry.get(_SEVERITY)) for entry in entries.values()],
        },
        schema={"category": pl.String, "severity": pl.String},
    ).select(spelled("category"), spelled("severity"))
    rows: list[_Row] = []
    unknown: dict[str, list[str]] = {}
    for (key, entry), item, (category_word, severity_word) in zip(
        entries.items(), items, words.iter_rows(), strict=True
    ):
        prediction = entry.get(_PREDICTION)
        if not isinstance(prediction, int) or prediction not in indices:
            raise InputError(f"{file.name}: {key!r} has the {_PREDICTION} {prediction!r}, which is no class here.")
        index = indices[prediction]
        category = CATEGORY_WORDS.get(category_word)
        severity = severity_word if severity_word in SEVERITIES.categories else None
        says: list[Statement] = [Verdict(item, index, "wrong")]
        if category or severity:
            says.append(Cause(item, index, category, severity))
        strange = [
            str(entry[name])
            for name, word, told in ((_CATEGORY, category_word, category), (_SEVERITY, severity_word, severity))
            if word is not None and told is None
        ]
        for word in strange:
            unknown.setdefault(word, []).append(key)
            says.append(Note(item, f"{file.name} calls it {word!r}", index))
        rows.append(_Row(key, item, index, entry, says))
    return rows, unknown


def _entries(file: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file.name} cannot be read as JSON: {error}") from error
    wanted = f'image -> {{"{_PREDICTION}", "{_CATEGORY}", "{_SEVERITY}"}}'
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{file.name}: this is no file of mistakes, which is an object {wanted}.")
    for key, entry in entries.items():
        if not isinstance(entry, dict):
            raise InputError(f"{file.name}: {key!r} is no entry; wanted is {wanted}.")
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names come once: of two entries JSON would drop the first without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _class_indices(classes: ClassList) -> Mapping[int, int]:
    """ImageNet's class index -> the workspace's, by wnid where its classes have them."""
    if not any(is_wnid(class_id) for class_id in classes.ids):
        return {index: index for index in range(len(classes))}
    own = {class_id: index for index, class_id in enumerate(classes.ids)}
    return {index: own[wnid] for index, wnid in enumerate(imagenet_1k().ids) if wnid in own}


# ---- what stands in the log


def _queue(run: str) -> str:
    return f"import:{run}"


def _of_import(told: pl.DataFrame, run: str) -> pl.DataFrame:
    return told.filter(pl.col("queue").eq_missing(_queue(run)))


def _under(says: Statement, run: str, id: str, **more: Any) -> Judgement:
    return Judgement(says=says, person=f"imported: {run}", queue=_queue(run), id=id, **more)


def _judgement(says: Statement, row: _Row, file: Path, run: str, complete: bool, generation: int) -> Judgement:
    content = json.dumps([run, generation, *_content(says, complete)])
    return _under(
        says,
        run,
        hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
        stratum="mistakes",
        probability=1.0 if complete else None,
        shown={"file": file.name, "run": run, **row.words},
    )


def _content(says: Statement, complete: bool) -> tuple[Any, ...]:
    """What tells two imported judgements apart: the columns of `_contents`."""
    probability = 1.0 if complete else None
    match says:
        case Verdict():
            return "verdict", says.item, says.class_index, says.verdict, None, probability
        case Cause():
            return "cause", says.item, says.class_index, says.category, says.severity, probability
        case Note():
            return "note", says.item, says.class_index, says.text, None, probability
    raise AssertionError(says)


def _contents(rows: pl.DataFrame) -> list[tuple[tuple[Any, ...], str]]:
    columns = rows.select("kind", "item", "class", "value", "severity", "probability", "id")
    return [(row[:-1], row[-1]) for row in columns.iter_rows()]


# ---- the summary


def _imported(workspace: Workspace, run: str) -> pl.DataFrame | None:
    """item, category, severity of an import's mistakes as the file has them; None when there is none."""
    told = log.read(workspace)
    rows = _of_import(told.filter(log.stands(told)), run)
    wrong, causes = (rows.filter(pl.col("kind") == kind) for kind in ("verdict", "cause"))
    if wrong.is_empty():
        return None
    joined = wrong.select("item", "class").join(causes, on=["item", "class"], how="left", maintain_order="left")
    return joined.select("item", category="value", severity="severity")


def _judged(workspace: Workspace, run: str) -> pl.DataFrame:
    """item, category, severity of a run's top-1 predictions that are wrong by the team's consensus."""
    told = log.read(workspace)
    if run not in workspace.run_names():
        queues = told["queue"].drop_nulls().unique().sort().to_list()
        names = [queue.removeprefix("import:") for queue in queues if queue.startswith("import:")]
        there = f"imported are {', '.join(names)}" if names else "nothing was imported yet"
        raise InputError(f"No judgements of {run!r}: it is no run of {workspace.name}, and {there}.")
    predictions = workspace.run(run).predictions
    top1 = pl.DataFrame({"item": predictions.items, "class": predictions.classes[:, 0].astype(np.int64)})
    wrong = state.verdicts(told).filter(pl.col("state") == "wrong").select("item", pl.col("class").cast(pl.Int64))
    mine = wrong.join(top1, on=["item", "class"], how="semi")
    causes = state.causes(told).select("item", pl.col("class").cast(pl.Int64), "category", "severity")
    joined = mine.join(causes, on=["item", "class"], how="left", maintain_order="left")
    return joined.select("item", pl.col("category").cast(pl.String), pl.col("severity").cast(pl.String))


def _best_labels(workspace: Workspace) -> str:
    return "expert" if "expert" in workspace.label_set_names() else "original"


def _implied(workspace: Workspace, wrong: pl.Series, labels: str) -> float | None:
    """Mean over original classes of the share of scored items that are not among `wrong`; None without items."""
    chosen = workspace.labels(labels).items.filter("scored")["item"].to_numpy()
    original = workspace.original_labels[chosen]
    chosen, original = chosen[original >= 0], original[original >= 0]
    if not len(chosen):
        return None
    n = np.bincount(original)
    right = np.bincount(original, ~np.isin(chosen, wrong.to_numpy()))
    return float((right[n > 0] / n[n > 0]).mean())
