"""Our own HTTP routes beside Streamlit's: images, map data, sessions, health, metrics.

Every answer to a refused or impossible request is JSON, `{"error": reason in words}`. Nothing that a browser
sends becomes a path: it names a workspace, an item's number, a size of the list and a hash that must be right.
Blocking work runs in a few threads of its own, off the event loop.
"""

import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np
import polars as pl
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from analysis import thumbnails
from analysis.errors import ErrataError
from analysis.thumbnails import ImageProblem
from analysis.workspace import Space, Workspace
from app import access, exports, judgements, shelf
from app.middleware import LOOPBACK, Meter

FOR_EVER = "private, max-age=31536000, immutable"
OURS = ("img", "data", "judgements", "classes", "exports")
SIZES = (*(str(size) for size in thumbnails.SIZES), "full")

_STATUS = {"missing": 410, "changed": 410, "unreadable": 422}

# Decoding holds memory for every pixel: a handful at a time, whatever number of tiles a page asks for.
_decoding = anyio.CapacityLimiter(max(2, min(8, os.cpu_count() or 2)))

T = TypeVar("T")


class Refusal(ErrataError):
    """A request that cannot be answered, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def routes(session_seconds: float = access.SESSION_SECONDS) -> list[BaseRoute]:
    """The routes to mount beside Streamlit's own."""
    return [
        Route("/img/{workspace}/{item}/{size}/{hash}", _guarded(image), methods=["GET"]),
        Route("/data/{workspace}/{space}/{version}/points", _guarded(points), methods=["GET"]),
        Route("/data/{workspace}/item/{item}", _guarded(item_words), methods=["GET"]),
        Route("/judgements/{workspace}", _guarded(judgements.save), methods=["POST"]),
        Route("/classes/{workspace}", _guarded(classes), methods=["GET"]),
        Route(
            "/exports/{workspace}/{id}/{file}", _guarded(partial(exports.download, require=_require)), methods=["GET"]
        ),
        # Else Streamlit's page would answer, with status 200.
        *[Route(f"/{ours}{below}", _guarded(nothing)) for ours in OURS for below in ("", "/{rest:path}")],
        Route("/session", _guarded(partial(session, seconds=session_seconds)), methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


def cookie_name() -> str:
    """The session cookie's name: its own for each set of workspaces, as cookies do not tell ports apart."""
    return f"errata_{blake2b(','.join(sorted(shelf.ids())).encode(), digest_size=4).hexdigest()}"


def image_url(workspace_id: str, item: int, size: int | str, content_hash: str) -> str:
    """The address of an item's image: `size` is one of SIZES."""
    return f"/img/{workspace_id}/{item}/{size}/{content_hash}"


def points_url(workspace_id: str, space: Space) -> str:
    """The address of a space's projected points."""
    return f"/data/{workspace_id}/{space.slug}/{space.version}/points"


async def nothing(request: Request) -> Response:
    """What is below our addresses and is none of them."""
    raise Refusal(404, "There is nothing at this address.")


# ---- images


async def image(request: Request) -> Response:
    """An item's picture: a WebP thumbnail, or with size `full` the image as it is."""
    workspace_id, item = request.path_params["workspace"], _item(request)
    size, content_hash = request.path_params["size"], request.path_params["hash"]
    _require(request, access.Action.VIEW, workspace_id)
    if size not in SIZES:
        raise Refusal(404, f"There is no size {size!r}; there are {', '.join(SIZES)}.")
    etag = f'"{content_hash}-{size}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": FOR_EVER})
    picture = await _in_thread(partial(_picture, workspace_id, item, size, content_hash))
    return Response(
        picture.data,
        media_type=picture.media_type,
        headers={
            "Cache-Control": FOR_EVER,
            "ETag": etag,
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Content-Disposition": "inline",
        },
    )


def _picture(workspace_id: str, item: int, size: str, content_hash: str) -> thumbnails.Picture:
    workspace = _holding(workspace_id, item, content_hash)
    path = workspace.items().item(item, "path")
    root = workspace.image_root
    if root is None or path is None:
        raise Refusal(404, "This item has no image.")
    try:
        file = thumbnails.inside(root, path)
        if size == "full":
            return thumbnails.full_picture(file, content_hash)
        small = thumbnails.thumbnail(file, content_hash, int(size), workspace.thumbnails)
        return thumbnails.Picture(small.read_bytes(), "image/webp")
    except ImageProblem as problem:
        raise Refusal(_STATUS[problem.cause], f"Item {item}: {problem}.") from problem


def _holding(workspace_id: str, item: int, content_hash: str) -> Workspace:
    """The workspace when it knows the item with this content: as opened, else as it is on disk now."""
    reason = Refusal(404, f"There is no item {item}.")
    for read in (shelf.opened, shelf.workspace):
        workspace = read(workspace_id)
        items = workspace.items()
        if not 0 <= item < items.height:
            continue
        if items.item(item, "missing"):
            reason = Refusal(410, f"Item {item} is no longer in the dataset.")
        elif items.item(item, "hash") is None:
            why = items.item(item, "problem")
            reason = Refusal(422, f"Item {item}: {why}.") if why else Refusal(404, "This item has no image.")
        elif items.item(item, "hash") != content_hash:
            reason = Refusal(404, f"Item {item} has another image by now; reload the page.")
        else:
            return workspace
    raise reason


# ---- map data


async def points(request: Request) -> Response:
    """Positions of all items in a space's projection: float32 x, y, little endian, NaN where there is none."""
    workspace_id = request.path_params["workspace"]
    slug, version = request.path_params["space"], request.path_params["version"]
    _require(request, access.Action.VIEW, workspace_id)
    etag = f'"{version}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": FOR_EVER})
    data = await _in_thread(partial(_points, workspace_id, slug, version))
    return Response(
        data,
        media_type="application/octet-stream",
        # An encoding is named so that the compressing middleware leaves it: coordinates do not shrink.
        headers={"Cache-Control": FOR_EVER, "ETag": etag, "Content-Encoding": "identity"},
    )


def _points(workspace_id: str, slug: str, version: str) -> bytes:
    for read in (shelf.opened, shelf.workspace):
        workspace = read(workspace_id)
        for space in workspace.spaces():
            if (space.slug, space.version) == (slug, version):
                return _positions(space.folder, workspace.items().height)
    raise Refusal(404, "There is no such map (any more); reload the page.")


@lru_cache(maxsize=4)
def _positions(version: Path, n_items: int) -> bytes:
    file = version / "projection.parquet"
    if not file.exists():
        raise Refusal(404, "This space has no projection yet.")
    try:
        projection = pl.read_parquet(file, glob=False)
    except pl.exceptions.PolarsError as error:
        raise Refusal(404, "This map's file is damaged; build the space again.") from error
    return item_positions(projection["item"].to_numpy(), projection.select("x", "y").to_numpy(), n_items).tobytes()


def item_positions(
    items: NDArray[np.uint32], positions: NDArray[np.floating[Any]], n_items: int
) -> NDArray[np.float32]:
    """(n_items, 2) float32 little endian: row = item number, NaN for an item without a position."""
    placed = np.full((n_items, 2), np.nan, dtype="<f4")
    placed[items] = positions
    return placed


async def item_words(request: Request) -> Response:
    """What a hovered point of a map is: {"key", "label", "hash", "problem"}, each text or null."""
    workspace_id, item = request.path_params["workspace"], _item(request)
    _require(request, access.Action.VIEW, workspace_id)
    words = await _in_thread(partial(_words, workspace_id, item))
    return JSONResponse(words, headers={"Cache-Control": "private, max-age=60"})


def _words(workspace_id: str, item: int) -> dict[str, str | None]:
    workspace = shelf.opened(workspace_id)
    items = workspace.items()
    if item >= items.height:
        raise Refusal(404, f"There is no item {item}.")
    row = items.row(item, named=True)
    label = None if row["label"] is None else _class_names(workspace)[row["label"]]
    return {"key": row["key"], "label": label, "hash": row["hash"], "problem": row["problem"]}


@lru_cache(maxsize=8)
def _class_names(workspace: Workspace) -> list[str]:
    return workspace.classes().display_names()


# ---- classes


async def classes(request: Request) -> Response:
    """The class list for the class picker; see app/judgements.py."""
    workspace_id = request.path_params["workspace"]
    _require(request, access.Action.VIEW, workspace_id)
    data, etag = await _in_thread(lambda: judgements.classes(shelf.opened(workspace_id)))
    headers = {"ETag": etag, "Cache-Control": "private, max-age=300"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/json", headers=headers)


# ---- sessions, health, metrics


async def session(request: Request, seconds: float) -> Response:
    """Exchange the bearer token of a page for a session cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    value = access.exchange(token if scheme.lower() == "bearer" else None, seconds)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        cookie_name(),
        value,
        max_age=int(seconds),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def health(request: Request) -> Response:
    """Alive, and with how many workspaces."""
    return JSONResponse({"status": "ok", "workspaces": len(shelf.ids())}, headers={"Cache-Control": "no-store"})


async def metrics(request: Request) -> Response:
    """Counters in Prometheus' text format, for this machine only."""
    direct = request.client is not None and request.client.host in (*LOOPBACK, "testclient")
    if not direct or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return JSONResponse({"error": "Metrics are given on the server's own machine only."}, 403)
    lines = ["# TYPE errata_requests_total counter"]
    for (route, status), count in sorted(Meter.counts.items()):
        lines.append(f'errata_requests_total{{route="{route}",status="{status}"}} {count}')
    lines.append("# TYPE errata_request_seconds_total counter")
    for route, total in sorted(Meter.seconds.items()):
        lines.append(f'errata_request_seconds_total{{route="{route}"}} {total:.6f}')
    lines += ["# TYPE errata_threads gauge", f"errata_threads {threading.active_count()}", ""]
    return PlainTextResponse("\n".join(lines), headers={"Cache-Control": "no-store"})


# ---- in common


def _require(request: Request, action: access.Action, workspace_id: str) -> access.Person:
    return access.require_session(request.cookies.get(cookie_name()), action, workspace_id)


def _item(request: Request) -> int:
    """The item's number in the address."""
    text = request.path_params["item"]
    if not re.fullmatch("[0-9]{1,10}", text):
        raise Refusal(404, f"There is no item {text[:20]!r}.")
    return int(text)


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work, limiter=_decoding)


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with our errors as JSON. Nothing that failed is cached."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (access.Denied, Refusal) as error:
            return _refused(error.status, str(error))
        except ErrataError as error:
            return _refused(404, str(error))

    return answer


def _refused(status: int, reason: str) -> Response:
    body = json.dumps({"error": reason}, ensure_ascii=False)
    return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})
