"""Tables (CSV, TSV, Parquet): wide, long, with lists in cells, or a column for every class.

A column's words and number tell its part: `index_0`, `pred_1`, `top1_class`, `class1`, `prob_0`, `top1_score`.
timm writes filename, index_0.., label_0.., prob_0.. (or lists, or one of each); torchvision has no writer, its
users write columns such as image, top1_class, top1_prob.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.tables import KEY_COLUMNS, find_column, read_table
from analysis.models.formats.names import OutputNames
from analysis.models.formats.ranking import BACKGROUND, PredictionFile, dense, ranked

# Words of column names, the most telling first: a file may hold the true label beside the predicted one, and class
# names beside class indices.
_CLASS_STEMS = (
    "pred", "preds", "prediction", "predictions", "predicted", "predicted_class", "pred_class", "predicted_label",
    "pred_label", "pred_idx", "pred_index", "top_prediction", "top_idx", "top_index", "top_class", "top_id",
    "class", "classes", "class_id", "class_idx", "class_index", "index", "indices", "idx", "top", "top_label",
    "label", "labels", "wnid", "class_name",
)  # fmt: skip
_SCORE_STEMS = (
    "prob", "probs", "probability", "probabilities", "score", "scores", "confidence", "confidences", "conf",
    "logit", "logits", "output", "outputs",
)  # fmt: skip
_RANK_STEMS = ("rank", "position")
_IMAGE = r"(?i)\.(jpe?g|png|webp|gif|bmp|tiff?|jp2)$"


def read(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """One run's table. Without a key column its rows are in an order that must be stated."""
    if len(files) != 1:
        raise InputError(f"{', '.join(file.name for file in files)}: a run's table is one file.")
    (file,) = files
    return read_frame(file.name, _with_header(file, read_table(file)), classes)


