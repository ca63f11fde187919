"""What the ways of looking at mistakes do with the slice: leave conditions out of it, and put others in."""

from collections.abc import Iterable

import polars as pl
import streamlit as st

from analysis.slices import Clause, Slice, clause_column
from app.frame import Frame, widen

SHOW, ROWS = "show", "Rows"
"""Key of the chosen way to look, also a parameter of the address; and the way of rows."""
PAIR = ("class", "predicted")


def without(frame: Frame, columns: Iterable[str]) -> tuple[pl.DataFrame, str]:
    """The slice's rows as if it said nothing of some columns, and a text that tells them from other rows.

    So a chart from which one picks a piece keeps its other pieces. A sample and an order stay only where nothing was
    left out.
    """
    gone = set(columns)
    kept = tuple(clause for clause in frame.slice.conditions if clause_column(clause) not in gone)
    if len(kept) == len(frame.slice.conditions):
        return frame.chosen, cache_key(frame, frame.slice)
    wider = Slice(kept)
    return wider.apply(frame.rows), cache_key(frame, wider)


def cache_key(frame: Frame, of: Slice) -> str:
    """What rows depend on: workspace and version, lens, slice. For functions that cache what they make of rows."""
    return repr((frame.workspace.uuid, frame.version, frame.lens, str(of)))


def chosen_pair(frame: Frame) -> tuple[str, str] | None:
    """The names of label and prediction where the slice is narrowed to one of each."""
    found: dict[str, list[str]] = {
        column: [getattr(clause, "value", "") for clause in frame.slice.conditions if clause_column(clause) == column]
        for column in PAIR
    }
    if all(len(values) == 1 and values[0] for values in found.values()):
        return found["class"][0], found["predicted"][0]
    return None


def put(clauses: Iterable[Clause], *, instead_of: Iterable[str] = (), as_rows: bool = False) -> None:
    """In a callback: add conditions to the slice in place of all on `instead_of`, and perhaps show its rows."""
    widen(instead_of)
    st.session_state["where"] = [*st.session_state.get("where", []), *map(str, clauses)]
    if as_rows:
        st.session_state[SHOW] = ROWS
