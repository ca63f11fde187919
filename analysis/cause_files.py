"""Files that tell the causes of mistakes: superclasses, classes that are one, atypical images, a panel's judgements.

Each is a *rule*: its file is read in full and checked here, and stored in the workspace as one table
(analysis/workspace.py). An unknown key or class, a row that comes twice, and a circle of merges are InputErrors that
name the row.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.causes import panel_judgements
from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.tables import KEY_COLUMNS, find_column, item_numbers, read_table
from analysis.labels.superclasses import read_superclasses
from analysis.merges import merge_map

_PREDICTION = ("prediction", "predicted", "top_prediction", "predicted_class", "pred")
_CATEGORY = ("category", "failure_category", "cause")
_SEVERITY = ("severity", "failure_severity")
_EXAMPLE = {
    "atypical": "a column of keys, one key a line (.txt), or a JSON list of keys",
    "judgements": 'key, prediction, category and perhaps severity; or JSON as {"KEY": {"top_prediction": 3, '
    '"failure category": "Fine-grained error", "failure severity": "Minor"}}',
}


@dataclass(frozen=True, eq=False)
class CauseFile:
    """What a file says, as the table that is stored."""

    table: pl.DataFrame
    basis: str


@dataclass(frozen=True)
class Rule:
    """One rule that a file can stand in place of, or beside."""

    read: Callable[[Path, pl.DataFrame, ClassList], CauseFile]
    """(file, items, classes) -> what it says; `items` has item and key."""
    inputs: tuple[str, ...]
    """Fingerprints of the dataset that the table hangs on."""
    replaces: str
    """What holds without a file, in words."""


def read_cause(rule: str, file: Path, items: pl.DataFrame, classes: ClassList) -> CauseFile:
    """What a file says for a rule, checked in full. Raises InputError, naming file, row and value."""
    checked([rule])
    return RULES[rule].read(file, items, classes)


def checked(rules: Sequence[str]) -> list[str]:
    """The rules, each once. Raises InputError for one that does not exist."""
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise InputError(f"There is no rule {unknown[0]!r}. There are: {', '.join(RULES)}.")
    return list(dict.fromkeys(rules))


# ---- classes


def _superclasses(file: Path, items: pl.DataFrame, classes: ClassList) -> CauseFile:
    found = read_superclasses(file, classes)
    return CauseFile(found.frame, found.basis)


def _merges(file: Path, items: pl.DataFrame, classes: ClassList) -> CauseFile:
    """Columns class and into: each class, and the one that it counts as."""
    frame = _frame(file)
    if not {"class", "into"} <= set(frame.columns):
        raise InputError(
            f"{file.name}: merged classes need the columns class and into; it has {', '.join(frame.columns) or 'none'}."
        )
    merged, into = (classes.resolve(frame[column], where=f"{file.name}, {column}") for column in ("class", "into"))
    for column, found in (("class", merged), ("into", into)):
        if found.null_count():
            raise InputError(f"{file.name}: row {int(found.is_null().arg_max() or 0) + 1} names no class in {column}.")
    table = pl.DataFrame({"class": merged, "into": into})
    steps: list[tuple[int, int]] = []
    for row, step in enumerate(table.iter_rows(), 1):
        if step in steps:
            raise InputError(f"{file.name}: row {row} says again what row {steps.index(step) + 1} says. Remove it.")
        try:  # row by row, so that the row which brings the trouble is named
            merge_map([*steps, step], len(classes))
        except InputError as error:
            names = f"{classes.ids[step[0]]} into {classes.ids[step[1]]}"
            raise InputError(f"{file.name}: row {row} ({names}): {error}") from error
        steps.append(step)
    return CauseFile(table, f"file {file.name}")


# ---- items


def _atypical(file: Path, items: pl.DataFrame, classes: ClassList) -> CauseFile:
    """Keys (or item numbers) of images."""
    numbers = _items(_frame(file, single="key"), items, file, "atypical")
    _refuse_twice(pl.DataFrame({"item": numbers}), file)
    table = pl.DataFrame({"item": numbers.sort()})
    return CauseFile(table, f"list {file.name} ({table.height:,} images)")


def _judgements(file: Path, items: pl.DataFrame, classes: ClassList) -> CauseFile:
    frame = _frame(file)
    numbers = _items(frame, items, file, "judgements")
    columns = {
        name: find_column(frame, names) for name, names in (("prediction", _PREDICTION), ("category", _CATEGORY))
    }
    for name, column in columns.items():
        if column is None:
            raise InputError(f"{file.name}: no column {name}. {_wanted('judgements', frame)}")
    predicted = classes.resolve(frame[columns["prediction"] or ""], where=file.name)
    if predicted.null_count():
        raise InputError(f"{file.name}: row {int(predicted.is_null().arg_max() or 0) + 1} names no predicted class.")
    rows = pl.DataFrame({"item": numbers, "prediction": predicted, "category": frame[columns["category"] or ""]})
    for name, names in (("severity", _SEVERITY), ("source", ("source",))):
        if column := find_column(frame, names):
            rows = rows.with_columns(frame[column].cast(pl.String).alias(name))
    _refuse_twice(rows.select("item", "prediction"), file)
    table = panel_judgements(rows, file.name)
    return CauseFile(table, f"file {file.name} ({table.height:,} judgements)")


def _items(frame: pl.DataFrame, items: pl.DataFrame, file: Path, rule: str) -> pl.Series:
    """Item numbers (u32), by key, or by the column `item` of a table without keys."""
    if column := find_column(frame, KEY_COLUMNS):
        return item_numbers(frame[column], items, file.name)[0]
    if "item" not in frame.columns:
        raise InputError(f"{file.name}: no column names the images. {_wanted(rule, frame)}")
    numbers = frame["item"].cast(pl.Int64, strict=False)
    unknown = numbers.is_null() | ~numbers.is_in(items["item"].cast(pl.Int64).implode())
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise InputError(f"{file.name}: row {row + 1} names item {frame['item'][row]!r}, which does not exist.")
    return numbers.cast(pl.UInt32)


def _refuse_twice(keys: pl.DataFrame, file: Path) -> None:
    again = ~keys.to_struct("key").is_first_distinct()
    if again.any():
        row = int(again.arg_max() or 0)
        first = keys.rows().index(keys.row(row)) + 1
        raise InputError(f"{file.name}: row {row + 1} is about the same as row {first}. Keep one of them.")


def _wanted(rule: str, frame: pl.DataFrame) -> str:
    return f"It has {', '.join(frame.columns) or 'no columns'}; wanted are {_EXAMPLE[rule]}."


# ---- any of these files as a table


def _frame(file: Path, *, single: str | None = None) -> pl.DataFrame:
    """CSV, TSV, Parquet; JSON: a list of objects, an object of them by key; with `single`, a list of its values too.

    Column names in lower case, with `_` for spaces.
    """
    if file.suffix.lower() == ".json":
        frame = _json_frame(file, single)
    elif file.suffix.lower() == ".txt" and single:
        frame = pl.DataFrame({single: [line.strip() for line in _text(file).splitlines() if line.strip()]})
    else:
        frame = read_table(file)
    if frame.is_empty():
        raise InputError(f"{file.name} has no rows.")
    return frame.rename({name: name.strip().lower().replace(" ", "_") for name in frame.columns})


def _json_frame(file: Path, single: str | None) -> pl.DataFrame:
    try:
        content: Any = json.loads(_text(file))
        if isinstance(content, dict) and all(isinstance(value, dict) for value in content.values()):
            content = [{"key": key, **value} for key, value in content.items()]
        if single and isinstance(content, list) and all(isinstance(entry, str) for entry in content):
            content = [{single: entry} for entry in content]
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise ValueError("it is neither a list of objects nor an object of objects")
        return pl.DataFrame(content, infer_schema_length=None, strict=False)
    except (ValueError, TypeError, RecursionError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{file.name} cannot be read as JSON: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} cannot be read: {error}") from error


RULES: dict[str, Rule] = {
    "superclasses": Rule(_superclasses, ("classes",), "superclasses of the class list's own hierarchy, else WordNet"),
    "merges": Rule(_merges, ("classes",), "the collapsed map of ImageNet's overlapping classes"),
    "atypical": Rule(_atypical, ("keys",), "typicality by the embeddings of a space"),
    "judgements": Rule(_judgements, ("keys", "classes"), "no judgements: every category is a suggestion by rule"),
}
"""By name; a rule's name is also that of its option and its folder below `causes/`."""
