"""Class lists: what may be predicted, keyed by index and id; names are for people and need not be unique."""

import contextlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.errors import InputError

IMAGENET_1K = "imagenet-1k"
SCHEMA = pl.Schema(
    {
        "index": pl.UInt32(),
        "id": pl.String(),
        "name": pl.String(),
        "synonyms": pl.List(pl.String()),
        "definition": pl.String(),
        "parent": pl.String(),
    }
)
_WNID = re.compile(r"n\d{8}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_LARGEST_WHOLE = 2**53
"""Above it a float no longer tells one whole number from the next."""


def is_wnid(text: str) -> bool:
    """Whether the text has the form of a WordNet noun's id, `n` and eight digits."""
    return _WNID.fullmatch(text) is not None


@dataclass(frozen=True, eq=False)
class ClassList:
    """The classes of a dataset; a class's index is its row number.

    `frame` has index u32, id str (unique), name str, synonyms list[str], definition str|null, parent str|null.
    Raises InputError where an id is empty or stands twice.
    """

    name: str
    frame: pl.DataFrame

    def __post_init__(self) -> None:
        if self.frame.schema != SCHEMA:
            raise ValueError(f"a class list has the columns {SCHEMA}, not {self.frame.schema}")
        if self.frame["index"].to_list() != list(range(self.frame.height)):
            raise ValueError("a class's index must be its row number")
        seen: dict[str, int] = {}
        for index, (class_id, class_name) in enumerate(zip(self.ids, self.names, strict=True)):
            if not class_id or not class_name:
                raise InputError(f"Class list {self.name}: class {index} has no id or no name; give it one.")
            if class_id in seen:
                raise InputError(
                    f"Class list {self.name}: the id {class_id!r} stands twice (classes {seen[class_id]} and "
                    f"{index}). Ids must be unique; names need not be."
                )
            seen[class_id] = index

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def ids(self) -> list[str]:
        """Ids by class index."""
        return self.frame["id"].to_list()

    @cached_property
    def names(self) -> list[str]:
        """Names by class index; two classes may share one."""
        return self.frame["name"].to_list()

    def display_names(self) -> list[str]:
        """Names by class index, made unique for people: `crane (n02012849)` where two classes share a name."""
        count = Counter(self.names)
        return [
            name if count[name] == 1 else f"{name} ({class_id})"
            for class_id, name in zip(self.ids, self.names, strict=True)
        ]

    def resolve(self, values: pl.Series, *, where: str) -> pl.Series:
        """Class indices (u32, same length) of ids, class indices or unique names; null stays null.

        An id comes before an index, an index before a name. Where ids themselves are digits, digits are
        ids only: reading them now as this, now as that would be silently wrong.
        Raises InputError naming `where`, the row (from 1) and the first value that is unknown, ambiguous or
        out of range.
        """
        text = as_text(values, where)
        found = {value: self._index_of(value) for value in text.unique().drop_nulls().to_list()}
        unknown = [value for value, index in found.items() if index is None]
        if unknown:
            raise InputError(self._complaint(text, unknown, where))
        return pl.Series(
            values.name,
            text.replace_strict(list(found), list(found.values()), default=None, return_dtype=pl.UInt32),
        )

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {class_id: index for index, class_id in enumerate(self.ids)}

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            found.setdefault(name, []).append(index)
        return found

    @cached_property
    def _takes_indices(self) -> bool:
        return not any(_INTEGER.fullmatch(class_id) for class_id in self.ids)

    def _index_of(self, value: str) -> int | None:
        if value in self._by_id:
            return self._by_id[value]
        value = value.strip()
        if value in self._by_id:
            return self._by_id[value]
        if self._takes_indices and _INTEGER.fullmatch(value):
            index = int(value)
            return index if 0 <= index < len(self) else None
        named = self._by_name.get(value, [])
        return named[0] if len(named) == 1 else None

    def _complaint(self, text: pl.Series, unknown: list[str], where: str) -> str:
        rows = text.is_in(unknown).arg_true()
        row = int(rows[0])
        value = text[row].strip()
        if self._takes_indices and _INTEGER.fullmatch(value):
            what = f"class index {value} is out of range: {self.name} has {len(self):,} classes, from 0"
            remedy = "Correct it, or name another class list (--classes)."
        elif value in self._by_name:
            ids = " and ".join(self.ids[index] for index in self._by_name[value])
            what = f"the class name {value!r} is ambiguous: it is the name of {ids}"
            remedy = "Use the id."
        else:
            what = f"unknown class {value!r}: it is not in class list {self.name} ({len(self):,} classes)"
            example = f", such as {self.ids[0]!r}" if len(self) else ""
            remedy = f"Use an id{example}, a class index or a unique name, or name another class list (--classes)."
        more = f" The same holds for {len(rows) - 1:,} more rows." if len(rows) > 1 else ""
        return f"{where}, row {row + 1}: {what}.{more} {remedy}"


def as_text(values: pl.Series, where: str) -> pl.Series:
    """Labels as strings; whole numbers stored as floats (a column with gaps, say) without their `.0`, NaN as null.

    Raises InputError naming `where`, and the row (from 1) of a number that is not whole, or too large to be exact.
    """
    dtype = values.dtype
    if dtype.is_float() or dtype.is_decimal():
        numbers = values.cast(pl.Float64).fill_nan(None)
        refused = ((numbers != numbers.round(0)) | (numbers.abs() > _LARGEST_WHOLE)).fill_null(False).arg_true()
        if len(refused):
            row = int(refused[0])
            raise InputError(f"{where}, row {row + 1}: {values[row]} is no class; give ids, whole numbers or names.")
        values = numbers.cast(pl.Int64)
    elif dtype.is_nested() or dtype.is_temporal() or dtype in (pl.Binary, pl.Boolean, pl.Object):
        raise InputError(f"{where}: a column of type {dtype} holds no classes; give ids, indices or names.")
    return values.cast(pl.String)


def make_class_list(
    name: str,
    ids: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    synonyms: Sequence[Sequence[str]] | None = None,
    definitions: Sequence[str | None] | None = None,
    parents: Sequence[str | None] | None = None,
) -> ClassList:
    """A class list in the order of `ids`; without names, wnids get WordNet's and other ids are their own."""
    if names is None:
        lemmas, glosses = wordnet_words() if ids and all(map(is_wnid, ids)) else ({}, {})
        names = [lemmas.get(class_id, [class_id])[0] for class_id in ids]
        synonyms = synonyms or [lemmas.get(class_id, [])[1:] for class_id in ids]
        definitions = definitions or [glosses.get(class_id) for class_id in ids]
    columns = {
        "index": range(len(ids)),
        "id": ids,
        "name": names,
        "synonyms": [list(words) for words in synonyms] if synonyms else [[] for _ in ids],
        "definition": definitions or [None] * len(ids),
        "parent": parents or [None] * len(ids),
    }
    return ClassList(name, pl.DataFrame(columns, schema=SCHEMA))


def class_list_of(ids: Iterable[str], *, name: str) -> ClassList:
    """imagenet-1k where every id is one of its wnids, else a list of these ids alone, in their order."""
    ids = list(ids)
    if ids and all(map(is_wnid, ids)) and set(ids) <= set(imagenet_1k().ids):
        return imagenet_1k()
    return make_class_list(name, ids)


def timm_text(file: str) -> str:
    """A file of timm's package data, read by its path: importing timm would import torch, which the web must not."""
    spec = importlib.util.find_spec("timm")  # of a top-level package: runs none of its code
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        path = Path(folder) / "data" / "_info" / file
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InputError(f"The package timm, which holds {file}, is not installed; install it with `pip install timm`.")


@cache
def wordnet_words() -> tuple[dict[str, list[str]], dict[str, str]]:
    """WordNet's lemmas and gloss by wnid, for the 21,843 nouns of ImageNet; from timm's package data."""
    lemmas, glosses = (
        dict(line.split("\t", 1) for line in timm_text(f"imagenet_synset_to_{what}.txt").splitlines())
        for what in ("lemma", "definition")
    )
    return {wnid: text.split(", ") for wnid, text in lemmas.items()}, glosses


@cache
def imagenet_1k() -> ClassList:
    """The 1,000 classes of ILSVRC 2012: ids are the sorted wnids, names their first lemma."""
    return make_class_list(IMAGENET_1K, timm_text("imagenet_synsets.txt").split())


def class_list(name_or_path: str) -> ClassList:
    """`imagenet-1k`, or the class list in a file. Raises InputError."""
    if name_or_path == IMAGENET_1K:
        return imagenet_1k()
    return read_class_list(Path(name_or_path))


def read_class_list(path: Path) -> ClassList:
    """A class list from a file, named after the file's stem; a class's index is its place in the file.

    - CSV, Parquet: a column id (or wnid, class, name), and where wanted index, name, synonyms (a list, or split
      by `|`), definition, parent; with a column index the rows are sorted by it.
    - JSON: a list of ids or of objects with these keys, `{"0": "tench"}`, `{"0": ["n01440764", "tench"]}`
      or `{"tench": 0}`.
    - TXT: one id a line; after a wnid its names may follow, split by commas.

    Raises InputError where the file cannot be read as a list of unique ids numbered from 0 without gaps.
    """
    readers = {".csv": _rows_of_table, ".parquet": _rows_of_table, ".json": _rows_of_json, ".txt": _rows_of_text}
    if path.suffix.lower() not in readers:
        raise InputError(f"No class list {str(path)!r}: give {IMAGENET_1K} or a CSV, Parquet, JSON or TXT file.")
    require_file(path, "class list")
    try:
        rows = readers[path.suffix.lower()](path)
    except (OSError, ValueError, RecursionError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f"{path}: the class list cannot be read: {why_unreadable(path, error)}") from error
    if not rows:
        raise InputError(f"{path}: the class list is empty.")
    return _from_rows(path, rows)


def require_file(path: Path, what: str) -> None:
    """Raises InputError where there is no file of this path: nothing, a folder, a pipe."""
    try:
        there, file = path.exists(), path.is_file()
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be read
        raise InputError(f"There is no {what} {str(path)[:300]!r} to be read: {error}") from error
    if not there:
        raise InputError(f"There is no {what} {str(path)!r}. Check the path.")
    if not file:
        raise InputError(f"{path}: a {what} is a file, and this is none (a folder or a pipe, say).")


def other_encoding(path: Path) -> str | None:
    """Of a file of text: which line is not UTF-8, and what to do; None where all are."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"line {number} is not UTF-8 (another encoding, such as Latin-1). Save it as UTF-8."
    return None


def why_unreadable(path: Path, error: BaseException) -> str:
    """Why a file could not be read, in words."""
    with contextlib.suppress(OSError):
        if path.suffix.lower() != ".parquet" and (encoding := other_encoding(path)):
            return encoding
    return "it is nested too deeply." if isinstance(error, RecursionError) else str(error)


class _Row(BaseModel):
    """One class as a file has it; columns that are no class list's are ignored."""

    model_config = ConfigDict(strict=True, str_strip_whitespace=True)
    id: str | int | None = None
    wnid: str | int | None = None
    class_: str | int | None = Field(None, alias="class")
    name: str | None = None
    index: int | None = Field(None, strict=False)
    synonyms: list[str] | str | None = None
    definition: str | None = None
    parent: str | None = None


def _from_rows(path: Path, found: list[dict[str, Any]]) -> ClassList:
    """A class list from rows with id (or wnid, class, name) and the optional columns, in the file's order."""
    id_key = next((key for key in ("id", "wnid", "class", "name") if key in found[0]), None)
    if id_key is None:
        raise InputError(f"{path}: no column id, wnid, class or name, but {', '.join(map(str, found[0]))}.")
    rows: list[_Row] = []
    ids: list[str] = []
    for number, values in enumerate(found, 1):
        try:
            row = _Row.model_validate(values)
        except ValidationError as error:
            wrong = error.errors()[0]
            raise InputError(f"{path}, row {number}, {wrong['loc'][0]}: {wrong['msg']}.") from error
        class_id = getattr(row, "class_" if id_key == "class" else id_key)
        if class_id in (None, ""):
            raise InputError(f"{path}, row {number}: {id_key} is empty; every class needs one.")
        rows.append(row)
        ids.append(str(class_id))
    order = list(range(len(rows)))
    if "index" in found[0]:
        by_index = {row.index: place for place, row in enumerate(rows)}
        if set(by_index) != set(order):
            raise InputError(f"{path}: the column index must hold 0 to {len(rows) - 1}, each once.")
        order = [by_index[index] for index in order]
    rows = [rows[place] for place in order]
    names = [row.name for row in rows if row.name]
    return make_class_list(
        path.stem,
        [ids[place] for place in order],
        names=names if id_key != "name" and len(names) == len(rows) else None,
        synonyms=[_words(row.synonyms) for row in rows] if "synonyms" in found[0] else None,
        definitions=[row.definition or None for row in rows] if "definition" in found[0] else None,
        parents=[row.parent or None for row in rows] if "parent" in found[0] else None,
    )


def _words(value: list[str] | str | None) -> list[str]:
    words = value.split("|") if isinstance(value, str) else value or []
    return [word.strip() for word in words if word.strip()]


def _rows_of_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        return pl.read_parquet(path, glob=False).to_dicts()
    return pl.read_csv(path, infer_schema=False, glob=False).to_dicts()  # an id 007 stays 007


def _rows_of_text(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines():
        first, _, rest = line.strip().partition(" ") if " " in line else line.strip().partition("\t")
        if is_wnid(first) and rest.strip():
            names = [name.strip() for name in rest.split(",")]
            rows.append({"id": first, "name": names[0], "synonyms": names[1:]})
        else:
            rows.append({"id": line.strip()})
    if any("name" in row for row in rows):
        return [{"name": row["id"], "synonyms": []} | row for row in rows]
    return rows


def _rows_of_json(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        if all(isinstance(entry, dict) for entry in content):
            return content
        if all(isinstance(entry, str | int) for entry in content):
            return [{"id": str(entry)} for entry in content]
    elif isinstance(content, dict):
        if all(isinstance(value, int) for value in content.values()):
            return [{"id": name, "index": index} for name, index in content.items()]
        rows = []
        for index, value in content.items():
            if isinstance(value, str):
                rows.append({"id": value, "index": index})
            elif isinstance(value, list) and len(value) == 2:
                rows.append({"id": value[0], "name": value[1], "index": index})
        if len(rows) == len(content):
            return rows
    raise InputError(
        f'{path}: expected a list of ids, {{"0": "tench"}}, {{"0": ["n01440764", "tench"]}} or {{"tench": 0}}.'
    )
