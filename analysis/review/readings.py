"""Readings: one person's look at one item of a queue, and what it may hold; saved to the log, then closed.

What a judgement is worth (stratum, inclusion probability, guideline, whether it is blind) is the queue's to say,
never the reader's. A reading is *whole* once each of its candidates has a verdict and, where the queue asks what is
missing, "no further class" was said. Only then is it told where the candidates came from; a verdict that is given
after that is not blind any more.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from analysis.database import reading as reading_from
from analysis.database import writing
from analysis.database.tables import judgements, leases, queue_items
from analysis.errors import InputError
from analysis.review import log, queues
from analysis.review.checks import as_row
from analysis.review.designs import DECOY
from analysis.review.kinds import Cause, Exhaustive, Judgement, Statement, Undo, Verdict
from analysis.review.queues import Queue
from analysis.review.state import REPEAT
from analysis.workspace import Workspace

Word = Literal["valid", "wrong", "unsure", "needs_expert"]
"""A single reader's verdict."""
LABEL = "label"
"""The source of a candidate that is the item's original label; other sources are names of runs, and DECOY."""
BETWEEN = "\n"
"""Parts the sources of one candidate in the one text that a queue keeps of them."""


@dataclass(frozen=True)
class Reading:
    """An item of a queue in one person's hands; `again` for a hidden repeat."""

    queue: str
    item: int
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person says in a reading; `id` is made by the client."""

    id: str
    reading: Reading
    says: Statement
    shown: tuple[int, ...]
    """The candidates in the order in which they stood on the screen."""
    seconds: float | None = None
    hash: str | None = None
    """Of the image that was on the screen; None for the item's present one."""


@dataclass(frozen=True)
class Place:
    """An item's place in its queue, as fixed when the queue was made."""

    stratum: str
    probability: float
    sources: Mapping[int, tuple[str, ...]]
    """Each candidate class with where it came from."""

    @property
    def runs(self) -> list[str]:
        """Runs that some candidate came from, sorted."""
        return sorted({source for sources in self.sources.values() for source in sources} - {LABEL, DECOY})


@dataclass(frozen=True)
class Kept:
    """What became of judgements."""

    saved: list[str]
    """Ids that are in the log now, or were before."""
    refused: dict[str, str]
    """Ids that are not, with the reason."""
    revealed: dict[Reading, list[tuple[int, tuple[str, ...]]]]
    """Whole readings among those spoken of: each candidate class with its sources."""


Rows = Sequence[Mapping[str, Any]]
"""Rows of the log by one person on one item, by position."""


def places(workspace: Workspace, queue: Queue, items: Collection[int]) -> dict[int, Place]:
    """The places of items that the queue serves; items that it does not serve are left out."""
    with reading_from(workspace) as connection:
        if connection is None:
            return {}
        columns = (queue_items.c.item, queue_items.c.stratum, queue_items.c.probability, queue_items.c.candidates)
        query = sa.select(*columns).where(
            queue_items.c.workspace == workspace.uuid,
            queue_items.c.queue == queue.id,
            queue_items.c.place.is_not(None),
        )
        rows = [
            row
            for some in _in_turn(items)
            for row in connection.execute(query.where(queue_items.c.item.in_(some))).mappings()
        ]
    return {
        row["item"]: Place(
            queue.strata[row["stratum"]]["name"],
            row["probability"],
            {index: tuple(source.split(BETWEEN)) for index, source in json.loads(row["candidates"])},
        )
        for row in rows
    }


def said_by(workspace: Workspace, person: str, items: Collection[int]) -> dict[int, Rows]:
    """What a person has said of each item, whatever became of it, by position; items without a word are left out."""
    names = ("position", "id", "kind", "item", "class", "value", "queue", "stratum", "supersedes")
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    with reading_from(workspace) as connection:
        if connection is None:
            return {}
        query = (
            sa.select(*(judgements.c[name] for name in names))
            .where(judgements.c.workspace == workspace.uuid, judgements.c.person == person, ~judgements.c.panel)
            .order_by(judgements.c.position)
        )
        for some in _in_turn(items):
            for row in connection.execute(query.where(judgements.c.item.in_(some))).mappings():
                found[row["item"]].append(dict(row))
    return dict(found)


