"""What the judging component talks to: judgements are taken here, and classes are told by name.

A judgement comes with a bearer token and names a *reading*: an item of a queue in one person's hands. Its id is
made by this server and cannot be guessed, so that nobody judges what was not handed to them; who, when, for which
queue and with which probability is the server's to say. What is answered as saved is on the disk. The words of the
protocol stand in app/components/judge.
"""

import hmac
import json
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from analysis.errors import InputError, LockedError, WorkspaceError
from analysis.results.taxonomy import hierarchy
from analysis.review import readings
from analysis.review.checks import LONGEST_TEXT, LONGEST_WORD
from analysis.review.kinds import Cause, Exhaustive, Note, Outside, Problem, Statement, Undo, Verdict
from analysis.review.readings import Reading, Said
from analysis.settings import settings
from analysis.workspace import Workspace
from app import access, shelf

MOST = 500
"""Judgements of one request."""
MOST_BYTES = 1_000_000

# Writers of one workspace wait for each other anyway; more threads would only wait too.
_saving = anyio.CapacityLimiter(8)


# ---- readings


def reading_id(workspace: Workspace, person_id: str, reading: Reading) -> str:
    """The id under which a page hands a reading to a person; the same one each time.

    It does not tell whether the reading is a hidden repeat.
    """
    return f"{reading.queue}.{reading.item}.{_seal(workspace, person_id, reading)}"


def reading_of(workspace: Workspace, person_id: str, id: str) -> Reading:
    """The reading of this id. Raises InputError when this server did not hand it to that person."""
    queue, _, rest = id.partition(".")
    item, _, seal = rest.partition(".")
    if item.isascii() and item.isdigit() and len(item) <= 10 and seal.isascii():
        for again in (False, True):
            reading = Reading(queue, int(item), again)
            if hmac.compare_digest(seal, _seal(workspace, person_id, reading)):
                return reading
    raise InputError("This reading was not handed to you by this server; reload the page.")


def _seal(workspace: Workspace, person_id: str, reading: Reading) -> str:
    what = [workspace.uuid, person_id, reading.queue, reading.item, reading.again]
    return blake2b(json.dumps(what).encode(), key=_secret(), digest_size=12, person=b"errata.reading").hexdigest()


@lru_cache(maxsize=1)
def _secret() -> bytes:
    """Kept in the server's home, so that what waits in a browser while the server starts anew is taken."""
    return blake2b(access.stored_secret(settings().home)).digest()


# ---- what a browser sends


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


Index = Annotated[int, Field(ge=0, lt=2**31)]
Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{8,64}$")]


class _Shown(_Strict):
    candidates: Annotated[list[Index], Field(max_length=200)]
    image: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,128}$")] | None


class _Sent(_Strict):
    """What all judgements have."""

    id: Id
    reading: Annotated[str, Field(max_length=200)]
    item: Index
    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    shown: _Shown
    guideline: Annotated[str, Field(max_length=LONGEST_WORD)] | None = None
    """Which version the page showed; the one that is kept is the queue's."""


Word = Annotated[str, Field(max_length=50)]


class _Verdict(_Sent):
    kind: Literal["verdict"]
    index: Annotated[Index, Field(alias="class")]
    verdict: Literal["valid", "wrong", "unsure", "needs_expert"]

    def says(self) -> Statement:
        return Verdict(self.item, self.index, self.verdict)


class _Cause(_Sent):
    kind: Literal["cause"]
    index: Annotated[Index, Field(alias="class")]
    cause: Word | None = None
    severity: Literal["major", "minor", "borderline"] | None = None

    def says(self) -> Statement:
        return Cause(self.item, self.index, self.cause, self.severity)


class _Problem(_Sent):
    kind: Literal["problem"]
    problem: Word

    def says(self) -> Statement:
        return Problem(self.item, self.problem)


class _Exhaustive(_Sent):
    kind: Literal["exhaustive"]

    def says(self) -> Statement:
        return Exhaustive(self.item)


class _Outside(_Sent):
    kind: Literal["outside"]
    text: Annotated[str, Field(max_length=LONGEST_WORD)]

    def says(self) -> Statement:
        return Outside(self.item, self.text)


class _Note(_Sent):
    kind: Literal["note"]
    text: Annotated[str, Field(max_length=LONGEST_TEXT)]

    def says(self) -> Statement:
        return Note(self.item, self.text)


