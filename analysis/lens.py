"""A lens: one run looked at under one label set; its frame is what slices filter and pages show."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from analysis import outcomes
from analysis.derived import derived_column
from analysis.items import SCHEMA
from analysis.overview import best_standing
from analysis.results.outcomes import run_outcomes
from analysis.results.trust import better_labels
from analysis.workspace import Space, Workspace


@dataclass(frozen=True)
class Lens:
    """What a page looks through: a run (None: the dataset alone), a label set, and a space for clusters."""

    run: str | None
    labels: str
    space: str | None = None


def frame(workspace: Workspace, lens: Lens, also: Iterable[str] = ()) -> pl.DataFrame:
    """One row for each item that is not a tombstone, by item number.

    Columns: item, key, class and predicted (names, unique: the id stands with a name that two classes share),
    target and prediction (class indices), outcome, confidence (0 to 1), right, unjudged, forgiven, suggested,
    severity, cluster, width, height, split, problem, hash, then the metadata, then those of the derived columns
    (analysis/derived.py) that `also` names. Raises InputError for a name that is neither there nor derived.
    """
    rows = _frame(workspace, lens)
    names = [name for name in dict.fromkeys(also) if name not in rows.columns]
    return rows.with_columns(derived(workspace, lens, name, rows["item"]) for name in names)


def derived(workspace: Workspace, lens: Lens, name: str, items: pl.Series) -> pl.Series:
    """A derived column for these items (n,), as `frame` gives it. Raises InputError for what there is not."""
    return derived_column(workspace, name, lens.run, lens.labels, items)


def _frame(workspace: Workspace, lens: Lens) -> pl.DataFrame:
    names = pl.DataFrame({"index": range(len(workspace.classes())), "name": workspace.classes().display_names()})
    items = workspace.items().filter(~pl.col("missing"))
    if lens.run is None:
        judged = pl.DataFrame(schema=outcomes.OUTCOMES_SCHEMA)
    else:
        judged = run_outcomes(workspace, lens.run, lens.labels)
    named = (
        items.join(judged, on="item", how="left")
        .with_columns(
            target=pl.col("label").cast(pl.Int64),
            prediction=pl.col("prediction").cast(pl.Int64),
        )
        .join(names.rename({"index": "target", "name": "class"}), on="target", how="left")
        .join(names.rename({"index": "prediction", "name": "predicted"}), on="prediction", how="left")
    )
    clusters = map_clusters(workspace.space(lens.space)) if lens.space else None
    if clusters is None:
        clusters = pl.DataFrame(schema={"item": pl.UInt32, "cluster": pl.UInt32})
    first = ["item", "key", "class", "predicted", "target", "prediction", "outcome", "confidence", "right"]
    first += ["unjudged", "forgiven", "suggested", "severity", "cluster"]
    first += ["width", "height", "split", "problem", "hash"]
    return named.join(clusters, on="item", how="left").sort("item").select(*first, *metadata_columns(workspace))


def default_lens(workspace: Workspace) -> Lens:
    """What is looked through when nothing else is said: the best run under the label set that says most."""
    labels = better_labels(workspace) or "original"
    standing = best_standing(workspace, labels)
    return Lens(standing.run if standing else None, labels, map_space(workspace))


def map_space(workspace: Workspace) -> str | None:
    """The space whose map and clusters are shown: one that has them, before one that has not."""
    spaces = sorted(workspace.spaces(), key=lambda space: (space.file("members.parquet") is None, space.name))
    return spaces[0].name if spaces else None


def metadata_columns(workspace: Workspace) -> list[str]:
    """Names of the columns that came with the dataset beside Errata's own."""
    return [name for name in workspace.items().columns if name not in SCHEMA]


def map_clusters(space: Space) -> pl.DataFrame | None:
    """The cluster of each item at the cut chosen for the map (item, cluster), None before clusters were made."""
    members = space.frame("members")
    return None if members is None else members.select("item", "cluster")
