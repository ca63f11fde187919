"""Whether the intervals of scores after review hold: simulated reviewers of the demo, who know its `truth`.

    python benchmarks/review.py [WORKSPACE] [DRAWS]     # default: demo, 500 draws of each design

Each draw makes a queue, reads it as `truth` has it, and estimates every run's accuracies after review through the same
log, label sets and designs as a team's. Exits 1 when a 95 % interval holds the truth less than 93 or more than 97 times
in 100, over all runs of a design and metric.
"""

import sys
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl

from analysis.labels.sets import LabelSet
from analysis.metrics import common_items, judge, on_items
from analysis.models.predictions import Predictions
from analysis.results.judged import Design, Review, judgements
from analysis.results.rescore import score_runs
from analysis.review import log
from analysis.review.designs import Stratum, complete, draw, simple_random, stratified
from analysis.review.queues import Protocol, Queue
from analysis.workspace import Workspace

BASE, TRUTH = "original", "truth"


def main() -> int:
    path, draws = (sys.argv[1:2] or ["demo"])[0], int((sys.argv[2:3] or ["500"])[0])
    workspace = Workspace.open(path)
    truth = workspace.labels(TRUTH)
    runs = {run.name: run.predictions for run in workspace.runs()}
    items = common_items(runs)
    scored = items[workspace.labels(BASE).scored(items) & truth.scored(items)]
    runs = {name: on_items(run, scored) for name, run in runs.items()}
    labels = workspace.original_labels
    true = {name: _accuracies(run, truth, labels) for name, run in runs.items()}
    first = next(iter(runs.values()))
    before = judge(first, workspace.labels(BASE)).right
    designs = {
        "random, 300": (simple_random(scored, 300), 300),
        "stratified, 150 mistakes and 150 control": (
            stratified({"mistakes": scored[~before], "control": scored[before]}, {"mistakes": 150, "control": 150}),
            300,
        ),
        "complete, 500 read": (complete(scored), 500),
    }
    asked = _asked(runs)
    known = asked.with_columns(valid=pl.Series(truth.valid_mask(asked["item"].to_numpy(), asked["class"].to_numpy())))
    print(f"{len(scored):,} items, {len(runs)} runs, {draws:,} draws of each design\n")
    print("| design | metric | held | bias, points | half width, points |")
    print("|---|---|---|---|---|")
    broken, started = False, time.monotonic()
    for name, (strata, n) in designs.items():
        found = pl.concat(_one(workspace, strata, n, seed, runs, known) for seed in range(draws))
        for metric in ("micro", "class_mean"):
            of = found.filter(metric=metric)
            target = of["run"].replace_strict({run: values[metric] for run, values in true.items()})
            held = float(((of["low"] <= target) & (target <= of["high"])).mean())  # type: ignore[arg-type]
            bias = 100 * float((of["estimate"] - target).mean())  # type: ignore[arg-type]
            half = 50 * float((of["high"] - of["low"]).mean())  # type: ignore[arg-type]
            broken |= not 0.93 <= held <= 0.97
            print(f"| {name} | {metric} | {100 * held:.1f} % | {bias:+.2f} | {half:.2f} |")
    print(f"\n{time.monotonic() - started:.0f} s.")
    return int(broken)


def _accuracies(run: Predictions, truth: LabelSet, labels: np.ndarray) -> dict[str, float]:
    right, target = judge(run, truth).right, labels[run.items]
    n = np.bincount(target)
    return {"micro": right.mean(), "class_mean": (np.bincount(target, right)[n > 0] / n[n > 0]).mean()}


def _asked(runs: dict[str, Predictions]) -> pl.DataFrame:
    """item, class: every class that some run predicts."""
    every = [pl.DataFrame({"item": run.items, "class": run.top1}) for run in runs.values()]
    return pl.concat(every).unique().cast(pl.UInt32).sort("item", "class")


def _one(
    workspace: Workspace, strata: list[Stratum], n: int, seed: int, runs: dict[str, Predictions], known: pl.DataFrame
) -> pl.DataFrame:
    """The scores after one draw, of which the first n items were read."""
    drawn = draw(strata, seed).with_columns(pl.col("item").cast(pl.UInt32))
    read = drawn.drop_nulls("place").sort("place").head(n)
    described = tuple({"name": s.name, "size": len(s.items), "draw": s.draw, "random": s.random} for s in strata)
    queue = Queue("q", "q", "reader", datetime.now(UTC), Protocol(), described)
    said = known.join(read, on="item", how="semi").with_row_index("position", offset=1)
    told = said.select(
        "position",
        "item",
        "class",
        kind=pl.lit("verdict"),
        value=pl.when("valid").then(pl.lit("valid")).otherwise(pl.lit("wrong")),
        person=pl.lit("reader"),
        panel=pl.lit(False),
        queue=pl.lit("q"),
    )
    missing = [pl.lit(None, kind).alias(name) for name, kind in log.SCHEMA.items() if name not in told.columns]
    rows = told.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in log.SCHEMA.items())
    given = Review(rows, [Design(queue, drawn.select("item", "stratum"), known.select("item", "class"))])
    judged = judgements(rows, workspace.labels(BASE), workspace.items(), None)
    return score_runs(given, judged, runs, workspace.original_labels)


if __name__ == "__main__":
    sys.exit(main())
