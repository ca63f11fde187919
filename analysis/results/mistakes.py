"""Mistakes of a run, gathered: by pair of classes, by superclass, by proposed merge, by number of runs that make them,
and by what label sets say of them. Rows are those of a lens frame (analysis/lens.py), or some of them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from analysis.labels.superclasses import Superclasses
from analysis.merges import merge_map, merges, with_accuracy
from analysis.outcomes import confusions
from analysis.results.outcomes import accepting
from analysis.workspace import Workspace

OF_OUTCOMES = ("right", "outcome", "unjudged", "forgiven", "suggested", "severity")
"""Columns of a lens frame that say how a prediction counts."""


def outcome_counts(rows: pl.DataFrame) -> pl.DataFrame:
    """How often each outcome comes among scored rows: outcome, is_right, unjudged, n."""
    scored = rows.filter(pl.col("right").is_not_null())
    return scored.group_by("outcome", "unjudged", is_right="right").agg(n=pl.len()).sort("outcome", "unjudged")


# ---- confusions


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """A part of a sparse confusion matrix, its classes (or superclasses) in an order that puts like by like."""

    order: list[int]
    """Class indices, or rows of Superclasses.table, from top to bottom and from left to right."""
    blocks: list[str | None]
    """What the neighbours in `order` have in common, each: a superclass; None where there are none."""
    cells: pl.DataFrame
    """label, prediction (members of `order`), n: the cells that are not empty."""
    n_shown: int
    """Confusions in the cells, each counted once."""
    n: int
    """All confusions."""


def class_matrix(pairs: pl.DataFrame, superclasses: Superclasses | None, most: int) -> ConfusionMatrix:
    """The classes of the most frequent pairs (of `analysis.outcomes.confusions`), at most so many, and what is
    between them: ordered by superclass, or, without superclasses, by average linkage of how often they are confused."""
    chosen = (
        pairs.select(pl.concat_list("target", "prediction").alias("class"))
        .explode("class")
        .unique(maintain_order=True)
        .head(most)["class"]
    )
    inside = pairs.filter(pl.col("target").is_in(chosen.implode()), pl.col("prediction").is_in(chosen.implode()))
    cells = inside.select("n", label=pl.col("target").cast(pl.Int64), prediction=pl.col("prediction").cast(pl.Int64))
    blocks: list[str | None]
    if superclasses is None:
        order = _by_likeness(sorted(chosen.to_list()), cells)
        blocks = [None] * len(order)
    else:
        # The first superclass of a class in the table's order, which is that of the hierarchy.
        first = superclasses.frame.with_row_index("place").unique("class", keep="first", maintain_order=True)
        place = {index: (place, name) for index, place, name in first.select("class", "place", "name").iter_rows()}
        last = (superclasses.frame.height, None)
        blocked = sorted((place.get(index, last)[0], index) for index in chosen.to_list())
        order = [index for _, index in blocked]
        blocks = [place.get(index, last)[1] for index in order]
    return ConfusionMatrix(order, blocks, cells, int(inside["n"].sum()), int(pairs["n"].sum()))


def _by_likeness(chosen: list[int], cells: pl.DataFrame) -> list[int]:
    """Class indices in the order of the leaves of a tree over them, those confused most often side by side."""
    if len(chosen) < 3:
        return chosen
    place = {index: row for row, index in enumerate(chosen)}
    together = np.zeros((len(chosen), len(chosen)))
    for label, prediction, n in cells.select("label", "prediction", "n").iter_rows():
        together[place[label], place[prediction]] += n
        together[place[prediction], place[label]] += n
    apart = 1 - together / max(1.0, together.max())
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    return [chosen[leaf] for leaf in leaves_list(tree)]


def superclass_matrix(pairs: pl.DataFrame, superclasses: Superclasses, most: int) -> ConfusionMatrix:
    """The superclasses that hold most confusions, at most so many, in the table's order, and what is between them.

    A class that is in several superclasses counts in each: a cell is what its row and its column say.
    """
    places = superclasses.table.with_row_index("place").select("place", pl.col("classes").alias("class"))
    member = places.explode("class").cast({"class": pl.Int64, "place": pl.Int64})
    by_class = pairs.select("n", label=pl.col("target").cast(pl.Int64), prediction=pl.col("prediction").cast(pl.Int64))
    placed = by_class.join(member, left_on="label", right_on="class").join(
        member, left_on="prediction", right_on="class", suffix="_predicted"
    )
    cells = (
        placed.group_by(label_place="place", predicted_place="place_predicted")
        .agg(n=pl.col("n").sum())
        .rename({"label_place": "label", "predicted_place": "prediction"})
        .sort("label", "prediction")
    )
    across = cells.filter(pl.col("label") != pl.col("prediction"))
    held = pl.concat([cells.select("n", place="label"), across.select("n", place="prediction")])
    held = held.group_by("place").agg(pl.col("n").sum())
    order = sorted(held.sort("n", "place", descending=[True, False]).head(most)["place"].to_list())
    inside = cells.filter(pl.col("label").is_in(order), pl.col("prediction").is_in(order))
    chosen = member.filter(pl.col("place").is_in(order))["class"].unique().implode()
    shown = by_class.filter(pl.col("label").is_in(chosen), pl.col("prediction").is_in(chosen))
    names = superclasses.table["name"].to_list()
    return ConfusionMatrix(
        order, [names[place] for place in order], inside, int(shown["n"].sum()), int(pairs["n"].sum())
    )


def within_superclasses(pairs: pl.DataFrame, superclasses: Superclasses) -> int:
    """How many confusions are between classes that share a superclass."""
    shared = superclasses.share(pairs["target"].to_numpy(), pairs["prediction"].to_numpy())
    return int(pairs["n"].to_numpy()[shared].sum())


# ---- merges


@dataclass(frozen=True, eq=False)
class Proposal:
    """Merges of confused classes, with what they would make of a run's accuracy (micro)."""

    steps: pl.DataFrame
    """In the columns of analysis.merges.SCHEMA with gained and accuracy; each on top of those before it."""
    n: int
    """Scored items."""
    accuracy: float | None
    """Before any merge; None without a scored item."""
    n_merged: int
    """Classes that are merged with others."""
    n_groups: int
    """Groups that they end up in."""


