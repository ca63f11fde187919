"""What the benchmarks of numbers share: ImageNet's published labels and predictions, and runs made of them."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.labels.classes import imagenet_1k
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import LabelSet, original
from analysis.models.predictions import Predictions, read_predictions

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Data:
    truth: NDArray[np.int32]
    label_sets: list[LabelSet]
    runs: list[Predictions]
    seconds_a_run: float
    """Median time of reading one run from its files."""


def read(arguments: Sequence[str]) -> Data | None:
    """The published data from the folder that the arguments or ERRATA_SHARED_DATA name; None, told, without it."""
    given = arguments[0] if arguments else os.environ.get("ERRATA_SHARED_DATA", "../shared/data")
    folder = Path(given) / "imagenet-val"
    if not folder.is_dir():
        print(f"{folder} does not exist: name the folder that holds imagenet-val", file=sys.stderr)
        return None
    table = pl.read_csv(folder / "labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    truth, classes = items["label"].cast(pl.Int32).to_numpy(), imagenet_1k()
    expert = read_label_set(folder / "multilabel_v3.csv", "expert", items, classes)
    files = [[file] for file in sorted((folder / "predictions").glob("*_top5ranked.npy"))]
    for file in sorted((folder / "predictions").glob("*_top5preds.npy")):
        files.append([file, file.with_name(file.name.replace("preds", "probs"))])
    runs, seconds = [], []
    for pair in files:
        start = time.perf_counter()
        runs.append(read_predictions(pair, items, classes).predictions)
        seconds.append(time.perf_counter() - start)
    return Data(truth, [original(truth), real_label_set(items), expert], runs, statistics.median(seconds))


def perturbed_runs(runs: Sequence[Predictions], n: int) -> dict[str, Predictions]:
    """n runs out of the given ones; more and more of their rows have the first rank swapped for another."""
    rng = np.random.default_rng(0)
    return {f"run {i}": _perturbed(runs[i % len(runs)], 0.002 * i, rng) for i in range(n)}


def _perturbed(predictions: Predictions, share: float, rng: np.random.Generator) -> Predictions:
    classes = predictions.classes.copy()
    rows = np.flatnonzero(rng.random(len(classes)) < share)
    other = rng.integers(1, classes.shape[1], len(rows))
    classes[rows, 0], classes[rows, other] = classes[rows, other], classes[rows, 0]
    return Predictions(predictions.items, classes, predictions.scores, predictions.kind, predictions.logsumexp)


def first_items(predictions: Predictions, n: int) -> Predictions:
    """The run on its first n items."""
    scores = None if predictions.scores is None else predictions.scores[:n]
    return Predictions(predictions.items[:n], predictions.classes[:n], scores, predictions.kind, None)


def medians(work: Callable[[], T], repeats: int) -> tuple[T, float]:
    """The result, and the median of the seconds it took."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def broken(taken: Mapping[str, float], budgets: Mapping[str, float]) -> list[str]:
    """Which budgets were broken, in words; quantities are in seconds, or in GB where their name says memory."""
    units = {what: "GB" if "memory" in what else "s" for what in budgets}
    return [
        f"{what}: {taken[what]:.3g} {units[what]} > {budget:g} {units[what]}"
        for what, budget in budgets.items()
        if taken[what] > budget
    ]
