"""The review log of a workspace: judgements in the order in which they came; rows are added and never changed.

A *position* is a row's place, from 1. Positions are given while the workspace's one writer holds its lock, so that
whoever has read up to a position has read everything before it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from analysis.database import reading, writing
from analysis.database.tables import judgements
from analysis.errors import InputError
from analysis.review.checks import as_row
from analysis.review.kinds import Judgement, Undo
from analysis.workspace import Workspace

SCHEMA: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "id": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "person": pl.String(),
    "panel": pl.Boolean(),
    "blind": pl.Boolean(),
    "kind": pl.String(),
    "item": pl.UInt32(),
    "key": pl.String(),
    "hash": pl.String(),
    "class": pl.UInt32(),  # null: of the whole item
    "value": pl.String(),
    "severity": pl.String(),
    "url": pl.String(),
    "seconds": pl.Float64(),
    "guideline": pl.String(),
    "queue": pl.String(),
    "stratum": pl.String(),
    "probability": pl.Float64(),
    "supersedes": pl.Int64(),  # the position that this row replaces or takes back
}
"""Columns of the log; `history` has `shown` too."""

_AT_ONCE = 500
"""Values of one query's IN list: every database takes that many."""
_SAID = ("kind", "item", "class", "value", "severity", "url", "person", "panel")


# ---- writing


def append(workspace: Workspace, said: Sequence[Judgement]) -> list[int]:
    """Write judgements to the log, all or none; returns the position of each, in their order.

    A judgement whose id is in the log already is not written again and gets the position that it has. `workspace`
    is the snapshot that the persons were looking at: keys and hashes of items are taken from it.
    Raises InputError naming the item when one cannot be, or an id was used for something else.
    """
    rows = [as_row(workspace, judgement) for judgement in said]
    for row, judgement in zip(rows, said, strict=True):
        row["of"] = judgement.says.of if isinstance(judgement.says, Undo) else judgement.supersedes
    if not rows:
        return []
    with writing(workspace) as connection:
        known = _by_id(connection, workspace, [row["id"] for row in rows])
        fresh: list[dict[str, Any]] = []
        position = _last(connection, workspace)
        for row in rows:
            if (before := known.get(row["id"])) is None:
                position += 1
                known[row["id"]] = row | {"position": position}
                fresh.append(known[row["id"]])
            elif any(before[name] != row[name] for name in _SAID):
                raise InputError(f"Item {row['item']} ({row['key']!r}): the id {row['id']} has another judgement.")
        _resolve(connection, workspace, fresh)
        if fresh:
            time = datetime.now(UTC)
            written = [{name: value for name, value in row.items() if name != "of"} | {"time": time} for row in fresh]
            connection.execute(judgements.insert(), written)
        return [known[row["id"]]["position"] for row in rows]


def undo(workspace: Workspace, of: str, *, person: str, panel: bool = False, id: str | None = None) -> int:
    """Take back the judgement with the id `of`; returns the position of the row that says so.

    Raises InputError when there is none of that id, or it is another person's.
    """
    with reading(workspace) as connection:
        found = {} if connection is None else _by_id(connection, workspace, [of])
    if of not in found:
        raise InputError(f"There is no judgement {of!r} in {workspace.name}.")
    taken_back = Judgement(says=Undo(found[of]["item"], of), person=person, panel=panel)
    return append(workspace, [taken_back if id is None else replace(taken_back, id=id)])[0]


def _resolve(connection: sa.Connection, workspace: Workspace, fresh: list[dict[str, Any]]) -> None:
    """Check what depends on the log as it is, and give each row the position that it supersedes."""
    items = {row["item"] for row in fresh if row["of"] is not None or row["kind"] == "cause"}
    past: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _of_items(connection, workspace, items):
        past[row["item"]].append(row)
    for row in fresh:
        where = f"Item {row['item']} ({row['key']!r})"
        row["supersedes"] = None
        if row["of"] is not None:
            target = next((other for other in past[row["item"]] if other["id"] == row["of"]), None)
            if target is None:
                raise InputError(f"{where} has no judgement {row['of']!r} to take back or replace.")
            if _reader(target) != _reader(row):
                raise InputError(
                    f"{where}: the judgement {row['of']} is not {row['person']}'s to take back or replace."
                )
            row["supersedes"] = target["position"]
        if row["kind"] == "cause" and _verdict(past[row["item"]], row) != "wrong":
            raise InputError(
                f"{where}: cause and severity of class {row['class']} need the verdict wrong by "
                f"{'the panel' if row['panel'] else row['person']} first."
            )
        if row["item"] in items:
            past[row["item"]].append(row)


def _reader(row: Any) -> str | None:
    """Whose reading a row is: a person's, or None for the panel's."""
    return None if row["panel"] else row["person"]


def _verdict(past: list[dict[str, Any]], row: dict[str, Any]) -> str | None:
    """The verdict that the row's reader has given on its item and class, as things stand."""
    gone: set[int] = set()
    for other in reversed(past):
        if other["position"] in gone:
            continue
        if other["supersedes"] is not None:
            gone.add(other["supersedes"])
        if other["kind"] == "verdict" and other["class"] == row["class"] and _reader(other) == _reader(row):
            return str(other["value"])
    return None


