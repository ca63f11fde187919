"""Queues: items to be read by several people, handed out in leases.

A queue's draw, order, inclusion probabilities and candidates are fixed when it is made. A person leases some items
for a while; what is not read by then goes back. No item is served twice, but for the readings that the queue wants,
each by another person, and the hidden repeats that measure a person against themselves.
"""

import hashlib
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from analysis.database import reading, writing
from analysis.database.tables import leases, queue_items, queues
from analysis.errors import InputError
from analysis.review.designs import DECOY, Stratum, draw
from analysis.review.state import REPEAT
from analysis.workspace import Workspace

AT_ONCE = 50
MINUTES = 30
GAP = 20
"""A hidden repeat is none of the last so many items that the person read."""


@dataclass(frozen=True)
class Protocol:
    """How a queue is read."""

    readings: int = 1
    """Independent readings of each item, by different persons."""
    blind: bool = True
    """Candidates in random order without their source, and nobody sees what others said."""
    exhaustive: bool = False
    """Readers look for further classes; else they judge the candidates only."""
    repeats: float = 0.05
    """Share of a person's items that come again unknowingly."""
    people: tuple[str, ...] | None = None
    """Who may take it; None for everybody who may annotate."""
    guideline: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Queue:
    """A queue as it was made."""

    id: str
    name: str
    person: str
    created: datetime
    protocol: Protocol
    strata: tuple[dict[str, Any], ...]
    """name, size, draw, random of each stratum, by its number."""


@dataclass(frozen=True)
class Task:
    """An item in a person's hands."""

    item: int
    stratum: str
    """Its stratum's name, to be kept with the judgement; `repeat` for a hidden repeat."""
    probability: float | None
    candidates: tuple[int, ...]
    """Classes to judge; in random order, another one for each person, where the queue is blind."""
    until: datetime


# ---- making


def create(
    workspace: Workspace,
    name: str,
    strata: Sequence[Stratum],
    protocol: Protocol,
    candidates: pl.DataFrame,
    *,
    person: str,
) -> Queue:
    """Draw a queue and keep it. `candidates` has item, class, source (see `designs.with_decoys`) of drawn items.

    Raises InputError for a name that is taken and for a design or protocol that cannot be.
    """
    if not name.strip():
        raise InputError("A queue needs a name.")
    if protocol.readings < 1 or not 0 <= protocol.repeats < 1:
        raise InputError("A queue wants at least one reading of each item, and repeats fewer than all.")
    drawn = draw(strata, protocol.seed)
    missing = workspace.items().filter("missing")["item"].to_list()
    strange = drawn.filter((pl.col("item") >= workspace.items().height) | pl.col("item").is_in(missing))
    if strange.height:
        raise InputError(f"Item {strange['item'][0]} is not in {workspace.name}.")
    asked = _asked(candidates)
    described = [{"name": s.name, "size": len(s.items), "draw": s.draw, "random": s.random} for s in strata]
    made = Queue(uuid.uuid4().hex, name, person, datetime.now(UTC), protocol, tuple(described))
    mine = {"workspace": workspace.uuid, "queue": made.id}
    rows = [
        mine | row | {"candidates": json.dumps(asked.get(row["item"], [])) if row["place"] is not None else None}
        for row in drawn.select("item", "stratum", "probability", "place").iter_rows(named=True)
    ]
    try:
        with writing(workspace) as connection:
            connection.execute(
                queues.insert().values(
                    workspace=workspace.uuid,
                    id=made.id,
                    name=name,
                    person=person,
                    created=made.created,
                    protocol=json.dumps(asdict(protocol)),
                    strata=json.dumps(described),
                )
            )
            connection.execute(queue_items.insert(), rows)
    except sa.exc.IntegrityError as error:
        raise InputError(f"{workspace.name} has a queue {name!r} already.") from error
    return made


