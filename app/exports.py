"""Exports that the server keeps: where they lie, who may have them, and the route to their files.

    ERRATA_HOME/exports/WORKSPACE/ID/    an export as analysis.export writes it

Who exports takes everything out at once, so it needs more than looking: an annotator. What reviewers decided may not
be seen by those who still read blind: an export of `reviewed` is for the panel, and so is taking one.
"""

import json
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from analysis.artefacts import explaining, slug
from analysis.errors import InputError
from analysis.settings import settings
from analysis.workspace import Workspace
from app import access, shelf

RECEIPT = "receipt.json"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # An encoding is named so that the compressing middleware leaves what may be large, and mostly packed already.
    "Content-Encoding": "identity",
}


@dataclass(frozen=True)
class Kept:
    """An export that the server keeps."""

    id: str
    receipt: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """What can be downloaded, its receipt last."""
        return [*self.receipt["files"], RECEIPT]


def action_for(base: str | None) -> access.Action:
    """What a person must be allowed to make or take an export; `base` is that of `reviewed`, else None."""
    return access.Action.ANNOTATE if base is None else access.Action.DECIDE


def home(workspace: Workspace) -> Path:
    """Where the exports of a workspace lie."""
    return settings().home / "exports" / slug(workspace.uuid)


def new_folder(workspace: Workspace) -> Path:
    """A folder for a new export; its name is its id, and sorts by time."""
    return home(workspace) / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def kept(workspace: Workspace) -> list[Kept]:
    """Every export that is there, the newest first."""
    folder = home(workspace)
    ids = [path.name for path in folder.iterdir() if _ID.fullmatch(path.name)] if folder.is_dir() else []
    found = [_read(workspace, export_id) for export_id in sorted(ids, reverse=True)]
    return [one for one in found if one is not None]


def remove(workspace: Workspace, export_id: str) -> None:
    """Remove an export; removing what is not there does nothing."""
    if _ID.fullmatch(export_id) and (folder := home(workspace) / export_id).is_dir():
        with explaining(folder):
            shutil.rmtree(folder)


def url(workspace_id: str, export_id: str, file: str) -> str:
    """The address of a file of an export."""
    return f"/exports/{workspace_id}/{export_id}/{quote(file)}"


async def download(request: Request, require: Callable[[Request, access.Action, str], access.Person]) -> Response:
    """A file of an export: one that its receipt lists, or the receipt. `require` is the gate for a request."""
    workspace_id, export_id = request.path_params["workspace"], request.path_params["id"]
    require(request, action_for(None), workspace_id)
    workspace = shelf.opened(workspace_id)
    found = await anyio.to_thread.run_sync(_read, workspace, export_id)
    if found is None:
        raise InputError("There is no such export (any more); reload the page.")
    require(request, action_for(found.receipt["labels"].get("base")), workspace_id)
    file = request.path_params["file"]
    if file not in found.files:
        raise InputError("This export has no such file.")
    return FileResponse(home(workspace) / export_id / file, filename=file, headers=_HEADERS)


def _read(workspace: Workspace, export_id: str) -> Kept | None:
    if not _ID.fullmatch(export_id):
        return None
    try:
        return Kept(export_id, json.loads((home(workspace) / export_id / RECEIPT).read_bytes()))
    except (OSError, ValueError):
        return None