def verdicts(rows: Rows, reading: Reading) -> dict[int, Word]:
    """The verdict that a reading holds on each class."""
    return {row["class"]: row["value"] for row in _standing(rows, reading) if row["kind"] == "verdict"}


def is_whole(rows: Rows, reading: Reading, place: Place, exhaustive: bool) -> bool:
    """Whether a reading holds all that it was asked for."""
    further = not exhaustive or any(row["kind"] == "exhaustive" for row in _standing(rows, reading))
    return further and place.sources.keys() <= verdicts(rows, reading).keys()


def is_over(rows: Rows, reading: Reading, place: Place, exhaustive: bool) -> bool:
    """Whether a reading asks for nothing more: it is whole, or its person says that the image cannot be read."""
    standing = _standing(rows, reading)
    unreadable = any(row["kind"] == "problem" and row["value"] == "unreadable" for row in standing)
    return unreadable or is_whole(rows, reading, place, exhaustive)


def _standing(rows: Rows, reading: Reading) -> list[Mapping[str, Any]]:
    """A reading's own rows that hold. An undo counts wherever it was said."""
    gone: set[int] = set()
    for row in reversed(rows):
        if row["supersedes"] is not None and row["position"] not in gone:
            gone.add(row["supersedes"])
    return [row for row in _own(rows, reading) if row["position"] not in gone and row["kind"] != "undo"]


def _own(rows: Rows, reading: Reading) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["queue"] == reading.queue and (row["stratum"] == REPEAT) == reading.again]


def _was_whole(rows: Rows, reading: Reading, place: Place, exhaustive: bool) -> bool:
    """Whether a reading was whole at any time, so that its sources may be known."""
    asking = ("verdict", "exhaustive")
    ends = [number for number, row in enumerate(rows, 1) if row["kind"] in asking]
    return any(is_whole(rows[:end], reading, place, exhaustive) for end in ends)


# ---- saving


def save(workspace: Workspace, person: str, said: Sequence[Said]) -> Kept:
    """Save what a person said in readings that were handed to them, and close the readings that are over.

    Each judgement is saved or refused for itself, in their order; one that is in the log already is saved. When it
    returns, all that is called saved is on the disk. That the readings are the person's own is for the caller to
    know; a reading whose lease has ended counts all the same. Raises LockedError and WorkspaceError when the
    database fails: some may be saved then, and saying all of it again is harmless.
    """
    refused: dict[str, str] = {}
    queues_of, places_of = _known(workspace, said)
    past = said_by(workspace, person, {one.reading.item for one in said})
    ids_of: dict[Reading, set[str]] = defaultdict(set)
    for one in said:
        ids_of[one.reading].add(one.id)
    ready: list[Judgement] = []
    for one in said:
        queue = queues_of.get(one.reading.queue)
        place = places_of.get((one.reading.queue, one.reading.item))
        rows = past.get(one.reading.item, [])
        try:
            if queue is None or place is None:
                raise InputError("There is no such reading: its queue does not serve this item.")
            _refuse_strange(one, queue, place, ids_of[one.reading] | {row["id"] for row in _own(rows, one.reading)})
            judgement = _judgement(one, person, queue, place, rows)
            as_row(workspace, judgement)
        except InputError as error:
            refused[one.id] = _without_keys(workspace, one, error)
        else:
            ready.append(judgement)
    complaints = _append(workspace, ready)
    by_id = {one.id: one for one in said}
    refused |= {id: _without_keys(workspace, by_id[id], error) for id, error in complaints.items()}
    saved = [one for one in said if one.id not in refused]
    return Kept([one.id for one in saved], refused, _close(workspace, person, saved, queues_of, places_of))


def _known(workspace: Workspace, said: Sequence[Said]) -> tuple[dict[str, Queue], dict[tuple[str, int], Place]]:
    """The queues that are spoken of, and the places of the items in them."""
    items: dict[str, set[int]] = defaultdict(set)
    for one in said:
        items[one.reading.queue].add(one.reading.item)
    found = {queue.id: queue for queue in queues.listed(workspace) if queue.id in items}
    return found, {
        (id, item): place for id, queue in found.items() for item, place in places(workspace, queue, items[id]).items()
    }


