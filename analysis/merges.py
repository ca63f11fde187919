"""Merging classes that models confuse: proposals from a confusion graph, and what accuracy would be with them.

After the super categories of "Knowledge Guided Disambiguation for Large-Scale Scene Classification with
Multi-Resolution CNNs" (Wang et al., 2016): classes that are taken for each other become one.
"""

import heapq
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.causes import valid_pairs
from analysis.errors import InputError
from analysis.labels.sets import LabelSet, Unclear

SCHEMA = {
    "class": pl.UInt32(),  # merged, with what was merged into it before
    "into": pl.UInt32(),
    "similarity": pl.Float64(),  # mean rate at which a class of one is taken for a class of the other, both ways
    "n": pl.UInt32(),  # confusions between the two that the merge resolves
    "classes": pl.List(pl.UInt32()),  # the merged class's members, ascending
}

Graph = dict[int, dict[int, float]]
"""Group -> its neighbours and the edges' weights; every edge stands both ways round."""


def merges(confusions: pl.DataFrame, sizes: NDArray[np.integer], *, at_least: float = 0.1) -> pl.DataFrame:
    """Proposed merges in the columns of SCHEMA, the most similar first, each on top of those before it.

    `confusions` has target, prediction, n; `sizes` (C,) are the scored items of each original class. Two classes
    are as similar as the mean of the rates at which each is taken for the other, two merged classes as the mean
    over their pairs: so one confused pair does not chain whole regions together. Stops below `at_least`.
    """
    similarity: Graph = {}  # summed over the pairs of two groups
    confused: Graph = {}
    for target, prediction, n in confusions.select("target", "prediction", "n").iter_rows():
        rate = n / max(1, int(sizes[target])) / 2
        for a, b in ((target, prediction), (prediction, target)):
            similarity.setdefault(a, {})[b] = similarity.get(a, {}).get(b, 0.0) + rate
            confused.setdefault(a, {})[b] = confused.get(a, {}).get(b, 0) + n
    members = {group: [group] for group in similarity}

    def mean(a: int, b: int) -> float:
        return similarity[a][b] / (len(members[a]) * len(members[b]))

    waiting = [(-mean(a, b), a, b) for a, others in similarity.items() for b in others if a < b]
    heapq.heapify(waiting)
    rows = []
    while waiting and -waiting[0][0] >= at_least:
        negative, into, merged = heapq.heappop(waiting)
        # An entry is out of date when one of its groups is gone or has grown since.
        if merged not in similarity.get(into, {}) or mean(into, merged) != -negative:
            continue
        rows.append((merged, into, -negative, confused[into][merged], sorted(members[into] + members[merged])))
        members[into] += members.pop(merged)
        _move_edges(similarity, merged, into)
        _move_edges(confused, merged, into)
        for other in similarity[into]:
            a, b = min(into, other), max(into, other)
            heapq.heappush(waiting, (-mean(a, b), a, b))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _move_edges(graph: Graph, merged: int, into: int) -> None:
    """Give one group's edges to another and take it out of the graph; the edge between the two goes."""
    for other, value in graph.pop(merged).items():
        del graph[other][merged]
        if other != into:
            graph[into][other] = graph[other][into] = graph[into].get(other, 0) + value


def merge_map(merges: Iterable[tuple[int, int]], n_classes: int) -> NDArray[np.int32]:
    """The class that each class (C,) ends up as, after merges (class, into).

    Raises InputError for a class that is not in the list, is merged into two classes, or into itself, directly or
    in a circle.
    """
    target = np.arange(n_classes, dtype=np.int32)
    for merged, into in merges:
        for index in (merged, into):
            if not 0 <= index < n_classes:
                raise InputError(f"Cannot merge class {index}: the class list has {n_classes:,} classes, from 0.")
        if merged == into:
            raise InputError(f"Class {merged} cannot be merged into itself.")
        if target[merged] not in (merged, into):
            raise InputError(f"Class {merged} is merged into both {target[merged]} and {into}. Keep one of them.")
        target[merged] = into
    for start in np.flatnonzero(target != np.arange(n_classes)).tolist():
        way = [start]
        while (following := int(target[way[-1]])) != way[-1]:
            way.append(following)
            if following == start:
                circle = " -> ".join(map(str, way))
                raise InputError(f"These merges go in a circle: {circle}. Leave one of them out.")
            if len(way) > n_classes:
                break  # it leads into a circle that does not hold its start; that one is named from within
    while not np.array_equal(target, target[target]):
        target = target[target]
    return target


def with_accuracy(
    merges: pl.DataFrame, outcomes: pl.DataFrame, labels: LabelSet, n_classes: int, *, unclear: Unclear = "lenient"
) -> pl.DataFrame:
    """The merges (class, into), each with what it and those before it make of a run: gained, accuracy (micro).

    `gained` is how many wrong predictions the merge makes right: the prediction and a valid class are then one.
    Raises InputError as `merge_map` does.
    """
    steps = list(merges.select("class", "into").iter_rows())
    merge_map(steps, n_classes)
    scored = outcomes.filter(pl.col("right").is_not_null())
    wrong = scored.filter(~pl.col("right"))
    rows, valid = valid_pairs(labels, wrong["item"].to_numpy(), unclear=unclear)
    predicted = wrong["prediction"].to_numpy()[rows]
    group = np.arange(n_classes)
    made_right = np.zeros(wrong.height, bool)
    totals = []
    for merged, into in steps:
        group[group == group[merged]] = group[into]
        made_right[rows[group[predicted] == group[valid]]] = True
        totals.append(int(made_right.sum()))
    right, n = int(scored["right"].sum()), max(1, scored.height)
    gained = pl.Series("gained", np.diff(totals, prepend=0), dtype=pl.UInt32)
    accuracy = [(right + total) / n if scored.height else None for total in totals]
    return merges.with_columns(gained, pl.Series("accuracy", accuracy, dtype=pl.Float64))
