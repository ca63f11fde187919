"""Suspected label errors: signals that an item's original label is wrong, and how far each is to be trusted here.

A signal is a frame of SIGNAL_SCHEMA, one row for each labelled item that it can speak of; a higher score is more
suspicious. Signals come from one run, from many runs, from neighbours or vectors in a space, and from combining
others. `evaluate` measures each against a label set that says more than the original one. Where the models were
trained on these items, their signals are not out-of-fold and say so nowhere: the caller must.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.labels.classes import ClassList
from analysis.models.predictions import Predictions
from analysis.suspects.combination import combine, disputed, evaluate, rank_average
from analysis.suspects.signals import (
    SIGNAL_SCHEMA,
    class_gaussian,
    label_doubt,
    label_margin,
    mean_margin,
    neighbour_disagreement,
    probabilities,
    signal_frame,
    votes,
)

__all__ = [
    "SIGNAL_SCHEMA", "SUSPECTS_SCHEMA", "class_gaussian", "combine", "disputed", "evaluate", "label_doubt",
    "label_margin", "mean_margin", "neighbour_disagreement", "probabilities", "rank_average", "signal_frame",
    "signals_of_runs", "suspects", "votes",
]  # fmt: skip

SUSPECTS_SCHEMA = {
    "item": pl.UInt32(),
    "key": pl.String(),
    "original": pl.String(),
    "suggested": pl.String(),
    "score": pl.Float64(),
    "signal": pl.String(),
}


def signals_of_runs(
    runs: Mapping[str, Predictions], original: NDArray[np.int32], n_classes: int
) -> dict[str, pl.DataFrame]:
    """Every signal that these runs give, by name: `1 - p(t) of RUN`, `margin of RUN`, and of several, `votes` and
    `mean margin`."""
    found = {}
    for name, run in runs.items():
        found[f"1 - p(t) of {name}"] = label_doubt(run, original, n_classes)
        found[f"margin of {name}"] = label_margin(run, original, n_classes)
    if len(runs) > 1:
        found["votes"] = votes(list(runs.values()), original, n_classes)
        found["mean margin"] = mean_margin(list(runs.values()), original, n_classes)
    return found


def suspects(
    signal: pl.DataFrame, name: str, items: pl.DataFrame, original: NDArray[np.int32], classes: ClassList
) -> pl.DataFrame:
    """A signal as people read it, the most suspicious first: SUSPECTS_SCHEMA, classes by id.

    `items` has item and key; `original` (N,) is by item number.
    """
    ids = pl.Series(classes.ids, dtype=pl.String)
    numbers = signal["item"].to_numpy()
    named = signal.with_columns(
        original=ids.gather(original[numbers]),
        suggested=ids.gather(signal["suggested"]),
        signal=pl.lit(name),
    )
    joined = named.join(items.select("item", "key"), on="item", how="inner", maintain_order="left")
    return joined.sort("score", "item", descending=[True, False]).select(*SUSPECTS_SCHEMA)
