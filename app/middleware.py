"""What every request passes: hosts and origins, security headers, counters."""

import base64
import hashlib
import ipaddress
import re
import time
from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), "
        "payment=(), usb=(), clipboard-write=(self), fullscreen=(self)"
    ),
}


def hostname(authority: str) -> str:
    """The host of a `Host` header or of an origin's authority, lower case, without port and brackets."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class HostGuard:
    """Refuses names that are not ours (DNS rebinding), and writes and sockets that another site's page opens.

    Addresses written as numbers pass: a rebound name is never one.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self.app = app
        self.hosts = {name.lower() for name in (*LOOPBACK, *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = ""
        status = 403
        if not scope["path"].startswith("/"):
            status, reason = 400, "This is no address: it does not begin with a slash."
        elif not self._ours(hostname(headers.get("host", ""))):
            reason = "This server does not answer to that name. Add it to ERRATA_ALLOWED_HOSTS if it should."
        elif scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin")
            if origin is not None and not self._same_site(origin, headers.get("host", "")):
                reason = "This was asked from another site's page."
        if not reason:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            await JSONResponse({"error": reason}, status)(scope, receive, send)

    def _ours(self, name: str) -> bool:
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _same_site(self, origin: str, host: str) -> bool:
        """Another port of the same name is another site; a proxy's public name counts when it is configured."""
        authority = urlsplit(origin).netloc
        return authority == host or hostname(authority) in self.hosts.difference(LOOPBACK)


class SecurityHeaders:
    """Adds the headers that tell a browser what a page of ours may do; a route's own header wins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", content_security_policy(host))
            await send(message)

        await self.app(scope, receive, send_with_headers)


def content_security_policy(host: str) -> str:
    """The policy of our pages: nothing from elsewhere, no evaluated strings, no inline script but Streamlit's.

    `blob:` scripts are the modules of our components, which Streamlit hands over inline; inline styles are
    Streamlit's own. The host is named for browsers whose 'self' leaves out websockets.
    """
    named = re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", host) is not None
    sockets = f" ws://{host} wss://{host}" if named else ""
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: {' '.join(_inline_script_hashes())}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            f"connect-src 'self'{sockets}",
            "worker-src 'self' blob:",
            "frame-src 'self'",
            "frame-ancestors 'self'",
            "form-action 'self'",
            "base-uri 'self'",
            "object-src 'none'",
        )
    )


@cache
def _inline_script_hashes() -> tuple[str, ...]:
    """CSP sources for the inline scripts of the page that the installed Streamlit serves."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


class Meter:
    """Counts our routes' answers and their time, for /metrics."""

    counts: ClassVar[Counter[tuple[str, int]]] = Counter()
    seconds: ClassVar[dict[str, float]] = {}

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        first = scope["path"].removeprefix("/").partition("/")[0]
        route = (
            first
            if first in ("img", "data", "judgements", "classes", "exports", "session", "health", "metrics")
            else "page"
        )
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            Meter.counts[route, status] += 1
            Meter.seconds[route] = Meter.seconds.get(route, 0.0) + time.perf_counter() - started
