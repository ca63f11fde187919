"""Predictions of one run: ranked classes for each item; and prediction files, their rows matched to items.

What files may look like is said in `analysis.models.formats`, which row is which item in its `row_order`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.tables import match_keys, unknown_keys
from analysis.models import formats
from analysis.models.formats import row_order
from analysis.models.formats.ranking import Kind, PredictionFile
from analysis.models.formats.row_order import ROW_ORDERS

__all__ = ["ROW_ORDERS", "ImportedPredictions", "Kind", "Predictions", "read_predictions"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The best k classes of each of n items."""

    items: NDArray[np.uint32]
    """(n,) item numbers, sorted, unique."""
    classes: NDArray[np.int32]
    """(n, k) class indices, best first; -1 behind the last where an item has fewer than k."""
    scores: NDArray[np.float32] | None
    """(n, k) in the scale of `kind`, NaN where the class is -1; None for ranks."""
    kind: Kind
    logsumexp: NDArray[np.float32] | None
    """(n,) log of the summed exponentials of all output classes' logits; None where not known."""

    def __post_init__(self) -> None:
        n = len(self.items)
        if self.classes.ndim != 2 or self.classes.shape[0] != n or self.classes.shape[1] < 1:
            raise ValueError(f"classes are {self.classes.shape}, not ({n}, k)")
        if self.scores is not None and self.scores.shape != self.classes.shape:
            raise ValueError(f"scores are {self.scores.shape}, classes {self.classes.shape}")
        if self.logsumexp is not None and self.logsumexp.shape != (n,):
            raise ValueError(f"logsumexp is {self.logsumexp.shape}, not ({n},)")
        if (np.diff(self.items.astype(np.int64)) <= 0).any():
            raise ValueError("items are not sorted and unique")

    @property
    def top1(self) -> NDArray[np.int32]:
        """(n,) the best class, -1 for none."""
        return self.classes[:, 0]

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """(n,) probability of the best class; None where the scores do not give it.

        Ranks do not, and logits do not without the logsumexp over all classes.
        """
        if self.scores is None or self.kind == "ranks":
            return None
        if self.kind == "probabilities":
            return self.scores[:, 0]
        return None if self.logsumexp is None else np.exp(self.scores[:, 0] - self.logsumexp)

    def to_frame(self) -> pl.DataFrame:
        """One row an item: item u32, classes Array(i32, k); where known scores Array(f32, k), logsumexp f32."""
        k = self.classes.shape[1]
        columns = {
            "item": pl.Series(self.items, dtype=pl.UInt32),
            "classes": pl.Series(self.classes, dtype=pl.Array(pl.Int32, k)),
        }
        if self.scores is not None:
            columns["scores"] = pl.Series(self.scores, dtype=pl.Array(pl.Float32, k))
        if self.logsumexp is not None:
            columns["logsumexp"] = pl.Series(self.logsumexp, dtype=pl.Float32)
        return pl.DataFrame(columns)

    @staticmethod
    def from_frame(frame: pl.DataFrame, kind: Kind) -> "Predictions":
        """The inverse of `to_frame`."""
        found = {name: frame[name].to_numpy() for name in frame.columns}
        return Predictions(found["item"], found["classes"], found.get("scores"), kind, found.get("logsumexp"))


@dataclass(frozen=True, eq=False)
class ImportedPredictions:
    """Predictions read from files, and what was recognised in them."""

    predictions: Predictions
    record: dict[str, Any]
    """For run.json: format, files, order, keys_matched_by, scores (logits | probabilities | ranks), scores_over
    (all classes | a mask | top-k), output_classes, mask, and the checks."""
    dense: NDArray[np.float16] | None = None
    """(n, C) scores of all classes in the rows of `predictions.items`, where the file has them; minus infinity (of
    probabilities 0) where a class did not compete."""