def _asked(candidates: pl.DataFrame) -> dict[int, list[list[Any]]]:
    """[class, source] of each item's candidates."""
    found: dict[int, list[list[Any]]] = {}
    for item, index, source in candidates.select("item", "class", "source").iter_rows():
        found.setdefault(item, []).append([index, source])
    return found


def listed(workspace: Workspace) -> list[Queue]:
    """Every queue, the oldest first."""
    with reading(workspace) as connection:
        if connection is None:
            return []
        query = sa.select(queues).where(queues.c.workspace == workspace.uuid).order_by(queues.c.created, queues.c.id)
        return [_queue(row) for row in connection.execute(query).mappings()]


def load(workspace: Workspace, queue: str) -> Queue:
    """A queue by its id. Raises InputError when there is none."""
    found = next((one for one in listed(workspace) if one.id == queue), None)
    if found is None:
        raise InputError(f"{workspace.name} has no queue {queue!r}.")
    return found


def members(workspace: Workspace, queue: str) -> pl.DataFrame:
    """Every item of a queue's strata: item, stratum (number), probability, place (null: not drawn); by item."""
    schema = {"item": pl.UInt32(), "stratum": pl.Int64(), "probability": pl.Float64(), "place": pl.Int64()}
    with reading(workspace) as connection:
        if connection is None:
            return pl.DataFrame(schema=schema)
        query = sa.select(*[queue_items.c[name] for name in schema]).where(_of(queue_items, workspace, queue))
        rows = [tuple(row) for row in connection.execute(query.order_by(queue_items.c.item))]
    return pl.DataFrame(rows, schema=schema, orient="row")


def decoys(workspace: Workspace, queue: str) -> pl.DataFrame:
    """The decoys among a queue's candidates: item, class; for `agreement.decoys`."""
    schema = {"item": pl.UInt32(), "class": pl.UInt32()}
    with reading(workspace) as connection:
        if connection is None:
            return pl.DataFrame(schema=schema)
        query = sa.select(queue_items.c.item, queue_items.c.candidates).where(
            _of(queue_items, workspace, queue), queue_items.c.candidates.is_not(None)
        )
        rows = [
            (item, index)
            for item, text in connection.execute(query)
            for index, source in json.loads(text)
            if source == DECOY
        ]
    return pl.DataFrame(sorted(rows), schema=schema, orient="row")


def sources(workspace: Workspace, queue: str, item: int) -> list[tuple[int, str]]:
    """Where an item's candidates came from, (class, source): for after the decision."""
    with reading(workspace) as connection:
        query = sa.select(queue_items.c.candidates).where(
            _of(queue_items, workspace, queue), queue_items.c.item == item
        )
        text = None if connection is None else connection.scalar(query)
    return [(index, source) for index, source in json.loads(text or "[]")]


# ---- leasing


def lease(
    workspace: Workspace, queue: str, person: str, n: int = AT_ONCE, *, now: datetime | None = None
) -> list[Task]:
    """Up to n items for a person to read until half an hour from now, in the queue's order; what they hold first.

    Raises InputError when the queue is not theirs to take. `now` is the server's time, given by tests only.
    """
    chosen = load(workspace, queue)
    if chosen.protocol.people is not None and person not in chosen.protocol.people:
        raise InputError(f"The queue {chosen.name!r} is not for {person}.")
    moment = now or datetime.now(UTC)
    until = moment + timedelta(minutes=MINUTES)
    with writing(workspace) as connection:
        mine = sa.and_(_of(leases, workspace, queue), leases.c.person == person)
        connection.execute(
            leases.delete().where(_of(leases, workspace, queue), leases.c.done.is_(None), leases.c.until <= moment)
        )
        held = [
            tuple(row)
            for row in connection.execute(sa.select(leases.c.item, leases.c.again).where(mine, leases.c.done.is_(None)))
        ]
        fresh = _fresh(connection, workspace, chosen, person, n - len(held))
        again = _again(connection, mine, chosen, person, len(fresh))
        taken = [(item, True) for item in again] + [
            (item, False) for item in fresh[: max(n - len(held) - len(again), 0)]
        ]
        if taken:
            base = {"workspace": workspace.uuid, "queue": queue, "person": person, "until": until, "done": None}
            connection.execute(leases.insert(), [base | {"item": item, "again": flag} for item, flag in taken])
        connection.execute(leases.update().where(mine, leases.c.done.is_(None)).values(until=until))
        return _tasks(connection, workspace, chosen, person, [*held, *taken], until)