# ---- reading


def last(workspace: Workspace) -> int:
    """The position of the newest row; 0 for an empty log."""
    with reading(workspace) as connection:
        return 0 if connection is None else _last(connection, workspace)


def read(workspace: Workspace, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """The log in the columns of SCHEMA, by position. `known` is what was read before: only what follows is fetched."""
    after = 0 if known is None or known.is_empty() else int(known["position"][-1])
    with reading(workspace) as connection:
        if connection is None:
            return pl.DataFrame(schema=SCHEMA)
        mine = sa.and_(judgements.c.workspace == workspace.uuid, judgements.c.position > after)
        new = _frame(connection, list(SCHEMA), mine)
    return new if known is None else pl.concat([known, new])


def history(workspace: Workspace, item: int) -> pl.DataFrame:
    """Everything that was said about an item, by position: the columns of SCHEMA, `shown` (JSON) and `stands`.

    `stands` is false for what was taken back or replaced, and for undos themselves.
    """
    with reading(workspace) as connection:
        if connection is None:
            found = pl.DataFrame(schema=SCHEMA | {"shown": pl.String()})
        else:
            mine = sa.and_(judgements.c.workspace == workspace.uuid, judgements.c.item == item)
            found = _frame(connection, [*SCHEMA, "shown"], mine)
    return found.with_columns(stands=stands(found))


def stands(log: pl.DataFrame) -> pl.Series:
    """Whether each row still holds, (n,) bool: neither an undo, nor taken back or replaced by a row that holds.

    `log` is sorted by position and has every row that refers to one of its rows.
    """
    return log.select(~_among(replaced(log)) & (pl.col("kind") != "undo")).to_series()


def undone(log: pl.DataFrame) -> pl.Series:
    """Whether each row was taken back by an undo that holds, (n,) bool; what was replaced later was not."""
    undos = log.filter((pl.col("kind") == "undo") & ~_among(replaced(log)))
    return log.select(_among(undos["supersedes"].to_list())).to_series()


def replaced(log: pl.DataFrame) -> set[int]:
    """Positions of the rows that another row, which holds itself, takes back or replaces."""
    referring = log.filter(pl.col("supersedes").is_not_null()).select("position", "supersedes")
    gone: set[int] = set()
    # A row refers to earlier ones only, so from the end each row's own fate is known when it comes.
    for position, target in reversed(referring.rows()):
        if position not in gone:
            gone.add(target)
    return gone


def _among(positions: Iterable[int]) -> pl.Expr:
    return pl.col("position").is_in(pl.Series(sorted(positions), dtype=pl.Int64).implode())


def _last(connection: sa.Connection, workspace: Workspace) -> int:
    query = sa.select(sa.func.max(judgements.c.position)).where(judgements.c.workspace == workspace.uuid)
    return connection.scalar(query) or 0


def _by_id(connection: sa.Connection, workspace: Workspace, ids: Iterable[str]) -> dict[str, Any]:
    columns = [judgements.c[name] for name in ("position", "id", *_SAID)]
    query = sa.select(*columns).where(judgements.c.workspace == workspace.uuid)
    rows = (
        row
        for some in _in_turn(set(ids))
        for row in connection.execute(query.where(judgements.c.id.in_(some))).mappings()
    )
    return {row["id"]: row for row in rows}


def _of_items(connection: sa.Connection, workspace: Workspace, items: Iterable[int]) -> list[dict[str, Any]]:
    columns = [judgements.c[name] for name in ("position", "id", "supersedes", *_SAID)]
    query = sa.select(*columns).where(judgements.c.workspace == workspace.uuid).order_by(judgements.c.position)
    return [
        dict(row)
        for some in _in_turn(set(items))
        for row in connection.execute(query.where(judgements.c.item.in_(some))).mappings()
    ]


def _in_turn(values: set[Any]) -> Iterator[list[Any]]:
    every = sorted(values)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _frame(connection: sa.Connection, names: list[str], mine: sa.ColumnElement[bool]) -> pl.DataFrame:
    # Times as the numbers that they are stored as: 200,000 Python datetimes would take longer than all the rest.
    columns = [sa.type_coerce(judgements.c.time, sa.BigInteger) if n == "time" else judgements.c[n] for n in names]
    rows = connection.execute(sa.select(*columns).where(mine).order_by(judgements.c.position)).fetchall()
    kinds = SCHEMA | {"shown": pl.String()}
    values = zip(*rows, strict=True) if rows else ([] for _ in names)
    frame = pl.DataFrame(
        [
            pl.Series(name, list(column), dtype=pl.Int64() if name == "time" else kinds[name], strict=False)
            for name, column in zip(names, values, strict=True)
        ]
    )
    return frame.with_columns(pl.from_epoch("time", "us").dt.replace_time_zone("UTC"))
