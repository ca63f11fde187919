"""Streamlit's entry script: who is here, which workspace, which page, through which lens."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analysis.errors import ErrataError
from app import drawer, state
from app.frame import WISH, Frame, choose_workspace, draw_frame
from app.text import md_escape
from app.views import browse, compare, export, mistakes, models, overview, review, suspects

View = Callable[[Frame], pl.Series | None]
"""Draws a page; returns the items that it lists, in its order, for the drawer to step through."""

STATIC = Path(__file__).parent / "static"
ICON, LOGO = str(STATIC / "icon.png"), str(STATIC / "logo.svg")
PAGES: list[tuple[View, str, str, str]] = [
    (overview.show, "Overview", ":material/dashboard:", "What have we here, and is it worth trusting?"),
    (browse.show, "Browse", ":material/grid_view:", "What is in it, and where do models fail?"),
    (mistakes.show, "Mistakes", ":material/rule:", "Which mistakes, and why?"),
    (models.show, "Models", ":material/leaderboard:", "How good is each, where?"),
    (compare.show, "Compare", ":material/compare_arrows:", "Is B truly better than A, and on what?"),
    (review.show, "Review", ":material/gavel:", "Let us decide."),
    (suspects.show, "Suspects", ":material/flag:", "Which labels are wrong?"),
    (export.show, "Export", ":material/download:", "May I have the corrected labels?"),
]


def main() -> None:
    """Draw the page that the address names."""
    # A picture of our own: Streamlit would fetch a Material icon for the tab from outside.
    st.set_page_config(page_title="Errata", page_icon=ICON, layout="wide")
    st.logo(LOGO, size="large", icon_image=ICON)
    frames: list[Frame] = []
    listed: list[pl.Series | None] = []

    def page(show: View, title: str, icon: str, question: str) -> StreamlitPage:
        def draw() -> None:
            listed.append(show(frames[0]))

        return st.Page(
            draw, title=title, icon=icon, url_path=title.lower(), default=title == PAGES[0][1], help=question
        )

    pages = {title.lower(): page(show, title, *words) for show, title, *words in PAGES}
    chosen = st.navigation(list(pages.values()))
    _follow_wish(chosen, pages)
    try:
        # Outside of the page: widgets of a page are forgotten when another one is opened, these are on all of them.
        frames.append(draw_frame(choose_workspace()))
        chosen.run()
        drawer.show(frames[0], listed[0])
    except ErrataError as error:
        st.error(md_escape(error), icon=":material/error:")


def _follow_wish(chosen: StreamlitPage, pages: dict[str, StreamlitPage]) -> None:
    """Open the page that a callback asked for (see app.frame.go_to), with the parameters of its own.

    Switching pages empties the address; the widgets bound to it get their values again on the other page.
    """
    if WISH not in st.session_state:
        return
    name, parameters = st.session_state.pop(WISH)
    if chosen.title != pages[name].title:
        st.switch_page(pages[name], query_params=parameters)
    state.close_item()
    for parameter, value in parameters.items():
        state.write(parameter, value)


main()
