"""The one gate: may this person do this to that? And the signed tokens by which a browser says who it is.

A page mints a token (`token_for`) and hands it to its components; a component exchanges it once at
`POST /session` for an HttpOnly cookie, which then serves its GETs. Both are signed and expire. Neither decides
anything by itself: each request asks `allowed` about the person as known now.

Without sign-in there is one local user who may do everything; the server then listens on this machine only.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path

from itsdangerous import BadData, URLSafeSerializer

from analysis.errors import ErrataError

TOKEN_SECONDS = 15 * 60.0
SESSION_SECONDS = 12 * 3600.0


class Role(StrEnum):
    """What a person is in a team; each may do all that those before it may."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    PANEL = "panel"
    ADMIN = "admin"


class Action(Enum):
    """What can be asked for; the value is the least role that may do it."""

    VIEW = Role.VIEWER
    ANNOTATE = Role.ANNOTATOR
    DECIDE = Role.PANEL
    ADMINISTER = Role.ADMIN


@dataclass(frozen=True)
class Person:
    """Somebody who uses the app; `id` is stable, `name` is for people."""

    id: str
    name: str
    role: Role


LOCAL = Person("local", "Local user", Role.ADMIN)


class Denied(ErrataError):
    """The gate said no. `status` is 401 when it is not known who asks, 403 when they may not."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Grant:
    """What a token or a session says: who, for which workspaces, until when (seconds since 1970)."""

    person_id: str
    workspaces: tuple[str, ...]
    expires: float


def current_person() -> Person:
    """Who is looking at the page that is being rendered."""
    return LOCAL


def person(person_id: str) -> Person | None:
    """The person with this id as known now, None for somebody who is not (or no longer) known."""
    return LOCAL if person_id == LOCAL.id else None


def allowed(who: Person | None, action: Action, workspace_id: str) -> bool:
    """May this person do this to that workspace?"""
    if who is None or not workspace_id:
        return False
    ranks = list(Role)
    return ranks.index(who.role) >= ranks.index(action.value)


def require(who: Person | None, action: Action, workspace_id: str) -> Person:
    """The person, when they may; else Denied."""
    if who is None:
        raise Denied("Sign in to see this.", 401)
    if not allowed(who, action, workspace_id):
        raise Denied(f"{who.name} may not {action.name.lower()} here; ask an admin for the role.", 403)
    return who


def require_session(session: str | None, action: Action, workspace_id: str) -> Person:
    """The person behind a session cookie, when it is valid, covers the workspace, and they may; else Denied."""
    grant = read_session(session)
    if workspace_id not in grant.workspaces:
        raise Denied("This session is not for that workspace; open it from the app.", 403)
    return require(person(grant.person_id), action, workspace_id)


# ---- tokens and sessions

_secret = secrets.token_bytes(32)
_minted: dict[tuple[str, tuple[str, ...]], tuple[str, float]] = {}
_lock = threading.Lock()


def use_secret(secret: bytes) -> None:
    """Sign with this from now on; what was signed with another secret is no longer valid."""
    global _secret
    with _lock:
        _secret = secret
        _minted.clear()


def stored_secret(home: Path) -> bytes:
    """The secret kept in the server's home (made when there is none, readable by its owner only).

    It survives a restart, so open pages go on working. Where the home cannot be written, a secret for this
    process alone.
    """
    path = home / "session.key"
    try:
        home.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            path.chmod(0o600)
            if len(secret := path.read_bytes()) >= 32:
                return secret
            path.unlink()  # a writer died between making and filling it
            return stored_secret(home)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret := secrets.token_bytes(32))
        return secret
    except OSError:
        return secrets.token_bytes(32)


def mint(who: Person, workspace_ids: Iterable[str], lifetime: float = TOKEN_SECONDS) -> str:
    """A signed token for this person and these workspaces, good for `lifetime` seconds."""
    return _signer("token").dumps([who.id, sorted(workspace_ids), time.time() + lifetime])


def token_for(who: Person, workspace_ids: Iterable[str]) -> str:
    """A token with at least half its life left; the same one as before while that holds.

    So a page that runs again hands its components unchanged data.
    """
    key = (who.id, tuple(sorted(workspace_ids)))
    with _lock:
        token, fresh_until = _minted.get(key, ("", 0.0))
        if time.time() >= fresh_until:
            token = mint(who, key[1])
            _minted[key] = (token, time.time() + TOKEN_SECONDS / 2)
        return token


def exchange(token: str | None, lifetime: float = SESSION_SECONDS) -> str:
    """A session for a valid token of a known person; else Denied."""
    grant = _read("token", token, "This page's key has expired; reload the page.")
    if person(grant.person_id) is None:
        raise Denied("Sign in to see this.", 401)
    return _signer("session").dumps([grant.person_id, list(grant.workspaces), time.time() + lifetime])


def read_session(session: str | None) -> Grant:
    """What a session says, when it is genuine and not over; else Denied."""
    return _read("session", session, "Your session is over; reload the page.")


def _signer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(_secret, salt=f"errata.{purpose}")


def _read(purpose: str, signed: str | None, over: str) -> Grant:
    if not signed:
        raise Denied("Open this from a page of the app.", 401)
    strange = Denied("This key was not made by this server; reload the page.", 401)
    try:
        said = _signer(purpose).loads(signed)
    except (BadData, ValueError) as error:
        raise strange from error
    match said:
        case [str(person_id), [*workspaces], int() | float() as expires] if all(isinstance(w, str) for w in workspaces):
            if not time.time() < expires:
                raise Denied(over, 401)
            return Grant(person_id, tuple(workspaces), expires)
    raise strange