def read_predictions(
    files: Sequence[Path],
    items: pl.DataFrame,
    classes: ClassList,
    *,
    order: str | None = None,
    force: bool = False,
) -> ImportedPredictions:
    """One run's predictions from its file, or from its pair of class and score files.

    `items` has item, key, label and perhaps missing (tombstones are left out). `order` is one of ROW_ORDERS;
    without it a file with keys goes by them, and others by the order that fits the original labels clearly better
    than the rest. Raises InputError for files that cannot be read, are of the wrong length or hold classes out of
    range; and unless `force`, for NaN, unknown keys and ambiguous names (which force leaves out) and for rows that
    look out of order (`row_order.check`).
    """
    if order is not None and order not in ROW_ORDERS:
        raise InputError(f"Unknown row order {order!r}: it is one of {', '.join(ROW_ORDERS)}.")
    table = formats.read(files, classes)
    present = items.filter(~pl.col("missing")) if "missing" in items.columns else items
    name = " and ".join(file.name for file in files)
    labels = np.full(items.height and int(items["item"].max()) + 1, -1, np.int32)  # type: ignore[arg-type]
    labels[present["item"].to_numpy()] = present["label"].cast(pl.Int32).fill_null(-1).to_numpy()
    doubts, kept, how = list(table.doubts), np.arange(len(table.classes)), None
    others: dict[str, NDArray[np.uint32]] = {}
    if table.keys is not None:
        if order not in (None, "keys"):
            raise InputError(f"{name} names its images, so its rows need no order: leave out --order {order}.")
        numbers, kept, how, complaint = _by_key(table.keys, present, name)
        doubts, order = doubts + ([complaint] if complaint else []), "keys"
    else:
        numbers, order, others = _by_order(table, present, classes, labels, order, name)
    if doubts and not force:
        raise InputError(f"{doubts[0]} Nothing was imported.")
    by_item = kept[np.argsort(numbers, kind="stable")]
    rows_in_order = np.array_equal(by_item, np.arange(len(table.classes)))

    def of_items(array: NDArray[Any] | None) -> NDArray[Any] | None:
        return array if array is None or rows_in_order else array[by_item]

    matched = replace(table, classes=table.classes[kept])
    checks, cause = row_order.check(matched, numbers, others, present, labels, classes)
    if cause and not force:
        raise InputError(
            f"{name}: read in the order '{order}', top-1 under the original labels is {checks['top1']:.1%} "
            f"(chance {checks['chance']:.1%}). Likely cause: {cause}. Nothing was imported; --force imports it "
            f"as it is."
        )
    predictions = Predictions(
        np.sort(numbers), table.classes[by_item], of_items(table.scores), table.kind, of_items(table.logsumexp)
    )
    record = {
        "format": table.format,
        "files": [file.name for file in files],
        "order": order,
        "keys_matched_by": how,
        "scores": table.kind,
        **_what_competed(table, len(classes)),
        "checks": {**table.checks, **checks, "forced_against": doubts + ([cause] if cause else [])},
    }
    return ImportedPredictions(predictions, record, of_items(table.dense))


def _by_key(
    keys: pl.Series, items: pl.DataFrame, name: str
) -> tuple[NDArray[np.uint32], NDArray[np.intp], str, str | None]:
    """(items, the rows that name them, what was compared, what to say of rows that name none)."""
    numbers, how = match_keys(keys, items)
    complaint = unknown_keys(keys, numbers, items, name)
    if numbers.null_count() == len(numbers):
        raise InputError(str(complaint))
    if complaint:
        complaint += " --force leaves them out."
    there = numbers.is_not_null()
    found = numbers.filter(there)
    if (twice := found.is_duplicated()).any():
        key = keys.filter(there).filter(twice)[0]
        raise InputError(f"{name}: {key!r} has more than one row; {int(twice.sum()):,} rows do.")
    return found.to_numpy(), np.flatnonzero(there.to_numpy()), how, complaint


def _by_order(
    table: PredictionFile,
    items: pl.DataFrame,
    classes: ClassList,
    labels: NDArray[np.int32],
    order: str | None,
    name: str,
) -> tuple[NDArray[np.uint32], str, dict[str, NDArray[np.uint32]]]:
    """(item of each row, the order by which, the other orders that the rows could have)."""
    if len(table.classes) != items.height:
        raise InputError(
            f"{name} has {len(table.classes):,} rows, but the workspace has {items.height:,} items. "
            f"Import predictions for these images, or a table with a key column."
        )
    orders = row_order.row_orders(items, classes)
    order = order or row_order.recognise(table.classes[:, 0], orders, labels, name)
    if order not in orders:
        raise InputError(f"{name}: order {order!r} needs a label for every item, which this workspace lacks.")
    return orders[order], order, {other: rows for other, rows in orders.items() if other != order}


def _what_competed(table: PredictionFile, n_classes: int) -> dict[str, Any]:
    if table.competing is None:
        return {"scores_over": "top-k", "output_classes": None, "mask": None}
    n = len(table.competing)
    mask = table.competing.tolist() if n < n_classes else None
    return {"scores_over": "all classes" if mask is None else "a mask", "output_classes": n, "mask": mask}
