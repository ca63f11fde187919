"""Tables: a CSV or Parquet file with a row an item, with or without pixels."""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import polars.selectors as cs

from analysis.datasets import DatasetOptions, Listing, open_root, problems_frame
from analysis.datasets.scan import Files
from analysis.errors import InputError
from analysis.items import RESERVED
from analysis.labels.classes import (
    ClassList,
    as_text,
    class_list,
    class_list_of,
    other_encoding,
    require_file,
    why_unreadable,
)
from analysis.progress import Progress, silent

KEY_COLUMNS = ("filename", "file_name", "file", "filepath", "path", "key", "image", "imageid", "image_id", "id")
LABEL_COLUMNS = ("wnid", "label", "class", "target")
_SEVERAL = re.compile(r"(?:n\d{8}|\d+)(?:[\s,;|]+(?:n\d{8}|\d+))+|[^|]+(?:\|[^|]+)+")


def recognises(root: Path) -> bool:
    """Never: a table is named by the person."""
    return False


def read(options: DatasetOptions, progress: Progress = silent) -> Listing:
    """A row an item, in the table's order: the key column as text, the label column resolved, the rest kept.

    With `images`, a key is a path relative to that root or the name of one file beneath it; an item without a
    file stays, with path null and a line in the problems. A column `split` becomes the split; another that is
    called as Errata's own is kept as `table_NAME`. Without a class list: imagenet-1k where it has all the
    labels, else the labels themselves, sorted. Raises InputError naming the row: an empty or repeated key, an
    unknown class, a label index out of range, several labels in one cell; and where no key is a file.
    """
    if options.table is None:
        raise InputError("Layout table needs a CSV or Parquet file: name it (--table FILE).")
    columns = read_columns(options.table)
    key = pick_column(columns, options.key, KEY_COLUMNS, f"{options.table}: keys", "name it (--key)")
    label = pick_column(columns, options.label, LABEL_COLUMNS, f"{options.table}: labels", "name it (--label)")
    if key == label:
        raise InputError(f"{options.table}: {key!r} is named both as the key and as the label column.")
    frame = read_frame(options.table, text=(key, label))
    keys = _keys(frame[key], options.table)
    classes, labels = _labels(frame[label], options, f"{options.table.name}, column {label}")
    root, paths, problems = None, pl.Series([None] * len(keys), dtype=pl.String), list[tuple[str, str]]()
    if options.images is not None:
        root, files = open_root(options, progress)
        paths, problems = _find(keys.to_list(), files, root, key)
    records = pl.DataFrame({"key": keys, "path": paths, "label": labels}).with_columns(
        frame["split"].cast(pl.String) if _has_split(frame, key, label) else pl.lit(None, pl.String).alias("split")
    )
    taken = {key, label} | ({"split"} if _has_split(frame, key, label) else set())
    return Listing(
        root=root,
        records=records.hstack(_metadata(frame.drop(taken))),
        classes=classes,
        problems=problems_frame(problems),
        layout="table",
    )


def read_columns(path: Path) -> list[str]:
    """The names of a table's columns. Raises InputError."""
    return _load(path, text=(), header_only=True).columns


def read_frame(path: Path, *, text: Sequence[str] = ()) -> pl.DataFrame:
    """A CSV, TSV or Parquet file with at least one row. Raises InputError.

    The columns in `text` of a CSV are taken as they stand (007 stays 007), the others typed by all their rows.
    """
    frame = _load(path, text=text, header_only=False)
    if frame.is_empty():
        raise InputError(f"The table {path} has no rows.")
    return frame


def _load(path: Path, *, text: Sequence[str], header_only: bool) -> pl.DataFrame:
    rows = 0 if header_only else None
    suffix = path.suffix.lower()
    require_file(path, "table")
    # A path is a path: without `glob`, polars would take `t[1].csv` for a pattern.
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path, n_rows=rows, glob=False)
        if suffix in (".csv", ".tsv"):
            frame = pl.read_csv(
                path,
                n_rows=rows,
                separator="\t" if suffix == ".tsv" else ",",
                schema_overrides=dict.fromkeys(text, pl.String()),
                infer_schema_length=None,
                glob=False,
            )
            # In a header, unlike in the rows, polars puts a mark in place of what it cannot decode.
            if any("\ufffd" in name for name in frame.columns) and (encoding := other_encoding(path)):
                raise InputError(f"The table {path} cannot be read: {encoding}")
            return frame
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f"The table {path} cannot be read: {why_unreadable(path, error)}") from error
    raise InputError(f"{path}: a table is a .csv, .tsv or .parquet file; this is none by its suffix.")


