"""The numbers of a workspace: every run under every label set, for all items or by groups of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import decoding, groupings
from analysis.calibration import brier_values, gap_values, nll_values
from analysis.estimates import Estimates, Groups, ItemValues, Members, estimate
from analysis.labels import hierarchy as hierarchies
from analysis.labels.sets import LabelSet
from analysis.metrics import (
    accuracy_values,
    class_mean_values,
    common_items,
    judge,
    on_items,
    targets,
    top_k_values,
    valid_classes,
    variable_top_k,
)
from analysis.models.predictions import Kind, Predictions
from analysis.progress import Progress, silent
from analysis.report_text import markdown, percent, table
from analysis.workspace import Workspace

__all__ = [
    "COVERAGE_SCHEMA", "REPORT_SCHEMA", "Common", "ReportOptions", "coverage", "markdown", "percent", "report", "table",
    "tabulate",
]  # fmt: skip

REPORT_SCHEMA = {
    "run": pl.String(),
    "labels": pl.String(),
    # top1, top5 (labels: original); accuracy (micro), class_mean_accuracy, strict_class_mean_accuracy;
    # overlap_at_k, exact_at_k (k = number of valid classes), both also with _subgroup_mean (over k);
    # ece; set_nll (nats), brier, graded_error (edges of the hierarchy), loki_accuracy
    "metric": pl.String(),
    "k": pl.UInt32(),  # of top-k; of overlap_at_k and exact_at_k, null over all k
    "group": pl.String(),  # null: all items
    "value": pl.Float64(),  # null where n = 0
    "low": pl.Float64(),  # null where no interval can be given
    "high": pl.Float64(),
    "n": pl.UInt32(),  # items that were counted
    "n_unjudged": pl.UInt32(),  # of them, predictions that an open label set says nothing of; null for closed ones
    "bound_low": pl.Float64(),  # the value if all unjudged were wrong, and if all were right; null for closed ones
    "bound_high": pl.Float64(),
}
COVERAGE_SCHEMA = {
    "run": pl.String(),
    "labels": pl.String(),
    "reason": pl.String(),  # counted, or why not
    "metrics": pl.String(),  # which metrics leave these items out; null: all
    "n": pl.UInt32(),
}
Common = Literal["runs", "all", "own"]


@dataclass(frozen=True)
class ReportOptions:
    """What is reported; the same for the command line, the pages and Python."""

    runs: tuple[str, ...] | None = None
    """None: all."""
    labels: tuple[str, ...] | None = None
    by: str | None = None
    """class, superclass, level:DEPTH (of the hierarchy), group (organism, artifact, other), cluster, or a column
    of the items. Classes and superclasses are those of the original label, `group` is of any valid class, so that
    an item may be in several."""
    common_items: Common = "runs"
    """runs: under each label set, all runs on the items that every one of them has. all: moreover all label sets
    on the items that every one of them scores. own: each run on its own items."""
    top_k: tuple[int, ...] = (1, 5)
    dense: bool = False
    """Also set_nll, brier and loki_accuracy, of runs that store the scores of all classes: seconds a run; and, of
    every run, graded_error. Loki and the graded error need distances between classes."""
    distance: Literal["hierarchy", "embedding"] = "hierarchy"
    """What these distances are: edges of the class list's hierarchy, or of the classes' mean embeddings in `space`."""
    slice: str | None = None
    """Only the items of a slice (analysis/slices), seen through the run and label set that pages show at first."""
    space: str | None = None
    """Whose clusters and embeddings; None: the first that has some."""
    resample: str | None = None
    """A column of the items that is equal for items which are no independent images (copies, views of one object):
    intervals are then a seeded bootstrap that draws these as a whole."""
    confidence: float = 0.95
    seed: int = 0


def report(
    workspace: Workspace,
    options: ReportOptions | None = None,
    *,
    items: NDArray[np.uint32] | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Every metric, in the columns of REPORT_SCHEMA; `items` (sorted) narrows it to a slice.

    Raises WorkspaceError for a run, label set or space that does not exist, InputError for a column that does not.
    """
    options = options or ReportOptions()
    items = _within(workspace, options, items)
    label_sets = _label_sets(workspace, options)
    runs = _runs(workspace, options, label_sets, items)
    hierarchy = hierarchies.hierarchy_of(workspace.classes())
    grouped = None if options.by is None else groupings.grouping(workspace, options.by, space=options.space)
    return tabulate(
        runs,
        label_sets,
        workspace.original_labels,
        groups=grouped,
        # Of a class list with its own parents: below a valid class is right.
        accepting=(lambda labels: hierarchies.with_lower_classes(labels, hierarchy)) if hierarchy else None,
        dense=_dense(workspace, runs) if options.dense else {},
        distances=_distances(workspace, options) if options.dense else None,
        top_k=options.top_k,
        copies=None if options.resample is None else groupings.copies(workspace, options.resample),
        confidence=options.confidence,
        seed=options.seed,
        progress=progress,
    )


