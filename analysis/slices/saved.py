"""Saved slices: kept in the workspace's database, so that an address or a name stands for a line of any length."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from analysis.database import reading, writing
from analysis.database.tables import slices
from analysis.errors import InputError
from analysis.slices import Slice
from analysis.workspace import Workspace

MAX_NAME = 80
"""The longest name, in characters."""

_ID = re.compile(r"[0-9a-f]{16}")
_COLUMNS = (slices.c.id, slices.c.name, slices.c.text, slices.c.person, slices.c.created)


@dataclass(frozen=True)
class SavedSlice:
    """A slice in the database."""

    id: str
    """16 hexadecimal digits, made of the name and the line: saving the same again gives the same id."""
    name: str | None
    """None: saved only so that an address can name it."""
    text: str
    """Its line, as `Slice` prints it; `all` for one without conditions."""
    person: str
    """Who saved it first."""
    created: datetime


def save(workspace: Workspace, text: str, *, name: str | None = None, person: str = "") -> str:
    """Keep a slice, under a name or for its address alone; returns its id. What is there already stays as it is.

    Raises InputError for a line that does not parse, and for a name that is none or stands for another slice;
    WorkspaceError where the database cannot be written to.
    """
    line = str(Slice.parse(text)) or "all"
    name = None if name is None else _name(name)
    slice_id = hashlib.blake2b(json.dumps([name, line]).encode(), digest_size=8).hexdigest()
    if load(workspace, slice_id) is not None:
        return slice_id
    with writing(workspace) as connection:
        here = slices.c.workspace == workspace.uuid
        same = slices.c.id == slice_id if name is None else (slices.c.id == slice_id) | (slices.c.name == name)
        known = connection.execute(sa.select(slices.c.id, slices.c.text).where(here, same)).first()
        if known is not None and known.id != slice_id:
            raise InputError(
                f"There is another slice called {name!r} here: {shortened(known.text)}. Choose another name."
            )
        if known is None:
            row = {"name": name, "text": line, "person": person, "created": datetime.now(UTC)}
            connection.execute(slices.insert().values(workspace=workspace.uuid, id=slice_id, **row))
    return slice_id


def load(workspace: Workspace, slice_id: str) -> SavedSlice | None:
    """The slice with this id; None for none."""
    return _first(workspace, slices.c.id == slice_id) if _ID.fullmatch(slice_id) else None


def named(workspace: Workspace, name: str) -> SavedSlice:
    """The slice of this name, or with this id. Raises InputError naming those that there are."""
    clean = name.strip()
    found = _first(workspace, slices.c.name == clean) if clean.isprintable() else None
    found = found or load(workspace, clean)
    if found is None:
        there = ", ".join(names(workspace).values()) or "none yet"
        raise InputError(f"{workspace.name} has no saved slice {name!r}. It has: {there}.")
    return found


def names(workspace: Workspace) -> dict[str, str]:
    """The names there are, by id; sorted by name."""
    with reading(workspace) as connection:
        if connection is None:
            return {}
        here = (slices.c.workspace == workspace.uuid) & slices.c.name.is_not(None)
        found = {row.id: row.name for row in connection.execute(sa.select(slices.c.id, slices.c.name).where(here))}
    return dict(sorted(found.items(), key=lambda row: (row[1].casefold(), row[1])))


def listed(workspace: Workspace) -> list[SavedSlice]:
    """The slices that have a name, sorted by it."""
    found = {one.id: one for one in _found(workspace, slices.c.name.is_not(None))}
    return [found[slice_id] for slice_id in names(workspace) if slice_id in found]


def forget(workspace: Workspace, slice_id: str) -> None:
    """Remove a slice; addresses that name it no longer open it. Removing what is not there does nothing.

    Raises WorkspaceError where the database cannot be written to.
    """
    if load(workspace, slice_id) is not None:
        with writing(workspace) as connection:
            gone = (slices.c.workspace == workspace.uuid) & (slices.c.id == slice_id)
            connection.execute(slices.delete().where(gone))


def shortened(text: str, most: int = 80) -> str:
    """The beginning of a line."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _name(name: str) -> str:
    clean = name.strip()
    if not clean or not clean.isprintable() or len(clean) > MAX_NAME:
        raise InputError(f"A slice's name has 1 to {MAX_NAME} printable characters; {shortened(name)!r} has not.")
    return clean


def _first(workspace: Workspace, wanted: sa.ColumnElement[bool]) -> SavedSlice | None:
    return next(iter(_found(workspace, wanted)), None)


def _found(workspace: Workspace, wanted: sa.ColumnElement[bool]) -> list[SavedSlice]:
    with reading(workspace) as connection:
        if connection is None:
            return []
        rows = connection.execute(sa.select(*_COLUMNS).where(slices.c.workspace == workspace.uuid, wanted))
        return [SavedSlice(*row) for row in rows]
