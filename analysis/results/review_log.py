"""The review log as results read it: kept in memory, and only what was said of the images as they are."""

from pathlib import Path

import polars as pl
import sqlalchemy as sa

from analysis.database import reading
from analysis.database.tables import judgements
from analysis.review import log, state
from analysis.workspace import Workspace

Tip = tuple[int, str]
"""Position and id of the newest row. The position alone would not tell a log that was restored from a backup."""

_known: dict[Path, pl.DataFrame] = {}
"""The log of each workspace as it was last read."""

_CHUNKS = 16
"""Each read adds one; a frame of thousands of them is slow."""


def tip(workspace: Workspace) -> Tip:
    """Where the log ends; (0, "") for an empty one. What is derived from the log can be kept as long as this holds."""
    with reading(workspace) as connection:
        query = sa.select(judgements.c.position, judgements.c.id).where(judgements.c.workspace == workspace.uuid)
        row = None if connection is None else connection.execute(query.order_by(judgements.c.position.desc())).first()
    return (0, "") if row is None else (row.position, row.id)


def told(workspace: Workspace, upto: int | None = None) -> pl.DataFrame:
    """The log up to a position, in the columns of analysis.review.log.SCHEMA.

    Only what came since the last time is fetched.
    """
    known = _known.get(workspace.path)
    if known is not None and known.height and not _holds(workspace, known):
        known = None
    found = log.read(workspace, known)
    if found.n_chunks() > _CHUNKS:
        found = found.rechunk()
    _known[workspace.path] = found
    return found if upto is None else found.filter(pl.col("position") <= upto)


def current(workspace: Workspace, upto: int | None = None) -> pl.DataFrame:
    """`told` without what was said of images that changed since, or are gone."""
    return state.current(told(workspace, upto), workspace.items())


def _holds(workspace: Workspace, known: pl.DataFrame) -> bool:
    """Whether the log still has the last row that is known."""
    with reading(workspace) as connection:
        if connection is None:
            return False
        at = sa.and_(judgements.c.workspace == workspace.uuid, judgements.c.position == known["position"][-1])
        return connection.scalar(sa.select(judgements.c.id).where(at)) == known["id"][-1]