def proposed_merges(workspace: Workspace, rows: pl.DataFrame, labels: str, *, at_least: float) -> Proposal:
    """Merges of classes that are taken for each other at no less than a rate, and the accuracy with them."""
    n_classes = len(workspace.classes())
    scored = rows.filter(pl.col("right").is_not_null())
    targets = scored["target"].drop_nulls().to_numpy()
    sizes = np.bincount(targets.astype(np.int64), minlength=n_classes)
    found = merges(confusions(scored), sizes, at_least=at_least)
    steps = with_accuracy(found, scored, accepting(workspace, labels), n_classes)
    end = merge_map(found.select("class", "into").iter_rows(), n_classes)
    ends, members = np.unique(end, return_counts=True)
    groups = ends[members > 1]
    accuracy = int(scored["right"].sum()) / scored.height if scored.height else None
    return Proposal(steps, scored.height, accuracy, int(members[members > 1].sum()), len(groups))


# ---- shared by runs


def shared_counts(rows: pl.DataFrame) -> pl.DataFrame:
    """How many items so many runs get wrong, of rows with wrong_by and wrong_same: wrong_by, same, n.

    `same`: all runs that are wrong give one and the same class; null where fewer than two are wrong.
    """
    known = rows.filter(pl.col("wrong_by").is_not_null())
    same = pl.when(pl.col("wrong_by") > 1).then(pl.col("wrong_same") == pl.col("wrong_by")).alias("same")
    return known.group_by("wrong_by", same).agg(n=pl.len()).sort("wrong_by", "same", descending=[False, True])


# ---- label sets in conflict


def disagreements(said: pl.DataFrame) -> pl.DataFrame:
    """How label sets differ, pair by pair, from a column (n,) each of whether it says yes, null where it says nothing.

    Columns first, second, n (both say something), both, only_first, only_second, neither.
    """
    rows = []
    for place, first in enumerate(said.columns):
        for second in said.columns[place + 1 :]:
            a, b = said[first], said[second]
            counts = [int((one & other).sum()) for one, other in ((a, b), (a, ~b), (~a, b), (~a, ~b))]
            rows.append((first, second, sum(counts), *counts))
    numbers = ("n", "both", "only_first", "only_second", "neither")
    schema = {"first": pl.String, "second": pl.String, **dict.fromkeys(numbers, pl.UInt32)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def differing(said: pl.DataFrame) -> pl.Series:
    """Whether any two of the columns (n,) say something different; one that says nothing (null) does not count."""
    if not said.width:
        return pl.Series("differ", [], dtype=pl.Boolean)
    some, other = pl.any_horizontal(pl.all().fill_null(False)), ~pl.all_horizontal(pl.all().fill_null(True))
    return said.select((some & other).alias("differ"))["differ"]