class _Undo(_Sent):
    kind: Literal["undo"]
    undoes: Id

    def says(self) -> Statement:
        return Undo(self.item, self.undoes)


_Judgement = Annotated[
    _Verdict | _Cause | _Problem | _Exhaustive | _Outside | _Note | _Undo, Field(discriminator="kind")
]
_judgement: TypeAdapter[Any] = TypeAdapter(_Judgement)
_id: TypeAdapter[str] = TypeAdapter(Id)


def _parsed(data: bytes) -> dict[str, Any]:
    """The judgements of a body as JSON by id, in their order. Raises InputError when it is no list of judgements."""
    try:
        body = json.loads(data)
        found = body["judgements"]
        ids = [_id.validate_python(one["id"], strict=True) for one in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError('What was posted is not {"judgements": [...]} with an id each.') from error
    if len(ids) > MOST:
        raise InputError(f"At most {MOST} judgements are taken at once.")
    if len(set(ids)) < len(ids):
        raise InputError("Two judgements of one request have the same id.")
    return dict(zip(ids, found, strict=True))


def _read(workspace: Workspace, person_id: str, sent: dict[str, Any]) -> tuple[list[Said], dict[str, str]]:
    """Judgements that are well formed and of the person's own readings; the others by id with the reason."""
    said, refused = [], {}
    for id, one in sent.items():
        try:
            read = _judgement.validate_python(one)
            said.append(
                Said(
                    id=id,
                    reading=reading_of(workspace, person_id, read.reading),
                    says=read.says(),
                    shown=tuple(read.shown.candidates),
                    seconds=read.seconds,
                    hash=read.shown.image,
                )
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            refused[id] = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        except InputError as error:
            refused[id] = str(error)
    return said, refused


# ---- routes


async def save(request: Request) -> Response:
    """Save judgements of the token's person; answers once they are on the disk."""
    workspace_id = request.path_params["workspace"]
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    session = access.exchange(token if scheme.lower() == "bearer" else None)
    who = access.require_session(session, access.Action.ANNOTATE, workspace_id)
    workspace = shelf.opened(workspace_id)
    data = await _body(request)
    if data is None:
        return _no(413, f"At most {MOST_BYTES // 1_000:,} kB of judgements are taken at once.")
    try:
        sent = _parsed(data)
        answer = await anyio.to_thread.run_sync(_save, workspace, who.id, sent, limiter=_saving)
    except InputError as error:
        return _no(400, str(error))
    except (LockedError, WorkspaceError) as error:
        return _no(503, f"{error} What was judged is kept in your browser and will be sent again.")
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _save(workspace: Workspace, person_id: str, sent: dict[str, Any]) -> dict[str, Any]:
    said, refused = _read(workspace, person_id, sent)
    kept = readings.save(workspace, person_id, said)
    named = {one.reading: sent[one.id]["reading"] for one in said}
    return {
        "saved": kept.saved,
        "refused": [{"id": id, "reason": _plain(why)} for id, why in (refused | kept.refused).items()],
        "revealed": {
            named[reading]: [{"class": index, "sources": list(sources)} for index, sources in candidates]
            for reading, candidates in kept.revealed.items()
        },
    }


async def _body(request: Request) -> bytes | None:
    """The request's body; None for one that is too large, of which no more is read."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MOST_BYTES:
            return None
    return bytes(found)


def _no(status: int, reason: str) -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "2"} if status == 503 else {})
    return JSONResponse({"error": _plain(reason)}, status, headers=headers)


def _plain(reason: str) -> str:
    """A reason short enough to be shown, without halves of surrogate pairs that a browser may have sent."""
    return reason[:300].encode("utf-8", "replace").decode()


@lru_cache(maxsize=8)
def classes(workspace: Workspace) -> tuple[bytes, str]:
    """The class list for the class picker, as JSON, and its ETag.

    [{"index", "id", "name", "synonyms": [...], "hypernyms": [names of all that is above it]}]
    """
    above = hierarchy(workspace)
    rows = []
    for row in workspace.classes().frame.select("index", "id", "name", "synonyms").iter_rows(named=True):
        node = -1 if above is None else int(above.of_class[row["index"]])
        higher = [] if above is None or node < 0 else sorted({above.names[n] for n in above.ancestors[node] - {node}})
        rows.append({**row, "synonyms": row["synonyms"] or [], "hypernyms": higher})
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return text, f'"{blake2b(text, digest_size=12).hexdigest()}"'
