"""What all components share: the session a browser shows to our routes, tiles, and the common script and style.

Each component's JavaScript is sent whole, with the common prelude in front, so that it needs no other file.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.components.v2.types import ComponentRenderer

from app import access, shelf
from app.components.outcomes import LOOKS, Outcome, stylesheet

_HERE = Path(__file__).parent

ZOOM = _HERE / "zoom.js"
"""The part for components in which people look closer at an image."""


@dataclass(frozen=True)
class Session:
    """What a component shows to our routes: the workspace's id, and a token to exchange for a cookie."""

    workspace: str
    token: str


def page_session(workspace_id: str) -> Session:
    """The session of the person looking at this page for one workspace.

    Raises app.access.Denied when they may not see it.
    """
    who = access.require(access.current_person(), access.Action.VIEW, workspace_id)
    return Session(workspace_id, access.token_for(who, shelf.ids() or [workspace_id]))


@dataclass(frozen=True)
class Tile:
    """One item as a small picture with its words; all texts are plain, never Markdown.

    `hash` is the image's content hash, None for an item without pixels (its key and label are shown instead).
    `problem` says why an image that should be there cannot be shown. `outcome` colours and signs the
    prediction. `note` is a short further word, such as a similarity.
    """

    item: int
    key: str
    hash: str | None = None
    label: str | None = None
    prediction: str | None = None
    outcome: Outcome | None = None
    note: str | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def register(name: str, folder: Path, parts: Sequence[Path] = ()) -> ComponentRenderer:
    """The component in `folder`/`name`.js and .css, as Streamlit's mounting command. Call it once, at import.

    `parts` are further scripts that it needs in front of its own (ZOOM, or files of its folder); a part's
    stylesheet of the same name comes along where there is one.
    """
    signs = "\n".join(f'  {outcome}: "{look.sign}",' for outcome, look in LOOKS.items())
    scripts = [_HERE / "prelude.js", *parts, folder / f"{name}.js"]
    styles = [_HERE / "base.css", *(part.with_suffix(".css") for part in parts), folder / f"{name}.css"]
    script = "\n".join([f"const SIGNS = {{\n{signs}\n}};", *(path.read_text(encoding="utf-8") for path in scripts)])
    style = "\n".join([stylesheet(), *(path.read_text(encoding="utf-8") for path in styles if path.exists())])
    return st.components.v2.component(f"errata_{name}", html='<div class="errata"></div>', css=style, js=script)


def triggered(key: str, name: str, react: Callable[[Any], None] | None) -> Callable[[], None]:
    """A Streamlit callback that hands the value of trigger `name` of component `key` to `react`."""

    def callback() -> None:
        value = (st.session_state.get(key) or {}).get(name)
        if react is not None and value is not None:
            react(value)

    return callback


def whole(value: Any) -> int | None:
    """A number that a browser sent, None when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def packed(values: NDArray[np.uint8] | NDArray[np.bool_]) -> str:
    """An array for the browser as base64: bytes as they are, booleans as bits (first item = lowest bit)."""
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values.astype(np.uint8)
    return base64.b64encode(data.tobytes()).decode("ascii")
