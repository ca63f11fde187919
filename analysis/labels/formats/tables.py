"""Tables, keys and class cells: what readers of labels and readers of predictions both need."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList

# Columns in which files of the field name their image; the first that a file has is taken.
KEY_COLUMNS = (
    "key", "filename", "file_name", "file", "image", "image_id", "imageid", "img", "image_path", "path", "id",
)  # fmt: skip


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


# ---- keys

_FILE = r"([^/]+)$"
_STEM = r"^(.*?)(?:\.[A-Za-z0-9]{1,5})?$"
# Ways to compare a file's key with an item's, the strictest first.
_MATCHES: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "key": lambda key: key,
    "base name": lambda key: key.str.extract(_FILE),
    "stem": lambda key: key.str.extract(_FILE).str.extract(_STEM),
}


def match_keys(keys: pl.Series, items: pl.DataFrame) -> tuple[pl.Series, str]:
    """Item number (u32) of each key, null where it names none; and what was compared: key, base name or stem.

    The whole key comes first; where some keys are unknown, the base name (folders left away) and then the stem
    (extension left away too) are tried, and taken when they name more. A base name that two items share names
    neither.
    """
    wanted = pl.DataFrame({"key": keys.cast(pl.String).str.replace_all("\\", "/", literal=True)})
    best: tuple[pl.Series, str] | None = None
    for how, part in _MATCHES.items():
        names = items.select("item", name=part(pl.col("key"))).filter(pl.col("name").is_unique())
        named = wanted.select(name=part(pl.col("key")))
        found = named.join(names, on="name", how="left", maintain_order="left")["item"]
        if best is None or found.null_count() < best[0].null_count():
            best = found, how
        if best[0].null_count() == 0:
            break
    assert best is not None
    return best


def unknown_keys(keys: pl.Series, numbers: pl.Series, items: pl.DataFrame, where: str) -> str | None:
    """What to say of the keys without an item number, None when all have one."""
    if not numbers.null_count():
        return None
    row = int(numbers.is_null().arg_max() or 0)
    example = f" (its keys look like {items['key'][0]!r})" if items.height else ""
    return (
        f"{where}: row {row + 1} names {keys.cast(pl.String)[row]!r}, which is no item of this workspace{example}."
        f" {numbers.null_count():,} of {len(numbers):,} rows do."
    )


def item_numbers(keys: pl.Series, items: pl.DataFrame, where: str) -> tuple[pl.Series, str]:
    """`match_keys`, and InputError naming the first key that is no item."""
    numbers, how = match_keys(keys, items)
    if complaint := unknown_keys(keys, numbers, items, where):
        raise InputError(complaint)
    return numbers, how


# ---- cells


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


_YES, _NO = ["true", "1", "yes", "1.0"], ["false", "0", "no", "0.0"]


def yes_or_no(cells: pl.Series, where: str) -> pl.Series:
    """The cells as booleans, empty ones false. Raises InputError naming the first that is neither."""
    text = cells.cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("false")
    odd = ~text.is_in([*_YES, *_NO])
    if odd.any():
        row = int(odd.arg_max() or 0)
        raise InputError(f"{where}: row {row + 1} has {cells[row]!r}; it must be true or false.")
    return text.is_in(_YES)
