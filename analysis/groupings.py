"""Groups of a workspace's items to report by: classes, superclasses, levels of a hierarchy, clusters, columns."""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError, WorkspaceError
from analysis.labels import hierarchy as hierarchies
from analysis.labels.sets import LabelSet
from analysis.lens import map_clusters
from analysis.results.taxonomy import superclass_table
from analysis.workspace import Workspace

MOST_GROUPS = 5000
"""A column of more different values than this groups nothing."""

Grouping = Callable[[LabelSet | None], pl.DataFrame]
"""item and group (text) of a label set's items; None stands for the original label. An item may be in several."""


def grouping(workspace: Workspace, by: str, *, space: str | None = None) -> Grouping:
    """The groups that `by` names: one of GROUPINGS, level:DEPTH of the hierarchy, or a column of the items.

    `space` says whose clusters (None: the first that has some). Raises InputError for a name that is none of these
    or a class list without a hierarchy, WorkspaceError for a space that does not exist or has no clusters.
    """
    if by in GROUPINGS:
        return GROUPINGS[by](workspace, space)
    if by.startswith("level:"):
        return _by_level(workspace, by.removeprefix("level:"))
    found = column(workspace, by)
    if isinstance(found["group"].dtype, pl.List):
        found = found.explode("group")
    found = found.with_columns(pl.col("group").cast(pl.String))
    n = found["group"].n_unique()
    if n > MOST_GROUPS:
        raise InputError(f"Column {by!r} has {n:,} different values, which are no groups. Group by another column.")
    return lambda _: found


def column(workspace: Workspace, name: str) -> pl.DataFrame:
    """item and group of the items that are there, by one of their columns."""
    items = workspace.items().filter(~pl.col("missing"))
    if name not in items.columns or name == "item":
        known = ", ".join([*GROUPINGS, "level:DEPTH", *(other for other in items.columns if other != "item")])
        raise InputError(f"There is no column {name!r} to group by. There are: {known}.")
    return items.select("item", group=name)


def copies(workspace: Workspace, name: str) -> NDArray[np.int64]:
    """A number for each item, (N,), equal where the column is; an item without a value stands alone."""
    values = column(workspace, name).drop_nulls("group")
    codes = np.arange(workspace.items().height, dtype=np.int64)
    codes[values["item"].to_numpy()] = len(codes) + values["group"].rank("dense").cast(pl.Int64).to_numpy()
    return codes


def _labelled(workspace: Workspace) -> pl.DataFrame:
    items = workspace.items().filter(~pl.col("missing") & pl.col("label").is_not_null())
    return items.select("item", pl.col("label").cast(pl.UInt32).alias("class"))


def _by_class(workspace: Workspace, space: str | None) -> Grouping:
    ids = pl.Series(workspace.classes().ids, dtype=pl.String)
    found = _labelled(workspace).select("item", group=pl.lit(ids).gather(pl.col("class")))
    return lambda _: found


def _by_superclass(workspace: Workspace, space: str | None) -> Grouping:
    table = superclass_table(workspace)
    return _by_table(workspace, (table or hierarchies.superclasses(_hierarchy(workspace))).frame)


def _by_level(workspace: Workspace, depth: str) -> Grouping:
    if not depth.isdecimal():
        raise InputError(f"level:{depth}: the depth is a number, such as level:6.")
    return _by_table(workspace, hierarchies.level(_hierarchy(workspace), int(depth)).frame)


def _by_table(workspace: Workspace, table: pl.DataFrame) -> Grouping:
    """By superclasses; names that two of them share carry their id."""
    names = table.select("superclass", "name").unique()
    shown = names.with_columns(
        group=pl.when(pl.col("name").is_duplicated()).then(pl.format("{} ({})", "name", "superclass")).otherwise("name")
    )
    members = table.join(shown, on="superclass").select(pl.col("class").cast(pl.UInt32), "group")
    found = _labelled(workspace).join(members, on="class").select("item", "group")
    return lambda _: found


def _by_group(workspace: Workspace, space: str | None) -> Grouping:
    """organism, artifact, other: of any class that the label set accepts, so that an item may be in several."""
    of_class = hierarchies.groups(_hierarchy(workspace), len(workspace.classes()))
    if of_class is None:
        raise InputError(
            "organism, artifact and other are groups of WordNet's classes, and this class list has a hierarchy of "
            "its own: group by superclass or level:DEPTH."
        )
    table = pl.DataFrame({"class": range(len(of_class)), "group": of_class}).cast({"class": pl.UInt32})

    def group(labels: LabelSet | None) -> pl.DataFrame:
        said = _labelled(workspace) if labels is None else labels.labels.filter(pl.col("state") != "rejected")
        return said.join(table, on="class").select("item", "group").unique()

    return group


def _by_cluster(workspace: Workspace, space: str | None) -> Grouping:
    for candidate in workspace.spaces() if space is None else [workspace.space(space)]:
        clusters = map_clusters(candidate)
        if clusters is not None:
            found = clusters.select("item", group=pl.col("cluster").cast(pl.String))
            return lambda _: found
    command = f"errata space build {workspace.path.name} {space or 'ENCODER'}"
    raise WorkspaceError(f"{workspace.name} has no clusters yet. Run `{command}`.")


def _hierarchy(workspace: Workspace) -> hierarchies.Hierarchy:
    found = hierarchies.hierarchy_of(workspace.classes())
    if found is None:
        raise InputError(
            f"The class list {workspace.classes().name!r} has no hierarchy: give its classes a `parent` column, "
            f"or use WordNet ids."
        )
    return found


GROUPINGS: dict[str, Callable[[Workspace, str | None], Grouping]] = {
    "class": _by_class,
    "superclass": _by_superclass,
    "group": _by_group,
    "cluster": _by_cluster,
}
