"""The workspaces that this server has open: one read-only registry for the routes and the pages of a process.

A workspace's id in URLs and tokens is the beginning of its UUID, so that no path ever reaches a browser.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import InputError, WorkspaceError
from analysis.workspace import Workspace

_ID_LENGTH = 8

_lock = threading.Lock()
_open: dict[str, Workspace] = {}


def put(paths: Sequence[str | Path]) -> list[str]:
    """Open these workspaces in place of those open now; returns their ids in the same order.

    Raises WorkspaceError when one cannot be opened, InputError when two of them are the same one.
    """
    opened: dict[str, Workspace] = {}
    for path in paths:
        workspace = Workspace.open(path)
        known = next((other for other in opened.values() if other.uuid == workspace.uuid), None)
        if known is not None:
            raise InputError(f"{path} and {known.path} are the same workspace; give one of them.")
        opened[_free_id(workspace.uuid, opened)] = workspace
    with _lock:
        _open.clear()
        _open.update(opened)
    return list(opened)


def ids() -> list[str]:
    """Ids of the open workspaces, in the order they were given."""
    return list(_open)


def workspace(workspace_id: str) -> Workspace:
    """The workspace as it is on disk now: opened again when something was published since.

    Raises WorkspaceError for an id that is not open.
    """
    with _lock:
        fresh = _known(workspace_id).reopened()
        _open[workspace_id] = fresh
        return fresh


def opened(workspace_id: str) -> Workspace:
    """The workspace as it was last opened, without looking at the disk: for requests that come by the hundred."""
    return _known(workspace_id)


def _known(workspace_id: str) -> Workspace:
    found = _open.get(workspace_id)
    if found is None:
        raise WorkspaceError(f"No workspace {workspace_id!r} is open on this server.")
    return found


def _free_id(uuid: str, taken: dict[str, Workspace]) -> str:
    digits = uuid.replace("-", "").lower()
    return next(digits[:n] for n in range(_ID_LENGTH, len(digits) + 1) if digits[:n] not in taken)