def _refuse_strange(one: Said, queue: Queue, place: Place, ids: Collection[str]) -> None:
    """Raise InputError for what the reading does not ask. `ids` are of the judgements that it may take back."""
    says = one.says
    if says.item != one.reading.item:
        raise InputError(f"This reading is of another item than {says.item}.")
    if sorted(one.shown) != sorted(place.sources):
        raise InputError("The candidates that were shown are not those of this reading.")
    if isinstance(says, Exhaustive) and not queue.protocol.exhaustive:
        raise InputError("This queue does not ask for what is missing.")
    if isinstance(says, Verdict | Cause) and says.class_index not in place.sources and not queue.protocol.exhaustive:
        raise InputError(f"Class {says.class_index} is no candidate of this reading.")
    if isinstance(says, Undo) and says.of not in ids:
        raise InputError("This reading has no such judgement to take back.")


def _judgement(one: Said, person: str, queue: Queue, place: Place, rows: Rows) -> Judgement:
    protocol = queue.protocol
    hidden = not _was_whole(rows, one.reading, place, protocol.exhaustive)
    return Judgement(
        says=one.says,
        person=person,
        id=one.id,
        # A cause is asked once it is known that a run predicted the class; others' words are hidden all the same.
        blind=protocol.blind and (hidden or isinstance(one.says, Cause)),
        seconds=one.seconds,
        shown={"candidates": list(one.shown), "sources_hidden": hidden, "runs": place.runs},
        hash=one.hash,
        guideline=protocol.guideline,
        queue=queue.id,
        stratum=REPEAT if one.reading.again else place.stratum,
        probability=None if one.reading.again else place.probability,
    )


def _append(workspace: Workspace, ready: Sequence[Judgement]) -> dict[str, InputError]:
    """Write judgements in their order; returns those that the log refuses. Halves find them."""
    try:
        log.append(workspace, ready)
        return {}
    except InputError as error:
        if len(ready) == 1:
            return {ready[0].id: error}
    middle = len(ready) // 2
    return _append(workspace, ready[:middle]) | _append(workspace, ready[middle:])


def _without_keys(workspace: Workspace, one: Said, error: InputError) -> str:
    """The complaint without the item's key, which often names the class that a blind reader is asked for."""
    items = workspace.items()
    key = items.item(one.says.item, "key") if 0 <= one.says.item < items.height else None
    return str(error).replace(f" ({key!r})", "")


def _close(
    workspace: Workspace,
    person: str,
    saved: Sequence[Said],
    queues_of: Mapping[str, Queue],
    places_of: Mapping[tuple[str, int], Place],
) -> dict[Reading, list[tuple[int, tuple[str, ...]]]]:
    """Note which readings are over and which are not any more; returns the whole ones with their sources."""
    now = said_by(workspace, person, {one.reading.item for one in saved})
    revealed = {}
    over: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for reading in dict.fromkeys(one.reading for one in saved):
        place, exhaustive = places_of[reading.queue, reading.item], queues_of[reading.queue].protocol.exhaustive
        rows = now.get(reading.item, [])
        if is_whole(rows, reading, place, exhaustive):
            revealed[reading] = list(place.sources.items())
        if is_over(rows, reading, place, exhaustive):
            over[reading.queue].append((reading.item, reading.again))
        elif any(one.reading == reading and isinstance(one.says, Undo) for one in saved):
            _reopen(workspace, person, reading)
    for queue, read in over.items():
        queues.finish(workspace, queue, person, read)
    return revealed


def _reopen(workspace: Workspace, person: str, reading: Reading) -> None:
    """A reading of which something was taken back is in the person's hands again, so that it is not lost."""
    with writing(workspace) as connection:
        this = (
            leases.c.workspace == workspace.uuid,
            leases.c.queue == reading.queue,
            leases.c.item == reading.item,
            leases.c.person == person,
            leases.c.again == reading.again,
        )
        connection.execute(leases.update().where(*this).values(done=None))


def _in_turn(items: Collection[int], at_once: int = 500) -> list[list[int]]:
    every = sorted(items)
    return [every[start : start + at_once] for start in range(0, len(every), at_once)]
