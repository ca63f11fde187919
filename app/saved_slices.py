"""Saved slices on every page: the one that is open beside the slice line, and the menu that saves and opens them.

The address holds the open one as `slice=ID`. Its widget is a field beside the open slice: Streamlit keeps in the
address, through a change of page and the browser's Back, what belongs to a widget that is seen.
"""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

import streamlit as st

from analysis.errors import ErrataError
from analysis.slices import Slice, saved
from analysis.slices.saved import SavedSlice, shortened
from analysis.workspace import Workspace
from app import access
from app.access import Action
from app.text import md_escape

OPEN, WHERE = "slice", "where"
"""Keys of the open slice's id and of the slice line, which are also parameters of the address."""

LONGEST = 1500
"""Conditions that need more characters than this in an address are saved, and the address names them."""

_REFUSED, _NEXT = "slice-refused", "slice-next"
_IS_OPEN = "slice-open"
"""Whether a callback opened (True) or left (False) a slice; where it is not set, the address knows."""
_NAME, _CHOSEN = "slice-name", "slice-chosen"


# ---- the open slice


def begin() -> None:
    """Before the frame's widgets are drawn: what the run before left for them."""
    if _NEXT in st.session_state:
        _show(*st.session_state.pop(_NEXT))


def draw_open(workspace: Workspace) -> SavedSlice | None:
    """The line of the open slice, to see, leave or change it; None, and no line, where the address names none."""
    if not st.session_state.pop(_IS_OPEN, bool(st.query_params.get(OPEN))):
        st.session_state.pop(OPEN, None)  # the browser went back to where none was open
        return None
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="open-slice"):
        name, told = st.container(width="content"), st.container()
        slice_id = st.text_input(
            "Id of the open slice", key=OPEN, bind="query-params", label_visibility="collapsed", width=170
        )
    reason, found = "", None
    try:
        found = saved.load(workspace, slice_id)
        if found is None:
            reason = f"This link names the saved slice “{shortened(slice_id)}”, which is not here."
    except ErrataError as error:
        reason = f"The saved slice cannot be opened: {error}"
    name.button(
        md_escape((found and found.name) or "Saved slice"),
        icon=":material/close:",
        icon_position="right",
        key="slice-leave",
        help="Leave this slice",
        on_click=leave,
    )
    if found is None:
        told.caption(f":material/link_off: {md_escape(reason)}")
        return None
    texts = parsed(found.text).texts()
    with told.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(md_escape(shortened(found.text, 200)), width="content")
        if not too_long(texts):
            st.button(
                "Change",
                type="tertiary",
                key="slice-change",
                help="Put its parts into the slice line",
                on_click=lambda: _show([*texts, *st.session_state.get(WHERE, [])], ""),
            )
    return found


@st.cache_resource(max_entries=32, show_spinner=False)
def parsed(text: str) -> Slice:
    """A saved slice's line, parsed: 50,000 item numbers take a quarter of a second."""
    return Slice.parse(text)


def keep_short(workspace: Workspace, workspace_id: str, whole: Slice, left_out: Sequence[str]) -> None:
    """Where the slice line is too long for an address: save the slice, and open it in the line's place.

    `left_out` are the parts of the line that the slice does not hold; they stay in the line.
    """
    if not too_long(st.session_state.get(WHERE, [])) or too_long(left_out) or not whole.conditions:
        return
    try:
        slice_id = keep(workspace, workspace_id, str(whole))
    except ErrataError as error:
        st.caption(f":material/link_off: The slice is too long for a link, and cannot be saved: {md_escape(error)}")
        return
    st.session_state[_NEXT] = (list(left_out), slice_id)
    st.rerun()


def too_long(texts: Sequence[str]) -> bool:
    """Whether these parts would make an address longer than mail and chat programs leave whole."""
    return len(urlencode([(WHERE, text) for text in texts])) > LONGEST


def keep(workspace: Workspace, workspace_id: str, text: str, name: str | None = None) -> str:
    """Save a slice as the person who looks at the page. Raises ErrataError where that cannot be."""
    who = access.require(access.current_person(), Action.ANNOTATE if name else Action.VIEW, workspace_id)
    return saved.save(workspace, text, name=name, person=who.id)


# ---- the menu


