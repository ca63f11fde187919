"""JSON and JSONL: one entry an image, with or without its name; also the output of transformers' pipelines.

An entry holds the image's name and its classes (and scores) under the names that tables use, or under one of
`predictions`, `output`, `outputs`, `results`, `topk`: a list of `{label, score}`, of `[class, score]` or of
classes, or an object class -> score. The entries are a list, the values of an object by image name, or a table as
pandas writes it (records, split, index).
"""

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.tables import KEY_COLUMNS
from analysis.models.formats.ranking import PredictionFile
from analysis.models.formats.tables import read_frame

_NESTED = ("predictions", "prediction", "output", "outputs", "results", "topk", "top_k")
_CLASS_KEYS = ("label", "class", "class_id", "index", "id", "wnid", "name")
_SCORE_KEYS = ("score", "prob", "probability", "confidence", "logit")


def read(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """One run's JSON or JSONL file. Raises InputError naming the entry that is unlike the others."""
    if len(files) != 1:
        raise InputError(f"{', '.join(file.name for file in files)}: a run's JSON is one file.")
    (file,) = files
    text = _text(file)
    lines = file.suffix.lower() != ".json"
    quick = _as_frame(text, lines=lines)
    if quick is not None:
        return read_frame(file.name, quick[0], classes, quick[1])
    keys, entries = _entries(file.name, _parse(file.name, text, lines=lines))
    if not entries:
        raise InputError(f"{file.name} holds no predictions.")
    first = entries[0]
    if isinstance(first, dict):
        key = next((name for name in first if name.lower() in KEY_COLUMNS), None)
        nested = next((name for name in first if name.lower() in _NESTED), None)
        if keys is None and key is not None:
            keys = [_of(file.name, entry, key, row) for row, entry in enumerate(entries)]
        if nested is not None and isinstance(first[nested], list | dict):
            entries = [_of(file.name, entry, nested, row) for row, entry in enumerate(entries)]
        elif not _is_scores(first):
            return _read_records(file.name, entries, keys, key, classes)
    return _read_lists(file.name, entries, keys, classes)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} cannot be read as JSON: {error}") from error


def _as_frame(text: str, *, lines: bool) -> tuple[pl.DataFrame, str] | None:
    """The two commonest forms, ten times as fast as entry by entry: objects with a name and classes, and a
    pipeline's lists of {label, score}. None for every other, and where the entries are not alike."""
    begins = "".join(text[:200].split())
    try:
        if begins.startswith('[[{"label"') and not lines:
            entry = pl.List(pl.Struct({"label": pl.String, "score": pl.Float64}))
            cells = pl.Series([text]).str.json_decode(pl.List(entry)).explode()
            return _of_structs(pl.DataFrame({"output": cells}), "output")
        if not begins.startswith("{" if lines else "[{"):
            return None
        source = text.encode()
        frame = pl.read_ndjson(source, infer_schema_length=None) if lines else pl.read_json(source)
    except pl.exceptions.PolarsError:
        return None
    frame = frame.rename({column: column.strip().lower() for column in frame.columns})
    nested = next((name for name in _NESTED if name in frame.columns and frame.schema[name].is_nested()), None)
    if nested is not None:
        return _of_structs(frame, nested)
    if not set(KEY_COLUMNS) & set(frame.columns) or any(kind == pl.Struct for kind in frame.schema.values()):
        return None
    return frame, "JSON records"


def _of_structs(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str] | None:
    """A column of lists of {label, score} as a column of classes and one of scores."""
    kind = frame.schema[column]
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return None
    fields = [field.name for field in kind.inner.fields]
    label = next((name for name in _CLASS_KEYS if name in fields), None)
    score = next((name for name in _SCORE_KEYS if name in fields), None)
    if label is None:
        return None
    parts = {"class": label} | ({"score": score} if score else {})
    cells = frame[column].list
    columns = [cells.eval(pl.element().struct.field(name)).alias(part) for part, name in parts.items()]
    if any(cell.list.eval(pl.element().is_null()).list.any().any() for cell in columns):
        return None  # entry by entry, which can say where
    keys = [frame[name] for name in KEY_COLUMNS if name in frame.columns and name != column]
    return pl.DataFrame([*keys, *columns]), "pipeline output"


