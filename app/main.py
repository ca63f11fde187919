"""Streamlit's entry script: who is here, which workspace, which page, through which lens."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analysis.errors import ErrataError
from app import access, drawer, state
from app.frame import WISH, Frame, choose_workspace, draw_frame
from app.text import md_escape
from app.views import browse, mistakes, overview

ICON = str(Path(__file__).parent / "static" / "icon.png")
LOGO = str(Path(__file__).parent / "static" / "logo.svg")
PAGES: list[tuple[Callable[[Frame], None], str, str, str]] = [
    (overview.show, "Overview", ":material/dashboard:", "What have we here, and is it worth trusting?"),
    (browse.show, "Browse", ":material/grid_view:", "What is in it, and where do models fail?"),
    (mistakes.show, "Mistakes", ":material/rule:", "Which mistakes, and why?"),
]


def main() -> None:
    """Draw the page that the address names."""
    # A picture of our own: Streamlit would fetch a Material icon for the tab from outside.
    st.set_page_config(page_title="Errata", page_icon=ICON, layout="wide")
    st.logo(LOGO, size="large", icon_image=ICON)
    frame: list[Frame] = []

    def page(show: Callable[[Frame], None], title: str, icon: str, question: str) -> StreamlitPage:
        return st.Page(
            lambda: show(frame[0]),
            title=title,
            icon=icon,
            url_path=title.lower(),
            default=title == PAGES[0][1],
            help=question,
        )

    pages = {title.lower(): page(show, title, *words) for show, title, *words in PAGES}
    chosen = st.navigation(list(pages.values()))
    _follow_wish(chosen, pages)
    try:
        workspace_id = choose_workspace()
        access.require(access.current_person(), access.Action.VIEW, workspace_id)
        frame.append(draw_frame(workspace_id))
        chosen.run()
        drawer.show(frame[0])
    except ErrataError as error:
        st.error(md_escape(error), icon=":material/error:")


def _follow_wish(chosen: StreamlitPage, pages: dict[str, StreamlitPage]) -> None:
    """Open the page that a callback asked for (see app.frame.go_to), with the parameters of its own."""
    if WISH not in st.session_state:
        return
    name, parameters = st.session_state[WISH]
    if chosen.title != pages[name].title:
        # Without parameters: given some, Streamlit would drop those that widgets are bound to.
        st.switch_page(pages[name])
    del st.session_state[WISH]
    state.close_item()
    for parameter, value in parameters.items():
        state.write(parameter, value)


main()
