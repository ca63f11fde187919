"""The server: one ASGI app that holds Streamlit's pages and our own routes, under uvicorn."""

import errno
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
import uvicorn
from pydantic import Field
from starlette.middleware import Middleware
from streamlit import config as streamlit_config

from analysis.errors import ErrataError, InputError
from analysis.settings import Settings
from app import access, routes, shelf
from app.middleware import LOOPBACK, HostGuard, Meter, SecurityHeaders

MAIN = Path(__file__).with_name("main.py")
DEFAULT_PORT = 8501

# A browser sends widgets' values, never data: the largest legal message is a small upload's worth.
_LARGEST_MESSAGE = 32_000_000


class ServerSettings(Settings):
    """What the server reads besides, from ERRATA_ALLOWED_HOSTS, ERRATA_SESSION_HOURS, ERRATA_OPEN_TO_NETWORK."""

    allowed_hosts: list[str] = Field(default_factory=list)
    """Names that this server answers to besides localhost; a JSON list."""

    session_hours: float = Field(default=12.0, gt=0)
    """How long a page's session lasts."""

    open_to_network: bool = False
    """Listen on an address of the network although nobody has to sign in."""


def create_app(
    workspaces: Sequence[str | Path], *, settings: ServerSettings | None = None, script: Path = MAIN
) -> st.App:
    """The ASGI app for these workspaces. One a process: Streamlit's configuration belongs to the process.

    Raises WorkspaceError when a workspace cannot be opened. `script` is the Streamlit entry script, beside
    which its `.streamlit/config.toml` is read.
    """
    settings = settings or ServerSettings()
    shelf.put(workspaces)
    access.use_secret(access.stored_secret(settings.home))
    app = st.App(
        script,
        routes=routes.routes(settings.session_hours * 3600),
        middleware=[
            Middleware(Meter),
            Middleware(SecurityHeaders),
            Middleware(HostGuard, hosts=settings.allowed_hosts),
        ],
    )
    # Something may have read the options before the entry script was known, and so without its config.toml.
    streamlit_config.get_config_options(force_reparse=True)
    return app


def serve(
    workspaces: Sequence[str | Path],
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    settings: ServerSettings | None = None,
    script: Path = MAIN,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Serve the workspaces until interrupted; `on_ready` is called with the address once pages are answered.

    Port 0 takes any free one. Raises InputError when the port is in use, or when an address of the network is
    asked for without ERRATA_OPEN_TO_NETWORK, and WorkspaceError when a workspace cannot be opened.
    """
    settings = settings or ServerSettings()
    if host not in LOOPBACK and not settings.open_to_network:
        raise InputError(
            f"Without sign-in, everybody who reaches {host} could read and change everything. Leave --host out "
            f"to serve this machine only, or set ERRATA_OPEN_TO_NETWORK=1 if the network around it is closed."
        )
    listening = _bound_socket(host, port)
    try:
        app = create_app(workspaces, settings=settings, script=script)
        name = f"[{host}]" if ":" in host else {"0.0.0.0": "localhost"}.get(host, host)
        address = f"http://{name}:{listening.getsockname()[1]}"
        options = uvicorn.Config(
            app,
            host=host,
            port=listening.getsockname()[1],
            access_log=False,
            log_level="warning",
            server_header=False,
            ws_max_size=_LARGEST_MESSAGE,
            timeout_graceful_shutdown=3,
        )
        server = _Announcing(options, lambda: on_ready(address))
        server.run(sockets=[listening])
    finally:
        listening.close()
    if not server.started:
        raise ErrataError("The server did not start; the lines above say why.")


class _Announcing(uvicorn.Server):
    """uvicorn's server, which says when it answers."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port in use is known before any workspace is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's delay (44 ms a request) only on sockets that name their protocol.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)  # two servers may bind one port; only one may listen
    except (OSError, OverflowError) as error:
        bound.close()
        raise _bind_problem(error, host, port) from error
    return bound


def _bind_problem(error: OSError | OverflowError, host: str, port: int) -> InputError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return InputError(f"Port {port} on {host} is in use. Try another one, or --port 0 for any that is free.")
    if number in (errno.EACCES, errno.EPERM):
        return InputError(f"Port {port} may not be used by this account. Try one above 1023: --port 8501.")
    return InputError(f"Cannot listen on {host} port {port}: {error}. Give another --host or --port.")