def _parse(name: str, text: str, *, lines: bool) -> Any:
    try:
        if not lines:
            return json.loads(text)
        # One array of all lines is read many times faster than line by line.
        return json.loads("[" + ",".join(line for line in text.splitlines() if line.strip()) + "]")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be read as JSON: {error}") from error


def _entries(name: str, content: Any) -> tuple[list[str] | None, list[Any]]:
    """The images' names, if the entries stand under them, and the entries."""
    if isinstance(content, dict):
        if {"columns", "data"} <= set(content):  # pandas, split
            return None, [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
        if len(content) == 1 and (only := next(iter(content))) in (*_NESTED, "data", "images"):
            return _entries(name, content[only])
        return list(content), list(content.values())
    if isinstance(content, list):
        return None, content
    raise InputError(f"{name} holds neither a list of images nor an object with an entry an image.")


def _of(name: str, entry: Any, key: str, row: int) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise InputError(f"{name}: entry {row + 1} has no {key!r}, which the first has.")
    return entry[key]


def _is_scores(entry: dict[str, Any]) -> bool:
    """Whether an object maps classes to scores."""
    words = {*_CLASS_KEYS, *_SCORE_KEYS, *KEY_COLUMNS}
    return bool(entry) and all(isinstance(value, float) for value in entry.values()) and not (words & set(entry))


def _read_records(
    name: str, entries: list[Any], keys: list[str] | None, key: str | None, classes: ClassList
) -> PredictionFile:
    """Entries with the columns of a table."""
    try:
        frame = pl.DataFrame(entries, infer_schema_length=None)
        frame = frame.rename({column: column.strip().lower() for column in frame.columns})
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(f"{name}: its entries cannot be read as rows of one table: {error}") from error
    if keys is not None:
        frame = frame.drop(key.lower() if key else [], strict=False)
        frame = frame.with_columns(key=pl.Series(keys, dtype=pl.String))
    return read_frame(name, frame, classes, "JSON records")


def _read_lists(name: str, entries: list[Any], keys: list[str] | None, classes: ClassList) -> PredictionFile:
    """Entries that are lists of classes, pairs or {label, score}; objects class -> score; or one class each."""
    found: list[list[str]] = []
    scores: list[list[float]] = []
    pipeline = False
    for row, entry in enumerate(entries):
        try:
            if isinstance(entry, dict) and _is_scores(entry):
                found.append(list(entry))
                scores.append([float(score) for score in entry.values()])
            elif isinstance(entry, list) and entry and isinstance(entry[0], dict):
                label = next(key for key in _CLASS_KEYS if key in entry[0])
                score = next((key for key in _SCORE_KEYS if key in entry[0]), None)
                found.append([str(one[label]) for one in entry])
                if score is not None:
                    scores.append([float(one[score]) for one in entry])
                pipeline = True
            elif isinstance(entry, list) and entry and isinstance(entry[0], list):
                found.append([str(label) for label, _ in entry])
                scores.append([float(score) for _, score in entry])
            elif isinstance(entry, dict | float | bool):
                raise TypeError
            else:
                found.append([str(label) for label in entry] if isinstance(entry, list) else [str(entry)])
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            where = f"entry {row + 1}" if keys is None else f"the entry of {keys[row]!r}"
            raise InputError(f"{name}: {where} holds no list of classes, pairs or {{label, score}}.") from error
    if scores and [len(row) for row in scores] != [len(row) for row in found]:
        raise InputError(f"{name}: some entries have scores and others none, or not one for each class.")
    # A column a place: polars makes lists from Python's lists very slowly.
    columns = {f"class_{place}": pl.Series(cells, dtype=pl.String) for place, cells in enumerate(zip_longest(*found))}
    columns |= {
        f"score_{place}": pl.Series(cells, dtype=pl.Float64) for place, cells in enumerate(zip_longest(*scores))
    }
    if keys is not None:
        columns["key"] = pl.Series([str(key) for key in keys], dtype=pl.String)
    return read_frame(name, pl.DataFrame(columns), classes, "pipeline output" if pipeline else "JSON lists")
