"""Arrays (.npy, .npz): scores of all classes, or the best classes with or without scores; perhaps keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.models.formats.names import OutputNames
from analysis.models.formats.ranking import BACKGROUND, PredictionFile, are_ranks, dense, ranked

_TRUTH = ("label", "target", "truth", "y_true", "gt", "y")
_CLASS_LISTS = ("classes", "class_names", "class_ids", "categories", "columns", "wnids", "synsets", "labels")


def read(files: Sequence[Path], classes: ClassList) -> PredictionFile:
    """One run's arrays, in one file or several. Raises InputError naming array, row and value."""
    arrays = {name: array for file in files for name, array in _load(file).items()}
    texts = {name: array for name, array in arrays.items() if array.dtype.kind in "UST" and array.ndim == 1}
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "iuf"}
    n = max((len(array) for array in numbers.values() if array.ndim == 2), default=0)
    columns, background, keys = _texts(texts, numbers, n, classes)
    numbers, ignored = _without_truth(numbers)
    for name, array in numbers.items():
        if array.ndim > 2 or not array.size:
            raise InputError(f"{name} is {_shape(array)}; wanted are rows of classes or scores.")
    rows = {name: array[:, None] if array.ndim == 1 else array for name, array in numbers.items()}
    read = _read_rows(rows, classes, columns, background, keys)
    if keys is not None and len(keys) != len(read.classes):
        raise InputError(f"There are {len(read.classes):,} rows of predictions, but {len(keys):,} keys.")
    if ignored:
        read.checks["arrays_not_read"] = ignored
    return read


def _load(file: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return {file.name: loaded}
        with loaded:
            return {f"{name} in {file.name}": loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, BadZipFile, KeyError) as error:
        raise InputError(f"{file.name} cannot be read as a numpy array: {error}") from error


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(f"{size:,}" for size in array.shape)


def _texts(
    texts: Mapping[str, NDArray[Any]], numbers: Mapping[str, NDArray[Any]], n: int, classes: ClassList
) -> tuple[NDArray[np.int32] | None, str | None, pl.Series | None]:
    """Class indices of the columns and which is the background, and the rows' keys, as arrays of text say."""
    columns, background, keys = None, None, None
    widths = {array.shape[1] for array in numbers.values() if array.ndim == 2 and array.dtype.kind == "f"}
    for name, array in texts.items():
        words = array.astype(str).tolist()
        of_columns = len(words) in widths and (len(words) != n or _stem(name) in _CLASS_LISTS)
        if of_columns:
            names = OutputNames(classes)
            columns = names.resolve(pl.Series(words, dtype=pl.String), where=name)
            if names.ambiguous:
                raise InputError(names.doubts(name)[0].removesuffix(" --force leaves these places out."))
            there = columns[columns >= 0]
            if len(np.unique(there)) != len(there):
                raise InputError(f"{name} names a class twice.")
            word = next((word for word in words if word.strip().lower() in BACKGROUND), None)
            background = None if word is None else f"{word!r}, by name"
        else:
            keys = pl.Series(name, words, dtype=pl.String)
    return columns, background, keys


def _stem(name: str) -> str:
    return name.split(" in ")[0].removesuffix(".npy").lower()


def _without_truth(numbers: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """An array of one number a row that is named as the true label, beside others, is no prediction."""
    truth = [
        name
        for name, array in numbers.items()
        if len(numbers) > 1 and array.ndim == 1 and _stem(name).rstrip("s") in _TRUTH
    ]
    return {name: array for name, array in numbers.items() if name not in truth}, truth


def _read_rows(
    arrays: dict[str, NDArray[Any]],
    classes: ClassList,
    columns: NDArray[np.int32] | None,
    background: str | None,
    keys: pl.Series | None,
) -> PredictionFile:
    integers = {name: array for name, array in arrays.items() if array.dtype.kind in "iu"}
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    if len(floats) == 1 and not integers:
        ((name, scores),) = floats.items()
        if columns is None and _holds_classes(scores, len(classes)):
            return ranked("top-k ranks", name, scores.astype(np.int64), None, classes, keys=keys)
        return dense("dense", name, scores, classes, columns=columns, background=background, keys=keys)
    if len(integers) == 1 and not floats:
        ((name, found),) = integers.items()
        return ranked("top-k ranks", name, found, None, classes, keys=keys)
    if len(arrays) == 2 and (pair := _pair(arrays, len(classes))):
        name, scores_name = pair
        found, scores = arrays[name], arrays[scores_name]
        if found.shape != scores.shape:
            raise InputError(f"{name} is {_shape(found)}, but {scores_name} is {_shape(scores)}.")
        as_ranks = are_ranks(scores)
        return ranked(
            "top-k pair", name, found.astype(np.int64), scores.astype(np.promote_types(scores.dtype, np.float32)),
            classes, scores_name=scores_name, keys=keys, descending=not as_ranks,
            checks={"scores_are_ranks": True} if as_ranks else None,
        )  # fmt: skip
    what = ", ".join(f"{name} ({array.dtype}, {_shape(array)})" for name, array in arrays.items()) or "No numbers"
    raise InputError(
        f"{what}: predictions come as an array of scores (N x {len(classes)}), an array "
        f"of ranked class indices (N x k), or class indices and their scores (two arrays N x k)."
    )


def _holds_classes(array: NDArray[Any], n_classes: int) -> bool:
    """Whether floats are class indices: whole numbers in range, too few columns for scores, not all below 2."""
    if array.shape[1] >= n_classes:
        return False
    return bool((array == np.floor(array)).all() and array.min() >= 0 and 1 < array.max() < n_classes)


def _pair(arrays: dict[str, NDArray[Any]], n_classes: int) -> tuple[str, str] | None:
    """Which of two arrays holds the classes and which the scores or ranks."""
    names = sorted(arrays, key=lambda name: arrays[name].dtype.kind == "f")  # integers first
    kinds = [arrays[name].dtype.kind for name in names]
    if kinds[0] != "f" and kinds[1] == "f":
        return names[0], names[1]
    if kinds[0] != "f":  # both integers: the ranks are those that read 1 to k in every row
        ranks = [name for name in names if are_ranks(arrays[name])]
        return None if len(ranks) != 1 else (next(name for name in names if name not in ranks), ranks[0])
    whole = [name for name in names if _holds_classes(arrays[name], n_classes)]
    return None if len(whole) != 1 else (whole[0], next(name for name in names if name not in whole))
