"""How long a report takes: 100 runs x 50,000 images x 3 label sets, and how time grows with runs and images.

    python benchmarks/report.py [DATA]     # DATA: the folder with imagenet-val/ (or ERRATA_SHARED_DATA)

The runs are the eight published ones, perturbed: in some rows another of the five ranks comes first.
Prints a table and exits 1 when a budget is broken.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from analysis.labels.classes import imagenet_1k
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import original
from analysis.metrics import report
from analysis.models.predictions import Predictions, read_predictions
from analysis.outcomes import outcomes

BUDGETS = {"import of a run": 0.3, "report of 100 runs": 5.0, "outcomes of 100 runs": 5.0}
MEMORY_BUDGET_GB = 2.0

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def perturbed(predictions: Predictions, share: float, rng: np.random.Generator) -> Predictions:
    """The run with its first rank swapped for another in a share of the rows; scores stay with their rank."""
    classes = predictions.classes.copy()
    rows = np.flatnonzero(rng.random(len(classes)) < share)
    other = rng.integers(1, classes.shape[1], len(rows))
    classes[rows, 0], classes[rows, other] = classes[rows, other], classes[rows, 0]
    return Predictions(predictions.items, classes, predictions.scores, predictions.kind, predictions.logsumexp)


def first_items(predictions: Predictions, n: int) -> Predictions:
    """The run on its first n items."""
    scores = None if predictions.scores is None else predictions.scores[:n]
    return Predictions(predictions.items[:n], predictions.classes[:n], scores, predictions.kind, None)


def main() -> int:
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ERRATA_SHARED_DATA", "../shared/data")
    folder = Path(given) / "imagenet-val"
    if not folder.is_dir():
        print(f"{folder} does not exist: name the folder that holds imagenet-val", file=sys.stderr)
        return 2
    table = pl.read_csv(folder / "labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    truth, classes = items["label"].cast(pl.Int32).to_numpy(), imagenet_1k()
    expert = read_label_set(folder / "multilabel_v3.csv", "expert", items, classes)
    label_sets = [original(truth), real_label_set(items), expert]

    ranked = sorted((folder / "predictions").glob("*_top5ranked.npy"))
    pairs = [
        [file, file.with_name(file.name.replace("preds", "probs"))]
        for file in sorted((folder / "predictions").glob("*_top5preds.npy"))
    ]
    published, importing = timed(
        lambda: [
            read_predictions(files, items, classes).predictions for files in [*pairs, *([file] for file in ranked)]
        ]
    )
    rng = np.random.default_rng(0)
    runs = {f"run {i}": perturbed(published[i % len(published)], 0.002 * i, rng) for i in range(100)}

    print("| what | runs | images | seconds |")
    print("|---|---|---|---|")
    taken = {"import of a run": importing / len(published)}
    print(f"| import of a run | 1 | {items.height:,} | {taken['import of a run']:.2f} |")
    for n_runs, n_items in ((25, 50_000), (50, 50_000), (100, 12_500), (100, 25_000), (100, 50_000)):
        some = {name: first_items(run, n_items) for name, run in list(runs.items())[:n_runs]}
        frame, seconds = timed(partial(report, some, label_sets, truth, n_classes=len(classes)))
        assert frame.height == n_runs * 8
        print(f"| report, {len(label_sets)} label sets | {n_runs} | {n_items:,} | {seconds:.2f} |")
    taken["report of 100 runs"] = seconds
    _, taken["outcomes of 100 runs"] = timed(
        lambda: [outcomes(run, labels, truth) for run in runs.values() for labels in label_sets]
    )
    print(f"| outcomes, {len(label_sets)} label sets | 100 | 50,000 | {taken['outcomes of 100 runs']:.2f} |")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory {memory:.2f} GB, of which the 100 runs themselves are held throughout.")
    broken = [f"{what}: {taken[what]:.2f} s > {budget} s" for what, budget in BUDGETS.items() if taken[what] > budget]
    if memory > MEMORY_BUDGET_GB:
        broken.append(f"peak memory: {memory:.2f} GB > {MEMORY_BUDGET_GB} GB")
    print("\n".join(broken) or "Within every budget.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
