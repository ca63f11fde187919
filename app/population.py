"""Which items a comparison of runs is about: those of the slice, but never chosen by what a run predicted."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from analysis.items import LENS_COLUMNS
from analysis.lens import metadata_columns
from analysis.slices import Clause, Items, Slice
from app.frame import Frame, go_to, open_slice, show_only
from app.text import md_escape, plural

OF_ITEMS = ("class", "target", "cluster")
"""Of the columns that a lens adds, those that hang on no run."""
OF_ALL_RUNS = ("wrong_by", "wrong_same")


@dataclass(frozen=True, eq=False)
class Population:
    """The items compared on."""

    items: NDArray[np.uint32] | None
    """By number, sorted; None: all."""
    slice: Slice
    """The conditions that chose them."""
    left_out: list[str]
    """Conditions on predictions, as text: keeping to items that a run has right would decide the comparison."""

    @property
    def key(self) -> str:
        """Tells populations of one workspace apart, for caches."""
        return str(self.slice)


def population(frame: Frame) -> Population:
    """The items of the slice without its conditions on predictions (its order says nothing here)."""
    own = set(metadata_columns(frame.workspace))
    kept: list[Clause] = []
    left_out = []
    for clause in frame.slice.conditions:
        columns = set(Slice((clause,)).columns())
        if any(_of_runs(column) for column in columns - own):
            left_out.append(str(clause))
        else:
            kept.append(clause)
    chosen = Slice(tuple(kept), frame.slice.sample)
    if not kept and chosen.sample is None:
        return Population(None, Slice(), left_out)
    return Population(chosen.apply(frame.rows)["item"].sort().to_numpy().astype(np.uint32), chosen, left_out)


def _of_runs(column: str) -> bool:
    kind, at, _ = column.partition("@")
    lens = kind in LENS_COLUMNS and kind not in OF_ITEMS
    return column in OF_ALL_RUNS or lens or (bool(at) and kind == "verdict")


def describe(about: Population) -> None:
    """Say which items are compared on, where these are not all, and what of the slice is not followed."""
    if about.items is not None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                f":material/filter_alt: Compared on the {plural(len(about.items), 'item')} of the slice.",
                width="content",
            )
            st.button("Compare on all", type="tertiary", key="compare-on-all", on_click=show_only, args=([],))
    for text in about.left_out:
        st.caption(
            f":material/filter_alt_off: {md_escape(text)} is about predictions and is not followed here: it would "
            f"decide the comparison."
        )


# ---- what callbacks do


def open_where(about: Population, conditions: Iterable[Clause], run: str | None = None) -> None:
    """In a callback: show these items of the population in Browse; `run` is looked through there, if given."""
    chosen: Iterable[Clause] = about.slice.conditions
    if about.slice.sample is not None and about.items is not None:
        chosen = (Items(tuple(about.items.tolist())),)
    show_only([*chosen, *conditions])
    if run is not None:
        st.session_state["run"] = run
    go_to("browse")


def open_items(frame: Frame, items: Iterable[int], name: str) -> None:
    """In a callback: show a list of items in Browse, as a saved slice of this name."""
    open_slice(frame, str(Slice((Items(tuple(items)),))), name)