def _with_header(file: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """A text file whose first line is an image and its classes has no header: key, class_1, class_2, ..."""
    if file.suffix.lower() == ".parquet" or not re.search(_IMAGE, frame.columns[0]):
        return frame
    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    bare = pl.read_csv(file, infer_schema=False, has_header=False, separator=separator)
    rest = bare.columns[1:]
    whole = [column for column in rest if bare[column].str.contains(r"^\s*\d+\s*$").all()]
    names = {column: f"class_{place}" for place, column in enumerate(whole, 1)}
    scores = [column for column in rest if column not in whole]
    names |= {column: f"score_{place}" for place, column in enumerate(scores, 1)}
    return bare.rename({bare.columns[0]: "key", **names})


def read_frame(name: str, frame: pl.DataFrame, classes: ClassList, format: str | None = None) -> PredictionFile:
    """A table's predictions; `name` is the file's, for messages."""
    key = find_column(frame, KEY_COLUMNS)
    keys = None if key is None else frame[key].cast(pl.String)
    if keys is not None and keys.null_count():
        raise InputError(f"{name}: row {int(keys.is_null().arg_max() or 0) + 1} has no {key}.")
    columns = [column for column in frame.columns if column != key]
    found, scores, ranks = (_ranked_columns(columns, s) for s in (_CLASS_STEMS, _SCORE_STEMS, _RANK_STEMS))
    if every := _column_a_class(frame, columns, found, scores, classes):
        return _read_dense(name, frame, every, keys, classes)
    if not found:
        raise InputError(
            f"{name} has the columns {', '.join(frame.columns)}; wanted are a key ({', '.join(KEY_COLUMNS)}) and "
            f"classes (class, or class_1, class_2, ...), perhaps with scores (score, or score_1, score_2, ...)."
        )
    if scores and len(scores) != len(found):
        raise InputError(
            f"{name} has {len(found)} columns of classes ({', '.join(found)}), but {len(scores)} of scores "
            f"({', '.join(scores)})."
        )
    by_rank = len(found) == 1 and len(ranks) == 1 and not scores
    return _read_columns(name, frame, keys, found, ranks if by_rank else scores, by_rank, classes, format)


def _ranked_columns(columns: Sequence[str], stems: Sequence[str]) -> list[str]:
    """The columns of the first stem that any has, by their number; or the one column that is the stem itself."""
    numbered: dict[str, dict[int, str]] = {}
    for column in columns:
        words = re.findall(r"[a-z]+|\d+", column)
        digits = [word for word in words if word.isdecimal()]
        if len(digits) == 1:
            stem = "_".join(word for word in words if not word.isdecimal())
            numbered.setdefault(stem, {})[int(digits[0])] = column
            if stem.startswith("top_"):  # top1_prob is prob, number 1
                numbered.setdefault(stem.removeprefix("top_"), {}).setdefault(int(digits[0]), column)
    for stem in stems:
        if stem in numbered:
            return [numbered[stem][number] for number in sorted(numbered[stem])]
    plain = {re.sub(r"[ -]+", "_", column): column for column in columns}
    return next(([plain[stem]] for stem in stems if stem in plain), [])


# ---- a column for every class


def _column_a_class(
    frame: pl.DataFrame, columns: list[str], found: list[str], scores: list[str], classes: ClassList
) -> list[str]:
    """The columns of all classes' scores in the order of the class list, the background first; or none.

    They are named by class ids, or by the numbers from 0 (logit_0, logit_1, ...).
    """
    by_id = {class_id.lower(): class_id for class_id in classes.ids}
    named = {by_id[column]: column for column in columns if column in by_id}
    if len(named) == len(classes) > 1:
        background = [column for column in columns if column in BACKGROUND]
        return background + [named[class_id] for class_id in classes.ids]
    if len(scores) in (len(classes), len(classes) + 1) and not found and len(scores) > 1:
        return scores
    digits = sorted((column for column in columns if column.isdecimal()), key=int)
    if len(digits) in (len(classes), len(classes) + 1) and int(digits[0]) == 0 and not found:
        return digits
    return []


def _read_dense(
    name: str, frame: pl.DataFrame, columns: list[str], keys: pl.Series | None, classes: ClassList
) -> PredictionFile:
    scores = [_numbers(frame[column], f"{name}, column {column}").to_numpy() for column in columns]
    read = dense("dense table", name, np.stack(scores, axis=1), classes, keys=keys)
    if columns[0] in BACKGROUND:
        read.checks["background"] = f"{columns[0]!r}, by name"
    return read


# ---- the best classes


def _read_columns(
    name: str,
    frame: pl.DataFrame,
    keys: pl.Series | None,
    class_columns: list[str],
    score_columns: list[str],
    by_rank: bool,
    classes: ClassList,
    format: str | None,
) -> PredictionFile:
    names = OutputNames(classes)
    found = [
        names.resolve(cells, f"{name}, column {column}") for column in class_columns for cells in _spread(frame[column])
    ]
    scores = [
        _numbers(cells, f"{name}, column {column}").to_numpy()
        for column in score_columns
        for cells in _spread(frame[column])
    ]
    if not found or (scores and len(scores) != len(found)):
        raise InputError(f"{name}: up to {len(found)} classes a row, but {len(scores)} scores.")
    class_array, score_array = np.stack(found, axis=1), np.stack(scores, axis=1) if scores else None
    made = "wide table"
    if len(found) == 1 and keys is not None and keys.is_duplicated().any():
        keys, class_array, score_array = _gather_long(keys, class_array[:, 0], score_array)
        made = "long table"
    return ranked(
        format or made, name, class_array, score_array, classes, keys=keys, gaps=True, descending=not by_rank,
        checks=names.checks(), doubts=names.doubts(name),
    )  # fmt: skip


def _spread(cells: pl.Series) -> list[pl.Series]:
    """A column of lists, also such as text (`[1, 2]`), as one column a place; any other column as it is."""
    if cells.dtype == pl.String and cells.drop_nulls().str.contains(r"(?s)^\s*\[.*\]\s*$").all() and len(cells):
        quoted = cells.str.contains(r"['\"]").any()
        pattern = r"""'[^']*'|"[^"]*\"""" if quoted else r"[^\s,\[\]]+"
        cells = cells.str.extract_all(pattern).list.eval(pl.element().str.strip_chars("'\""))
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