def _distances(workspace: Workspace, options: ReportOptions) -> NDArray | None:
    from analysis.results.distances import class_distances  # above this room

    return class_distances(workspace, options.distance, options.space)


def _within(
    workspace: Workspace, options: ReportOptions, items: NDArray[np.uint32] | None
) -> NDArray[np.uint32] | None:
    """The items (sorted) to report on: those given that the options' slice holds; None: all."""
    if options.slice is None:
        return items
    from analysis.results.frames import sliced  # a lens shows reports' best run first

    chosen = np.sort(sliced(workspace, options.slice)["item"].to_numpy())
    return chosen if items is None else np.intersect1d(chosen, items)


def _label_sets(workspace: Workspace, options: ReportOptions) -> list[LabelSet]:
    names = workspace.label_set_names() if options.labels is None else options.labels
    return [workspace.labels(name) for name in names]


def _runs(
    workspace: Workspace,
    options: ReportOptions,
    label_sets: Sequence[LabelSet],
    items: NDArray[np.uint32] | None,
) -> dict[str, Predictions]:
    """The chosen runs on the items that the options say."""
    names = workspace.run_names() if options.runs is None else options.runs
    runs = {name: workspace.run(name).predictions for name in names}
    if items is not None:
        runs = {name: on_items(run, items) for name, run in runs.items()}
    if options.common_items == "own":
        return runs
    # A run of no item at all would leave none to the others.
    common = common_items({name: run for name, run in runs.items() if len(run.items)})
    if options.common_items == "all":
        for labels in label_sets:
            common = common[labels.scored(common)]
        if len(common) and common[-1] < len(workspace.original_labels):
            common = common[workspace.original_labels[common] >= 0]
    return {name: on_items(run, common) for name, run in runs.items()}


def _dense(workspace: Workspace, runs: Mapping[str, Predictions]) -> dict[str, tuple[NDArray[np.floating], Kind]]:
    """Stored scores in the rows of each run; none for a run among fewer classes than its scores are of."""
    found: dict[str, tuple[NDArray[np.floating], Kind]] = {}
    for name, run in runs.items():
        stored = workspace.run(name)
        scores = stored.scores()
        if scores is not None and stored.manifest.get("competing", "all") == "all":
            rows = np.searchsorted(stored.predictions.items, run.items)
            every = len(rows) == len(scores)
            found[name] = (scores if every else scores[rows], stored.predictions.kind)
    return found


# ---- the table


