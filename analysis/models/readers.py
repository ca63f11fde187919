"""Readers of prediction files: arrays (.npy) and tables (CSV, TSV, Parquet), as ranked rows in the file's order.

Which row is which item is not decided here, see `analysis.models.predictions`. A format is one function in
`READERS`, by the files' suffix.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logsumexp

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.readers import KEY_COLUMNS, find_column, read_table

TOP_K = 10  # ranks kept of dense scores
_ROWS_AT_ONCE = 8192  # of dense scores, so that memory does not grow with the file


@dataclass(frozen=True, eq=False)
class PredictionFile:
    """What a file says, row for row: N rows of k classes, best first, -1 (score NaN) behind the last."""

    format: str
    classes: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    kind: Literal["logits", "probabilities", "ranks"]
    keys: pl.Series | None = None
    """The image that each row names, (N,); None where rows have no names."""
    logsumexp: NDArray[np.float32] | None = None
    output_classes: int | None = None
    """How many classes competed; None where the file holds only the best of them."""
    checks: dict[str, Any] = field(default_factory=dict)


def read(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """Read one run's file, or its pair of class and score arrays. Raises InputError naming file, row and value."""
    suffixes = {file.suffix.lower() for file in files}
    if len(suffixes) != 1 or not suffixes <= set(READERS):
        raise InputError(
            f"{', '.join(file.name for file in files) or 'No file'}: predictions come as one {', '.join(READERS)} "
            f"file, or as two .npy files, one with the classes and one with their scores."
        )
    return READERS[suffixes.pop()](files, classes)


# ---- ranking


def top_k(scores: NDArray[np.floating], k: int) -> NDArray[np.int32]:
    """Columns (n, min(k, C)) of the highest scores in each row of (n, C), best first; of equals the first."""
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        return _stable_order(scores).astype(np.int32)
    best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(scores, best, axis=1)
    ranked = np.take_along_axis(best, _stable_order(values), axis=1)
    # Where scores equal to the k-th lie beyond the k chosen, the choice among them was arbitrary.
    tied = (scores >= values.min(axis=1, keepdims=True)).sum(axis=1) > k
    ranked[tied] = _stable_order(scores[tied])[:, :k]
    return ranked.astype(np.int32)


