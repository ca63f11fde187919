"""The outcome of each item under one run and one label set: why its prediction counts as it does.

The outcomes stand in the order of their definition: the first that applies is taken. Not told apart yet are
`overlapping` (twins in the collapsed map of classes), which will be an outcome before `multi_label`, and the
causes of a mistake, which will be columns `category` and `severity` beside `outcome`.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.labels.sets import LabelSet, Unclear
from analysis.metrics import judge, targets
from analysis.models.predictions import Predictions

OUTCOME_NAMES = (
    "not_scored",  # the label set does not count this item: no valid class, problematic, unknown; or no prediction
    "correct",  # the original label, and it is valid
    "agrees_with_rejected",  # the original label, which is not valid: wrong
    "multi_label",  # another valid class: right
    "mistake",
)
OUTCOMES = pl.Enum(OUTCOME_NAMES)
RIGHT = ("correct", "multi_label")

OUTCOMES_SCHEMA = {
    "item": pl.UInt32(),
    "target": pl.UInt32(),  # class index of the original label; null for none
    "prediction": pl.UInt32(),  # class index of the top-1; null for none
    "confidence": pl.Float32(),  # probability of the top-1; null where the scores do not give it
    "outcome": OUTCOMES,
    "right": pl.Boolean(),  # null where not scored, so that its mean is micro accuracy
    "unjudged": pl.Boolean(),  # an open label set says nothing of the prediction: `mistake` is a suggestion
}


def outcomes(
    predictions: Predictions, labels: LabelSet, original: NDArray[np.int32], *, unclear: Unclear = "lenient"
) -> pl.DataFrame:
    """One row for each item of the run, in the columns of OUTCOMES_SCHEMA.

    `original` (N,) is by item number, -1 for none. The rows that are right sum to micro accuracy exactly.
    """
    target, top1 = targets(predictions, original), predictions.top1
    judged = judge(predictions, labels, unclear=unclear)
    same = top1 == target
    # Codes are places in OUTCOME_NAMES.
    code = np.select([~judged.scored, same & judged.right, same, judged.right], [0, 1, 2, 3], default=4)
    confidence = predictions.confidence
    columns = {
        "item": pl.Series(predictions.items, dtype=pl.UInt32),
        "target": _class_column(target),
        "prediction": _class_column(top1),
        "confidence": pl.Series([None] * len(top1) if confidence is None else confidence, dtype=pl.Float32),
        "outcome": pl.Series(OUTCOME_NAMES, dtype=OUTCOMES).gather(code),
        "right": pl.Series(judged.right),
        "unjudged": pl.Series(judged.unjudged),
    }
    scored = pl.col("outcome") != "not_scored"
    return pl.DataFrame(columns).with_columns(
        pl.when(scored).then(pl.col("right")), pl.col("confidence").fill_nan(None)
    )


def _class_column(classes: NDArray[np.int32]) -> pl.Series:
    column = pl.Series(classes, dtype=pl.Int32)
    return column.set(column < 0, None).cast(pl.UInt32)


def confusions(outcomes: pl.DataFrame, *, sample: int = 12) -> pl.DataFrame:
    """Pairs of original label and wrong prediction, most frequent first: target, prediction, n, items.

    `items` (list[u32]) holds up to `sample` of the pair's items, the most confident first. Mistakes only; items
    without an original label are in no pair.
    """
    return (
        outcomes.filter(pl.col("outcome") == "mistake", pl.col("target").is_not_null())
        .sort("confidence", "item", descending=[True, False], nulls_last=True)
        .group_by("target", "prediction", maintain_order=True)
        .agg(n=pl.len().cast(pl.UInt32), items=pl.col("item").head(sample))
        .sort("n", "target", "prediction", descending=[True, False, False])
    )