def finish(workspace: Workspace, queue: str, person: str, read: Collection[tuple[int, bool]]) -> None:
    """Note that a person has read items: (item, whether it was a hidden repeat). Harmless when said again.

    A reading that comes after its lease ended counts all the same.
    """
    if not read:
        return
    time = datetime.now(UTC)
    with writing(workspace) as connection:
        for item, flag in set(read):
            this = sa.and_(
                _of(leases, workspace, queue), leases.c.person == person, leases.c.item == item, leases.c.again == flag
            )
            known = connection.execute(sa.select(leases.c.done).where(this)).first()
            if known is None:
                whole = {"workspace": workspace.uuid, "queue": queue, "person": person, "item": item, "again": flag}
                connection.execute(leases.insert().values(**whole, until=time, done=time))
            elif known.done is None:
                connection.execute(leases.update().where(this).values(done=time))


def give_back(workspace: Workspace, queue: str, person: str) -> int:
    """Return what a person has in hand and did not read; returns how many."""
    with writing(workspace) as connection:
        mine = sa.and_(_of(leases, workspace, queue), leases.c.person == person, leases.c.done.is_(None))
        return connection.execute(leases.delete().where(mine)).rowcount


def progress(workspace: Workspace, queue: str) -> pl.DataFrame:
    """Who has read how many of a queue's items: person, read, repeats, in_hand; sorted. For all: `coverage`."""
    schema = {"person": pl.String(), "read": pl.Int64(), "repeats": pl.Int64(), "in_hand": pl.Int64()}
    with reading(workspace) as connection:
        if connection is None:
            return pl.DataFrame(schema=schema)
        done = leases.c.done.is_not(None)
        counted = [
            sa.func.sum(sa.case((condition, 1), else_=0))
            for condition in (
                done & ~leases.c.again,
                done & leases.c.again,
                ~done & (leases.c.until > datetime.now(UTC)),
            )
        ]
        query = sa.select(leases.c.person, *counted).where(_of(leases, workspace, queue)).group_by(leases.c.person)
        rows = [tuple(row) for row in connection.execute(query.order_by(leases.c.person))]
    return pl.DataFrame(rows, schema=schema, orient="row")


def coverage(workspace: Workspace, queue: str) -> pl.DataFrame:
    """How many readings each drawn item has: item, readings; in the queue's order. 0: nobody has looked at it."""
    schema = {"item": pl.UInt32(), "readings": pl.Int64()}
    with reading(workspace) as connection:
        if connection is None:
            return pl.DataFrame(schema=schema)
        read = _readings(workspace, queue, leases.c.done.is_not(None))
        joined = queue_items.outerjoin(read, read.c.item == queue_items.c.item)
        query = sa.select(queue_items.c.item, sa.func.coalesce(read.c.n, 0)).select_from(joined)
        drawn = query.where(_of(queue_items, workspace, queue), queue_items.c.place.is_not(None))
        rows = [tuple(row) for row in connection.execute(drawn.order_by(queue_items.c.place))]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _of(table: sa.Table, workspace: Workspace, queue: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == workspace.uuid, table.c.queue == queue)


def _queue(row: Any) -> Queue:
    protocol = json.loads(row["protocol"])
    if protocol["people"] is not None:
        protocol["people"] = tuple(protocol["people"])
    strata = tuple(json.loads(row["strata"]))
    return Queue(row["id"], row["name"], row["person"], row["created"], Protocol(**protocol), strata)