def _stable_order(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    return np.argsort(-scores, axis=1, kind="stable")


def _rows_with_ties(ranked: NDArray[np.floating], there: NDArray[np.bool_]) -> int:
    """Rows in which two neighbours among the ranked scores are equal, of those that are there."""
    return int(((ranked[:, 1:] == ranked[:, :-1]) & there[:, 1:]).any(axis=1).sum())


def _score_kind(scores: NDArray[np.floating], *, dense: bool) -> Literal["logits", "probabilities"]:
    """Probabilities lie in 0 to 1 and sum to 1, to at most 1 where only the best are there (0.02 for float16)."""
    total = np.nansum(scores, axis=1, dtype=np.float64)
    in_range = np.nanmin(scores, initial=0) >= 0 and total.max(initial=0) <= 1.02
    return "probabilities" if in_range and not (dense and total.min(initial=1) < 0.98) else "logits"


# ---- arrays


def _read_arrays(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    arrays = {file.name: _load(file) for file in files}
    integers = {name: array for name, array in arrays.items() if array.dtype.kind in "iu"}
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    if len(arrays) == 1 and integers:
        ((name, found),) = integers.items()
        return _ranked("top-k ranks", name, found, None, classes)
    if len(arrays) == 1 and floats:
        ((name, dense),) = floats.items()
        return _read_dense(name, dense, classes)
    if len(arrays) == 2 and len(integers) == 1 and len(floats) == 1:
        ((name, found),) = integers.items()
        ((scores_name, scores),) = floats.items()
        if found.shape != scores.shape:
            raise InputError(f"{name} is {_shape(found)}, but {scores_name} is {_shape(scores)}.")
        return _ranked("top-k pair", name, found, scores, classes, scores_name=scores_name)
    what = ", ".join(f"{name} ({array.dtype}, {_shape(array)})" for name, array in arrays.items())
    raise InputError(
        f"{what}: predictions come as an array of scores (N x {len(classes)}), an array of ranked class indices "
        f"(N x k), or class indices and their scores (two arrays N x k)."
    )


def _load(file: Path) -> NDArray[Any]:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file.name} cannot be read as a numpy array: {error}") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise InputError(f"{file.name} is {_shape(array)}; wanted are rows of classes or scores.")
    return array


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(f"{size:,}" for size in array.shape)


def _read_dense(name: str, scores: NDArray[np.floating], classes: ClassList) -> PredictionFile:
    if scores.shape[1] != len(classes):
        raise InputError(
            f"{name} has scores for {scores.shape[1]:,} classes, but the class list {classes.name} has "
            f"{len(classes):,}. Scores of k classes need their class indices in a second file."
        )
    n, k = len(scores), min(TOP_K, len(classes))
    ranked, best = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    total, kinds, ties = np.empty(n, np.float32), set(), 0
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = np.asarray(scores[rows])
        if block.dtype == np.float16:
            block = block.astype(np.float32)  # exact, and sorted much faster
        _refuse_nan(block, name, start)
        ranked[rows] = top_k(block, k)
        values = np.take_along_axis(block, ranked[rows], axis=1)
        ties += _rows_with_ties(values, np.isfinite(values))
        best[rows] = values
        total[rows] = logsumexp(block.astype(np.float64), axis=1)
        kinds.add(_score_kind(block, dense=True))
    probabilities = kinds == {"probabilities"}
    return PredictionFile(
        "dense",
        ranked,
        best,
        "probabilities" if probabilities else "logits",
        logsumexp=None if probabilities else total,
        output_classes=len(classes),
        checks={"rows_with_ties": ties},
    )


def _refuse_nan(scores: NDArray[np.floating], name: str, first_row: int = 0, keys: pl.Series | None = None) -> None:
    # Minus infinity is the score of a class that was masked out.
    bad = np.isnan(scores) | (scores == np.inf)
    if bad.any():
        row = int(bad.any(axis=1).argmax())
        raise InputError(f"{name}: {_row(first_row + row, keys)} holds the score {scores[row][bad[row]][0]}.")


def _row(row: int, keys: pl.Series | None) -> str:
    return f"row {row + 1}" if keys is None else f"the row of {keys[row]!r}"


def _ranked(
    format: str,
    name: str,
    found: NDArray[Any],
    scores: NDArray[np.floating] | None,
    classes: ClassList,
    *,
    scores_name: str = "",
    keys: pl.Series | None = None,
) -> PredictionFile:
    """Rows of class indices (N, k; -1 for none) ranked by their scores (N, k; NaN beside -1), if there are any."""
    none = (found == -1) & (keys is not None)  # only tables leave cells empty
    out_of_range = ~none & ((found < 0) | (found >= len(classes)))
    if out_of_range.any():
        row = int(out_of_range.any(axis=1).argmax())
        hint = " Do its indices count from 1?" if found.min() == 1 and found.max() == len(classes) else ""
        raise InputError(
            f"{name}: {_row(row, keys)} holds class index {found[row][out_of_range[row]][0]}, out of range: "
            f"{classes.name} has {len(classes):,} classes, from 0.{hint}"
        )
    found = found.astype(np.int32)
    checks: dict[str, Any] = {}
    if scores is not None:
        scores = np.where(none, -np.inf, scores)
        _refuse_nan(scores, scores_name or name, keys=keys)
        order = _stable_order(scores)
        checks["ranked_in_file"] = bool((order == np.arange(found.shape[1])).all())
        # Ranked before the cast to float32, which could make scores equal.
        found, scores = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        checks["rows_with_ties"] = _rows_with_ties(scores, found >= 0)
        scores = np.where(found == -1, np.nan, scores)
    found, scores, checks["rows_with_repeated_classes"] = _without_repeats(found, scores)
    return PredictionFile(
        format,
        found,
        None if scores is None else scores.astype(np.float32),
        "ranks" if scores is None else _score_kind(scores, dense=False),
        keys,
        checks=checks,
    )


def _without_repeats(
    found: NDArray[np.int32], scores: NDArray[np.floating] | None
) -> tuple[NDArray[np.int32], NDArray[np.floating] | None, int]:
    """Each class kept at its best rank in its row, the rest moved up; and in how many rows one came again."""
    again = np.zeros(found.shape, bool)
    for place in range(1, found.shape[1]):
        again[:, place] = (found[:, :place] == found[:, place, None]).any(axis=1)
    repeated = int((again & (found >= 0)).any(axis=1).sum())
    found = np.where(again, np.int32(-1), found)
    if (np.diff((found == -1).astype(np.int8), axis=1) < 0).any():  # a gap before a class
        order = np.argsort(found == -1, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        if scores is not None:
            scores = np.where(found == -1, np.nan, np.take_along_axis(scores, order, axis=1))
    return found, scores, repeated


# ---- tables

# Stems of column names, the most telling first: a file may hold the true label beside the predicted one.
_CLASS_STEMS = ("pred", "prediction", "predicted", "predicted_class", "class", "index", "top", "label")
_SCORE_STEMS = ("prob", "probability", "score", "confidence", "logit")


def _read_tables(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """A key column and either k class columns (class_1, class_2, ..., perhaps score_1, ...), one row an image; or
    one class column and perhaps one of scores, a row a class (keys come again) or a list an image."""
    if len(files) != 1:
        raise InputError(f"{', '.join(file.name for file in files)}: a run's table is one file.")
    (file,) = files
    frame = read_table(file)
    key = find_column(frame, KEY_COLUMNS)
    class_columns, score_columns = (_ranked_columns(frame, stems) for stems in (_CLASS_STEMS, _SCORE_STEMS))
    if key is None or not class_columns:
        raise InputError(
            f"{file.name} has the columns {', '.join(frame.columns)}; wanted are a key "
            f"({', '.join(KEY_COLUMNS)}) and classes (class, or class_1, class_2, ...), perhaps with scores "
            f"(score, or score_1, score_2, ...)."
        )
    if score_columns and len(score_columns) != len(class_columns):
        raise InputError(
            f"{file.name} has {len(class_columns)} columns of classes ({', '.join(class_columns)}), but "
            f"{len(score_columns)} of scores ({', '.join(score_columns)})."
        )
    return _read_columns(file.name, frame, key, class_columns, score_columns, classes)


def _ranked_columns(frame: pl.DataFrame, stems: Sequence[str]) -> list[str]:
    """The columns of one stem by their number (pred_1, pred_2, ...), or else the one column that is a stem."""
    for stem in stems:
        matches = (re.fullmatch(rf"{stem}_?(\d+)", column) for column in frame.columns)
        if numbered := {int(match[1]): match[0] for match in matches if match}:
            return [numbered[number] for number in sorted(numbered)]
    found = find_column(frame, stems)
    return [found] if found else []


def _read_columns(
    name: str,
    frame: pl.DataFrame,
    key: str,
    class_columns: list[str],
    score_columns: list[str],
    classes: ClassList,
) -> PredictionFile:
    found = [
        classes.resolve(cells, where=f"{name}, column {column}").cast(pl.Int32).fill_null(-1).to_numpy()
        for column in class_columns
        for cells in _spread(frame[column])
    ]
    scores = [
        _numbers(cells, f"{name}, column {column}").to_numpy()
        for column in score_columns
        for cells in _spread(frame[column])
    ]
    if not found or (scores and len(scores) != len(found)):
        raise InputError(f"{name}: up to {len(found)} classes a row, but {len(scores)} scores.")
    keys, class_array = frame[key].cast(pl.String), np.stack(found, axis=1)
    score_array = np.stack(scores, axis=1) if scores else None
    if len(found) == 1 and keys.is_duplicated().any():
        keys, class_array, score_array = _gather_long(keys, class_array[:, 0], score_array)
        format = "long table"
    else:
        format = "wide table"
    return _ranked(format, name, class_array, score_array, classes, keys=keys)


def _spread(cells: pl.Series) -> list[pl.Series]:
    """A column of lists as one column a place; any other column as it is."""
    if isinstance(cells.dtype, pl.Array):
        cells = cells.arr.to_list()
    if not isinstance(cells.dtype, pl.List):
        return [cells]
    longest = int(cells.list.len().max() or 0)  # type: ignore[arg-type]
    return [cells.list.get(place, null_on_oob=True) for place in range(longest)]


def _numbers(cells: pl.Series, where: str) -> pl.Series:
    """The cells as f64, NaN for none. Raises InputError naming the first that is no number."""
    numbers = cells.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & cells.is_not_null()
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise InputError(f"{where}, row {row + 1}: {cells[row]!r} is no number.")
    return numbers.fill_null(np.nan)


def _gather_long(
    keys: pl.Series, found: NDArray[np.int32], scores: NDArray[np.float64] | None
) -> tuple[pl.Series, NDArray[np.int32], NDArray[np.float64] | None]:
    """Rows of one class each -> one row a key, in the order of first appearance; classes keep the file's order."""
    unique = keys.unique(maintain_order=True)
    numbered = pl.DataFrame({"key": unique}).with_row_index("row")
    rows = (
        pl.DataFrame({"key": keys})
        .with_columns(place=pl.int_range(pl.len()).over("key"))
        .join(numbered, on="key", how="left", maintain_order="left")
    )
    row, place = rows["row"].to_numpy(), rows["place"].to_numpy()
    shape = (len(unique), int(place.max()) + 1)
    wide = np.full(shape, -1, np.int32)
    wide[row, place] = found
    if scores is None:
        return unique, wide, None
    wide_scores = np.full(shape, np.nan)
    wide_scores[row, place] = scores[:, 0]
    return unique, wide, wide_scores


Reader = Callable[[Sequence[Path], ClassList], PredictionFile]
READERS: dict[str, Reader] = {
    ".npy": _read_arrays,
    ".csv": _read_tables,
    ".tsv": _read_tables,
    ".parquet": _read_tables,
}
