"""Long lists, a page at a time; which page stands in the address."""

import streamlit as st


def page_number(pages: int, key: str, *, visible: int = 5) -> int:
    """The page that is seen, from 1, and the buttons to turn it; none for a single page.

    A list that grew shorter than the page in the address shows its last one.
    """
    if pages > 1:
        return st.pagination(pages, key=key, bind="query-params", max_visible_pages=visible)
    return min(st.session_state.get(key, 1), pages)