def _readings(workspace: Workspace, queue: str, condition: sa.ColumnElement[bool]) -> sa.Subquery:
    """item and n: how many persons have it, repeats left out."""
    counted = sa.select(leases.c.item, sa.func.count().label("n"))
    return counted.where(_of(leases, workspace, queue), ~leases.c.again, condition).group_by(leases.c.item).subquery()


def _fresh(connection: sa.Connection, workspace: Workspace, queue: Queue, person: str, n: int) -> list[int]:
    """The next items that want a reading and that the person has neither read nor in hand."""
    if n <= 0:
        return []
    taken = _readings(workspace, queue.id, sa.true())  # ended leases are gone by now
    own = sa.select(leases.c.item).where(_of(leases, workspace, queue.id), leases.c.person == person)
    joined = queue_items.outerjoin(taken, taken.c.item == queue_items.c.item)
    query = (
        sa.select(queue_items.c.item)
        .select_from(joined)
        .where(
            _of(queue_items, workspace, queue.id),
            queue_items.c.place.is_not(None),
            sa.func.coalesce(taken.c.n, 0) < queue.protocol.readings,
            queue_items.c.item.not_in(own),
        )
        .order_by(queue_items.c.place)
        .limit(n)
    )
    return list(connection.scalars(query))


def _again(connection: sa.Connection, mine: sa.ColumnElement[bool], queue: Queue, person: str, fresh: int) -> list[int]:
    """Items that the person is to read again unknowingly, so that repeats stay at their share of what they read."""
    rows = connection.execute(
        sa.select(leases.c.item, leases.c.again, leases.c.done).where(mine).order_by(leases.c.done, leases.c.item)
    ).all()
    repeated = {row.item for row in rows if row.again}
    read = [row.item for row in rows if not row.again and row.done is not None]
    wanted = round(queue.protocol.repeats * (len(rows) + fresh)) - len(repeated)
    known = [item for item in read[:-GAP] if item not in repeated]
    if wanted <= 0 or not known or not fresh:
        return []
    chosen = _chance(queue, person, len(rows)).choice(known, min(wanted, len(known)), replace=False)
    return [int(item) for item in chosen]


def _chance(queue: Queue, *of: object) -> np.random.Generator:
    """Chance that comes out the same each time for the same person and thing."""
    text = json.dumps([queue.id, queue.protocol.seed, *of])
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))


def _tasks(
    connection: sa.Connection,
    workspace: Workspace,
    queue: Queue,
    person: str,
    held: list[tuple[int, bool]],
    until: datetime,
) -> list[Task]:
    columns = (
        queue_items.c.item,
        queue_items.c.stratum,
        queue_items.c.probability,
        queue_items.c.candidates,
        queue_items.c.place,
    )
    wanted = [item for item, _ in held]
    found = {
        row.item: row
        for start in range(0, len(wanted), 500)
        for row in connection.execute(
            sa.select(*columns).where(
                _of(queue_items, workspace, queue.id), queue_items.c.item.in_(wanted[start : start + 500])
            )
        )
    }
    order = sorted((one for one in held if not one[1]), key=lambda one: found[one[0]].place)
    for one in sorted(one for one in held if one[1]):
        order.insert(int(_chance(queue, person, "place", one[0]).integers(len(order) + 1)), one)
    tasks = []
    for item, again in order:
        row = found[item]
        classes = [index for index, _ in json.loads(row.candidates)]
        if queue.protocol.blind:
            classes = [classes[place] for place in _chance(queue, person, item, again).permutation(len(classes))]
        stratum = REPEAT if again else queue.strata[row.stratum]["name"]
        tasks.append(Task(item, stratum, None if again else row.probability, tuple(classes), until))
    return tasks