def pick_column(columns: Sequence[str], named: str | None, usual: Sequence[str], what: str, remedy: str) -> str:
    """The column named, else the first of the usual names (in any case) that is there.

    Raises InputError saying `what` was looked for, the columns there are, and the `remedy`.
    """
    if named is not None:
        if named not in columns:
            raise InputError(f"{what}: there is no column {named!r}; the columns are {', '.join(columns)}.")
        return named
    lower = {name.lower(): name for name in reversed(columns)}
    for name in usual:
        if name in lower:
            return lower[name]
    raise InputError(f"{what}: which column holds them? Please {remedy}; the columns are {', '.join(columns)}.")


def _keys(values: pl.Series, table: Path) -> pl.Series:
    """The keys as text, none empty or repeated."""
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise InputError(f"{table}: the key column {values.name!r} holds {values.dtype}, not names.")
    keys = values.cast(pl.String).alias("key")
    empty = (keys.is_null() | (keys.str.strip_chars() == "")).arg_true()
    if len(empty):
        raise InputError(f"{table}, row {empty[0] + 1}: the key (column {values.name!r}) is empty; give it one.")
    repeated = keys.is_first_distinct().not_().arg_true()
    if len(repeated):
        key = keys[int(repeated[0])]
        first, second = (keys == key).arg_true().head(2).to_list()
        raise InputError(
            f"{table}: the key {key!r} stands in rows {first + 1} and {second + 1}; {len(repeated):,} "
            f"{'row repeats' if len(repeated) == 1 else 'rows repeat'} a key. Keys must be unique: remove or "
            "rename the repetitions, or name another key column (--key)."
        )
    return keys


def _labels(values: pl.Series, options: DatasetOptions, where: str) -> tuple[ClassList, pl.Series]:
    """The class list and the labels as its indices."""
    if values.dtype.is_nested():
        raise _several(where, f"{values.dtype} values")
    known = class_list(options.classes) if options.classes else None
    values = as_text(values, where).str.strip_chars().replace("", None)
    accepted = {*known.ids, *known.names} if known else set()
    listed = values.str.contains(f"^(?:{_SEVERAL.pattern})$").fill_null(False) & ~values.is_in(list(accepted))
    if listed.any():
        row = int(listed.arg_true()[0])
        raise _several(f"{where}, row {row + 1}", repr(values[row]))
    if known is None:
        found = values.drop_nulls().unique().to_list()
        if not found:
            raise InputError(f"{where}: every label is empty. Name another column (--label).")
        number = all(re.fullmatch("[0-9]{1,18}", text) for text in found)
        known = class_list_of(sorted(found, key=lambda text: (int(text) if number else 0, text)), name="labels")
    return known, known.resolve(values, where=where).alias("label")


def _several(where: str, what: str) -> InputError:
    return InputError(
        f"{where}: several labels in one cell ({what}). An original label is a single class; keep sets of valid "
        "classes in a file of their own and add it with `errata labels import`."
    )


def _find(keys: list[str], files: Files, root: Path, column: str) -> tuple[pl.Series, list[tuple[str, str]]]:
    """Each key's file beneath the root, and the problems: keys without one and files that are no items."""
    everything = [*files.images, *files.others]
    by_path = set(everything)
    by_name: dict[str, list[str]] = {}
    for path in everything:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    paths: list[str | None] = []
    missing: list[tuple[str, str]] = []
    for key in keys:
        candidates = [key] if key in by_path else by_name.get(key, [])
        paths.append(candidates[0] if len(candidates) == 1 else None)
        if len(candidates) > 1:
            missing.append((key, f"several files have this name: {candidates[0]}, {candidates[1]}"))
        elif not candidates:
            missing.append((key, "the file is missing"))
    if len(missing) == len(keys):
        raise InputError(
            f"None of the {len(keys):,} keys in column {column!r} is a file beneath {root}: {missing[0][0]!r}: "
            f"{missing[0][1]}. Check --images and --key; leave --images out to go on without pixels."
        )
    used = set(paths)
    others = [(path, reason) for path, reason in files.not_items() if path not in used]
    return pl.Series("path", paths, dtype=pl.String), [*missing, *others]


def _has_split(frame: pl.DataFrame, key: str, label: str) -> bool:
    if "split" not in frame.columns or "split" in (key, label):
        return False
    kind = frame.schema["split"]
    return not kind.is_nested() and kind not in (pl.Binary, pl.Object)


def _metadata(frame: pl.DataFrame) -> pl.DataFrame:
    """The other columns, those with a name of Errata's own as `table_NAME`, lists and structs as text."""
    names: dict[str, str] = {}
    for name in frame.columns:
        new = f"table_{name}" if name in RESERVED else name
        while new != name and new in frame.columns:
            new = f"table_{new}"
        names[name] = new
    nested = [
        pl.Series(name, [None if value is None else str(value) for value in frame[name].to_list()], dtype=pl.String)
        for name, kind in frame.schema.items()
        if kind.is_nested()
    ]
    return frame.with_columns(nested).drop(cs.binary() | cs.object()).rename(names, strict=False)
