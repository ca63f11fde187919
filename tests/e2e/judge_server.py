"""A server of the judging page, with routes that stand in for ours: `python judge_server.py WORKSPACE HOME [PAGE]`.

POST /stub/judgements keeps what it is sent and answers as POST /stub/mode says; GET /stub/log gives what it kept.
"""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from analysis.labels.classes import imagenet_1k
from analysis.labels.hierarchy import hierarchy_of
from app import routes, server

QUIET: dict[str, Any] = {"status": 200, "refuse": {}, "sources": [], "delay": 0.0, "candidates": 1, "poison": None}
mode = dict(QUIET)
received: list[dict[str, Any]] = []
requests: list[dict[str, Any]] = []


async def set_mode(request: Request) -> Response:
    """Forget what was kept, unless `keep` is said, and answer so from now on."""
    wanted = await request.json()
    if not wanted.pop("keep", False):
        received.clear()
        requests.clear()
        mode.update(QUIET)
    mode.update(wanted)
    return JSONResponse(mode)


async def log(request: Request) -> Response:
    return JSONResponse({"received": received, "requests": requests})


async def take(request: Request) -> Response:
    """Commit, then answer: `status` for an error, `refuse` {verdict: reason} for refusals, `poison` (a verdict)
    for a judgement that spoils its batch with 422, `sources` by place of the candidate to be revealed."""
    batch = (await request.json())["judgements"]
    requests.append({"size": len(batch), "authorization": request.headers.get("authorization", "")[:7]})
    await asyncio.sleep(mode["delay"])
    if mode["status"] != 200:
        return JSONResponse({"error": "The stub is told to say no."}, mode["status"])
    if any(one.get("verdict") == mode["poison"] for one in batch if mode["poison"]):
        return JSONResponse({"error": "There is no such verdict."}, 422)
    refused = [
        {"id": one["id"], "reason": mode["refuse"][one["verdict"]]}
        for one in batch
        if one.get("verdict") in mode["refuse"]
    ]
    no = {one["id"] for one in refused}
    received.extend(one for one in batch if one["id"] not in no)
    revealed = {}
    for reading in {one["reading"] for one in batch if one["kind"] == "verdict"} if mode["sources"] else ():
        judged = [one for one in received if one["reading"] == reading and one["kind"] == "verdict"]
        if len({one["class"] for one in judged}) >= mode["candidates"]:
            shown = judged[0]["shown"]["candidates"]
            revealed[reading] = [{"class": c, "sources": s} for c, s in zip(shown, mode["sources"], strict=False)]
    return JSONResponse(
        {"saved": [one["id"] for one in batch if one["id"] not in no], "refused": refused, "revealed": revealed}
    )


async def classes(request: Request) -> Response:
    known = imagenet_1k()
    hierarchy = hierarchy_of(known)
    assert hierarchy is not None
    above = [
        sorted({hierarchy.names[above] for above in hierarchy.ancestors[node] if above != node})
        for node in hierarchy.of_class.tolist()
    ]
    return JSONResponse(
        [
            {
                "index": row["index"],
                "id": row["id"],
                "name": row["name"],
                "synonyms": row["synonyms"],
                "hypernyms": names,
            }
            for row, names in zip(known.frame.iter_rows(named=True), above, strict=True)
        ]
    )


def main(workspace: str, home: str, page: str = str(Path(__file__).with_name("judge_page.py"))) -> None:
    script = Path(home) / "page.py"
    shutil.copy(page, script)
    for beside in (".streamlit", "static"):
        shutil.copytree(Path(server.__file__).with_name(beside), script.with_name(beside), dirs_exist_ok=True)
    stub = [
        Route("/stub/mode", set_mode, methods=["POST"]),
        Route("/stub/log", log),
        Route("/stub/judgements", take, methods=["POST"]),
        Route("/stub/classes", classes),
    ]
    ours = routes.routes
    server.routes.routes = lambda *settings: [*stub, *ours(*settings)]  # type: ignore[assignment]
    server.serve([workspace], port=int(sys.argv[4]) if len(sys.argv) > 4 else 0, script=script)


if __name__ == "__main__":
    main(*sys.argv[1:4])