def draw_menu(
    workspace: Workspace, workspace_id: str, whole: Slice, found: SavedSlice | None, lens: dict[str, str | None]
) -> None:
    """Save what is seen under a name, copy its line or its link, open what was saved.

    `lens` are the parameters of the address that say through what the slice is seen.
    """
    line = str(whole)
    if line:
        st.caption("This slice, as `errata slice` takes it")
        st.code(shortened(line, 600), language=None, wrap_lines=True)
        st.caption("A link to it")
        st.code(link(lens, found), language=None)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Name", key=_NAME, max_chars=saved.MAX_NAME, placeholder="For all who use this workspace")
            st.button("Save", key="slice-save", on_click=_save, args=(workspace, workspace_id, line))
    else:
        st.caption("Put conditions into the slice line to save them here under a name.")
    try:
        names = saved.names(workspace)
    except ErrataError as error:
        st.caption(f":material/error: {md_escape(error)}")
        return
    if names:
        st.selectbox(
            "Open a saved slice",
            list(names),
            index=None,
            format_func=lambda slice_id: names.get(slice_id, slice_id),
            key=_CHOSEN,
            placeholder="by name",
            on_change=_open_chosen,
        )
    if found is not None and found.name is not None:
        st.button(
            md_escape(f"Forget {found.name}"),
            type="tertiary",
            icon=":material/delete:",
            key="slice-forget",
            help="Links to it no longer open it",
            on_click=_forget,
            args=(workspace, workspace_id, found.id),
        )


def link(lens: dict[str, str | None], found: SavedSlice | None) -> str:
    """The address of this page through this lens and slice, which opens the same elsewhere."""
    said = [(name, value) for name, value in lens.items() if value is not None]
    said += [(OPEN, found.id)] if found is not None else []
    said += [(WHERE, text) for text in st.session_state.get(WHERE, [])]
    here = urlsplit(st.context.url or "")
    return here._replace(query=urlencode(said), fragment="").geturl()


def draw_refusal() -> None:
    """Why the last callback could not do what was asked."""
    if reason := st.session_state.pop(_REFUSED, None):
        st.caption(f":material/error: {md_escape(reason)}")


# ---- what callbacks do


def leave() -> None:
    """In a callback: close the open slice."""
    st.session_state.pop(OPEN, None)
    st.session_state[_IS_OPEN] = False


def stay() -> None:
    """In a callback that opens another page, which empties the address: keep the slice open there."""
    st.session_state.setdefault(_IS_OPEN, bool(st.session_state.get(OPEN)))


def _show(texts: Sequence[str], slice_id: str) -> None:
    st.session_state[WHERE] = list(texts)
    if not slice_id:
        return leave()
    if OPEN not in st.session_state:
        # The address learns of a value only from a widget that was there before, and is ours to write until then.
        st.query_params[OPEN] = slice_id
    st.session_state[OPEN], st.session_state[_IS_OPEN] = slice_id, True


def show_saved(workspace: Workspace, workspace_id: str, text: str, name: str | None = None) -> dict[str, str]:
    """In a callback: save a slice and open it alone. Where it cannot be saved it goes into the slice line.

    Returns what the address of another page must be given, so that the slice is open there.
    """
    known = OPEN in st.session_state
    try:
        _show([], keep(workspace, workspace_id, text, name))
    except ErrataError as error:
        _show(Slice.parse(text).texts(), "")
        refuse(f"This slice is not saved: {error}")
        return {}
    # As in `_show`: a widget that was there before tells the address itself, and lets nobody else.
    return {} if known else {OPEN: st.session_state[OPEN]}


def refuse(reason: str) -> None:
    """In a callback: have the page say why it did not do what was asked."""
    st.session_state[_REFUSED] = reason


def _save(workspace: Workspace, workspace_id: str, line: str) -> None:
    name = st.session_state[_NAME].strip()
    if not name:
        return refuse("A slice is saved under a name: give it one.")
    try:
        _show([], keep(workspace, workspace_id, line, name))
    except ErrataError as error:
        return refuse(f"This slice is not saved: {error}")
    st.session_state[_NAME] = ""
    st.toast(f"Saved as {md_escape(name)}", icon=":material/bookmark_added:")


def _open_chosen() -> None:
    if (slice_id := st.session_state[_CHOSEN]) is not None:
        _show([], slice_id)
        st.session_state[_CHOSEN] = None


def _forget(workspace: Workspace, workspace_id: str, slice_id: str) -> None:
    try:
        access.require(access.current_person(), Action.ANNOTATE, workspace_id)
        saved.forget(workspace, slice_id)
    except ErrataError as error:
        return refuse(f"Not removed: {error}")
    leave()
