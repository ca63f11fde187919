"""Page state in the URL: what a copied address has to say so that it opens the same view elsewhere.

Widgets keep themselves in the query by `bind="query-params"`; a parameter of such a widget is not touched here
(Streamlit refuses it). This module holds the parameters that belong to no widget: the open item,
and what a view adds. What comes from a URL is input from anywhere: it is parsed, never trusted, and what does
not parse counts as absent.
"""

import streamlit as st

ITEM = "item"

_LARGEST = 2**32 - 1


def read_int(name: str, *, low: int = 0, high: int = _LARGEST) -> int | None:
    """A whole number of the query, None where it is absent, no number or outside low..high."""
    text = st.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return number if low <= (number := int(text)) <= high else None


def write(name: str, value: int | str | None) -> None:
    """Put a parameter into the query; None or an empty text takes it out. Writing what is there does nothing."""
    text = "" if value is None else str(value)
    if text == st.query_params.get(name, ""):
        return
    if text:
        st.query_params[name] = text
    else:
        del st.query_params[name]


def open_item(item: int) -> None:
    """Open the drawer on an item (as a component's `on_open`: the page then runs and finds it in the query).

    From within the drawer only the drawer's body runs again, with the arguments of its first run: so the body
    reads `opened_item` itself, and so do the callbacks made there.
    """
    write(ITEM, item)


def close_item() -> None:
    """Close the drawer (as the dialog's `on_dismiss`)."""
    write(ITEM, None)


def opened_item(n_items: int) -> int | None:
    """The number of the item that the drawer is open on, None when it is closed."""
    return read_int(ITEM, high=n_items - 1) if n_items else None