def tabulate(
    runs: Mapping[str, Predictions],
    label_sets: Sequence[LabelSet],
    original: NDArray[np.int32],
    *,
    groups: groupings.Grouping | None = None,
    accepting: Callable[[LabelSet], LabelSet] | None = None,
    dense: Mapping[str, tuple[NDArray[np.floating], Kind]] | None = None,
    distances: NDArray[np.number] | None = None,
    top_k: Sequence[int] = (1, 5),
    copies: NDArray[np.integer] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Every metric of every run on its items, in the columns of REPORT_SCHEMA: runs in order, then label sets.

    `original` (N,) is by item number, -1 for none. `groups` gives item and group for a label set (None: top-k);
    rows of all items come first, then those of groups that hold a counted item. `accepting` widens a label set
    by what counts as right beside its valid classes. `dense` has scores (n, C) of runs, for set_nll and brier, and
    with `distances` (C, C) between classes for loki_accuracy; the distances alone give graded_error. `copies` (N,)
    by item number: see `estimates.estimate`. ece has no row where a run has no probabilities; top-k has value null
    and n = 0 where fewer ranks are stored.
    """
    prepared = [
        (
            labels if accepting is None else accepting(labels),
            valid_classes(labels),
            None if groups is None else Groups.from_frame(groups(labels)),
        )
        for labels in label_sets
    ]
    plain = None if groups is None else Groups.from_frame(groups(None))
    rows = _Rows()
    for done, (name, run) in enumerate(runs.items()):
        progress("Report", done, len(runs))
        loki = None
        if distances is not None and dense and name in dense and dense[name][1] != "ranks":
            loki = decoding.frechet_mean(*dense[name], run.items, distances, k=1)
        target = targets(run, original)
        strata, units = target, None if copies is None else copies[run.items]

        def add(
            labels: str,
            values: Sequence[ItemValues],
            grouping: Groups | None,
            name: str = name,
            run: Predictions = run,
            strata: NDArray[np.int32] = strata,
            units: NDArray[np.integer] | None = units,
        ) -> None:
            members: list[Members | None] = [None]
            if grouping is not None:
                members.append((*grouping.rows(run.items), len(grouping.names)))
            for of in values:
                for group in members:
                    found = estimate(of, members=group, confidence=confidence, strata=strata, copies=units, seed=seed)
                    names = [None] if group is None or grouping is None else grouping.names
                    rows.add(name, labels, of, names, found)

        add("original", [top_k_values(run, target, k) for k in top_k], plain)
        probability = run.confidence
        for labels, valid, grouping in prepared:
            judged = judge(run, labels)
            values = [
                accuracy_values(judged, labels),
                class_mean_values(judged, labels, target),
                class_mean_values(judged, labels, target, strict=True),
            ]
            variable = variable_top_k(run, valid)
            stored = [k for k in valid.by_k if k <= run.classes.shape[1]]
            for exact in (False, True):
                values += [variable.values(exact), variable.subgroup_mean(exact)]
                values += [variable.values(exact, k) for k in stored]
            if probability is not None:
                values.append(gap_values(probability, judged, labels))
            if dense and name in dense:
                scores, kind = dense[name]
                values.append(nll_values(scores, kind, run.items, valid))
                values.append(brier_values(scores, kind, run.items, valid))
            if distances is not None:
                values.append(decoding.graded_error_values(run, labels, distances))
            if loki is not None:
                decoded = accuracy_values(judge(loki, labels), labels)
                values.append(replace(decoded, metric="loki_accuracy"))
            add(labels.name, values, grouping)
    progress("Report", len(runs), len(runs))
    return rows.frame()


class _Rows:
    """Estimates piled up as columns: a frame for each would take longer than the numbers."""

    def __init__(self) -> None:
        self.heads: list[tuple[str, str, str, int | None]] = []
        self.sizes: list[int] = []
        self.groups: list[str | None] = []
        self.numbers: dict[str, list[NDArray]] = {
            name: [] for name in ("value", "low", "high", "n", "n_unjudged", "bound_low", "bound_high")
        }

    def add(self, run: str, labels: str, of: ItemValues, groups: Sequence[str | None], found: Estimates) -> None:
        kept = np.ones(1, bool) if groups == [None] else found.n > 0
        size = int(kept.sum())
        self.heads.append((run, labels, of.metric, of.k))
        self.sizes.append(size)
        self.groups += [group for group, keep in zip(groups, kept, strict=True) if keep]
        for name, columns in self.numbers.items():
            array = getattr(found, name)
            columns.append(np.full(size, np.nan) if array is None else array[kept].astype(np.float64))

    def frame(self) -> pl.DataFrame:
        place = np.repeat(np.arange(len(self.sizes)), self.sizes)
        head = pl.DataFrame(
            self.heads,
            schema={name: REPORT_SCHEMA[name] for name in ("run", "labels", "metric", "k")},
            orient="row",
        )
        numbers = {name: np.concatenate(arrays) if arrays else np.zeros(0) for name, arrays in self.numbers.items()}
        return (
            head[place]
            .with_columns(
                pl.Series("group", self.groups, dtype=pl.String), **{k: pl.Series(v) for k, v in numbers.items()}
            )
            .with_columns(pl.when(pl.col(list(numbers)).is_finite()).then(pl.col(list(numbers))))
            .cast(REPORT_SCHEMA)  # type: ignore[arg-type]
            .select(list(REPORT_SCHEMA))
        )


# ---- what was counted


def coverage(
    workspace: Workspace, options: ReportOptions | None = None, *, items: NDArray[np.uint32] | None = None
) -> pl.DataFrame:
    """How many items each run's numbers stand on under each label set, and why the others were left out.

    In the columns of COVERAGE_SCHEMA. Rows whose `metrics` is null add up to the workspace's items (of the slice).
    """
    options = options or ReportOptions()
    items = _within(workspace, options, items)
    label_sets = _label_sets(workspace, options)
    present = workspace.items().filter(~pl.col("missing"))["item"].to_numpy()
    if items is not None:
        present = np.intersect1d(present, items)
    used = _runs(workspace, options, label_sets, items)
    rows: list[tuple[str, str, str, str | None, int]] = []
    for name, run in used.items():
        own = np.intersect1d(common_items({name: workspace.run(name).predictions}), present)
        run = on_items(run, own)
        target = targets(run, workspace.original_labels)
        for labels in label_sets:
            judged = judge(run, labels)
            variable = variable_top_k(run, valid_classes(labels))
            found: list[tuple[str, str | None, int]] = [
                ("counted", None, int(judged.scored.sum())),
                ("no prediction", None, len(present) - len(own)),
                ("not common to the runs or label sets", None, len(own) - len(run.items)),
                ("not scored by the label set", None, int((~judged.scored).sum())),
                ("no original label", "class_mean_accuracy", int((judged.scored & (target < 0)).sum())),
                ("more valid classes than stored ranks", "overlap_at_k, exact_at_k", variable.n_beyond),
            ]
            if run.confidence is None:
                found.append(("scores give no probability", "ece", int(judged.scored.sum())))
            rows += [(name, labels.name, *row) for row in found if row[2] or row[0] == "counted"]
    return pl.DataFrame(rows, schema=COVERAGE_SCHEMA, orient="row")
