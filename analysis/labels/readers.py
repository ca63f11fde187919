"""Readers of label-set files: tables (CSV, TSV, Parquet) whose rows name an item and its class or classes.

A format is a test of the file's columns and a function that reads them, in `FORMATS`. Everything is checked before
a label set exists: an unknown key, class or state is an InputError that names it and its row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.sets import Absent, LabelSet, label_set

# Columns in which files of the field name their image, and its label; the first that a file has is taken.
KEY_COLUMNS = ("key", "filename", "file_name", "file", "image", "image_id", "imageid", "path", "id")
LABEL_COLUMNS = ("labels", "label", "classes", "class", "wnid", "class_id", "target")
STATE_COLUMN = "state"
# Words for the three states; those of the expert labels beside ours.
STATE_WORDS = {
    "valid": "valid", "correct": "valid",
    "unclear": "unclear",
    "rejected": "rejected", "wrong": "rejected",
}  # fmt: skip

EXPERT_NOTE = (
    "The candidates came from the predictions of 67 models: a class absent from an item was not judged. "
    "'Unclear' means that the panel found no consensus. Problematic images are not scored; they include images "
    "whose original label is itself wrong, so multi-label accuracy cannot see label errors."
)


def read_label_set(
    file: Path, name: str, items: pl.DataFrame, classes: ClassList, absent: Absent | None = None
) -> LabelSet:
    """A label set from a table; its columns tell the format.

    Any table: a key column and a label column with one class a row (a key may come again) or several, as a list or
    parted by `|`, `;` or spaces; perhaps a state column. Expert labels: id, correct, unclear, wrong, prob.
    `absent` says whether a class that the file does not name is wrong (closed set) or unjudged (open set);
    without it the expert labels are open and other tables closed. Items not named are unknown to the set.
    Raises InputError with the row and the value when a key, class or state is unknown.
    """
    frame = read_table(file)
    for format in FORMATS:
        if format.recognises(frame):
            labels, known = format.read(frame, items, classes, file.name)
            return label_set(name, labels, known, absent=absent or format.absent, note=format.note)
    raise InputError(
        f"{file.name}: no column names the images' labels. It has {', '.join(frame.columns)}; wanted are one of "
        f"{', '.join(KEY_COLUMNS)} and one of {', '.join(LABEL_COLUMNS)}."
    )


# ---- tables


def read_table(file: Path) -> pl.DataFrame:
    """A CSV, TSV or Parquet file. Text files keep every cell as written (an id 007 stays 007); "" is null.

    Column names are stripped and in lower case. Raises InputError when the file cannot be read or has no row.
    """
    readers: dict[str, Callable[[], pl.DataFrame]] = {
        ".csv": lambda: pl.read_csv(file, infer_schema=False),
        ".tsv": lambda: pl.read_csv(file, infer_schema=False, separator="\t"),
        ".parquet": lambda: pl.read_parquet(file),
    }
    if file.suffix.lower() not in readers:
        raise InputError(f"{file.name}: cannot tell what kind of table this is. Known are {', '.join(readers)}.")
    try:
        frame = readers[file.suffix.lower()]()
        frame = frame.rename({column: column.strip().lower() for column in frame.columns})
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{file.name} cannot be read as {file.suffix[1:]}: {error}") from error
    if frame.is_empty():
        raise InputError(f"{file.name} has no rows.")
    return frame


def find_column(frame: pl.DataFrame, names: Sequence[str]) -> str | None:
    """The first of the names that is a column of the table."""
    return next((name for name in names if name in frame.columns), None)


def item_numbers(keys: pl.Series, items: pl.DataFrame, where: str) -> pl.Series:
    """Item number (u32) of each key, row for row. Raises InputError naming the first key that is no item."""
    wanted = pl.DataFrame({"key": keys.cast(pl.String)})
    found = wanted.join(items.select("key", "item"), on="key", how="left", maintain_order="left")["item"]
    if found.null_count():
        row = int(found.is_null().arg_max() or 0)
        example = f" (its keys look like {items['key'][0]!r})" if items.height else ""
        raise InputError(
            f"{where}: row {row + 1} names {wanted['key'][row]!r}, which is no item of this workspace{example}. "
            f"{found.null_count():,} of {len(found):,} rows do."
        )
    return found


def class_cells(cells: pl.Series, classes: ClassList, where: str) -> pl.Series:
    """Class indices (list[u32]) in each cell: a class, or several as a list or parted by `|`, `;` or spaces.

    A space parts classes only in cells that are no class as a whole: names may hold spaces.
    Raises InputError (from ClassList.resolve) with the row and the value that is unknown.
    """
    if isinstance(cells.dtype, (pl.List, pl.Array)):
        tokens = cells.cast(pl.List(pl.String))
    else:
        text = cells.cast(pl.String).str.strip_chars()
        kept = text.is_in([*classes.ids, *classes.names]) | text.str.contains(r"[|;]")
        spaces_as_signs = text.str.replace_all(r"\s+", "|")
        signed = text.zip_with(kept.fill_null(True), spaces_as_signs)
        tokens = signed.str.replace_all(";", "|", literal=True).str.split("|")
    longest = int(tokens.list.len().max() or 0)  # type: ignore[arg-type]
    # Place by place, so that the row which an error names is the row of the file.
    places = [
        classes.resolve(_blank_to_null(tokens.list.get(place, null_on_oob=True)), where=where).alias(str(place))
        for place in range(longest)
    ]
    if not places:
        return pl.Series("class", [[]] * len(cells), dtype=pl.List(pl.UInt32))
    return pl.DataFrame(places).select(pl.concat_list(pl.all()).list.drop_nulls().alias("class"))["class"]


def _blank_to_null(text: pl.Series) -> pl.Series:
    stripped = text.str.strip_chars()
    return stripped.set(stripped == "", None)


# ---- formats

Read = Callable[[pl.DataFrame, pl.DataFrame, ClassList, str], tuple[pl.DataFrame, pl.DataFrame]]


@dataclass(frozen=True)
class Format:
    """How one kind of file is told from its columns and read into (labels, known items) for `label_set`."""

    recognises: Callable[[pl.DataFrame], bool]
    read: Read
    absent: Absent
    note: str = ""


def _is_expert(frame: pl.DataFrame) -> bool:
    return {"id", "correct", "unclear", "wrong"} <= set(frame.columns)


def _read_expert(
    frame: pl.DataFrame, items: pl.DataFrame, classes: ClassList, file: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """imagenet2012_multilabel as a table: one row an image, the three states as lists, `prob` for problematic."""
    item = item_numbers(frame["id"], items, file)
    labels = [
        _states(item, class_cells(frame[word], classes, f"{file}, column {word}"), STATE_WORDS[word])
        for word in ("correct", "unclear", "wrong")
    ]
    problematic = pl.Series([False] * frame.height)
    if "prob" in frame.columns:
        problematic = frame["prob"].cast(pl.String).str.to_lowercase().is_in(["true", "1"]).fill_null(False)
    known = pl.DataFrame({"item": item, "scored": ~problematic})
    if (twice := item.is_duplicated()).any():
        raise InputError(f"{file}: {frame['id'].filter(twice)[0]!r} has more than one row.")
    return pl.concat(labels), known


def _is_table(frame: pl.DataFrame) -> bool:
    return find_column(frame, KEY_COLUMNS) is not None and find_column(frame, LABEL_COLUMNS) is not None


def _read_plain(
    frame: pl.DataFrame, items: pl.DataFrame, classes: ClassList, file: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A key column, a label column and perhaps a state column. A key without a label has an empty set."""
    key = next(column for column in KEY_COLUMNS if column in frame.columns)
    label = next(column for column in LABEL_COLUMNS if column in frame.columns)
    item = item_numbers(frame[key], items, f"{file}, column {key}")
    found = class_cells(frame[label], classes, f"{file}, column {label}")
    labels = _states(item, found, _state_words(frame, file))
    return labels, pl.DataFrame({"item": item.unique()})


def _state_words(frame: pl.DataFrame, file: str) -> pl.Series | str:
    if STATE_COLUMN not in frame.columns:
        return "valid"
    words = frame[STATE_COLUMN].cast(pl.String).str.strip_chars().str.to_lowercase()
    unknown = ~words.is_in(list(STATE_WORDS)).fill_null(False)
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise InputError(
            f"{file}, column {STATE_COLUMN}: row {row + 1} has {frame[STATE_COLUMN][row]!r}; a state is one of "
            f"{', '.join(STATE_WORDS)}."
        )
    return words.replace_strict(STATE_WORDS)


def _states(item: pl.Series, found: pl.Series, state: pl.Series | str) -> pl.DataFrame:
    rows = pl.DataFrame({"item": item, "class": found}).with_columns(
        state=pl.lit(state) if isinstance(state, str) else state
    )
    return rows.explode("class").drop_nulls("class")


FORMATS = (
    Format(_is_expert, _read_expert, absent="unjudged", note=EXPERT_NOTE),
    Format(_is_table, _read_plain, absent="wrong"),
)
