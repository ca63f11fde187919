"""The most suspicious labels, in short; the Suspects page has all of them and what each signal is worth."""

import polars as pl
import streamlit as st

from analysis.errors import InputError
from analysis.results.suspects import suspected_errors
from analysis.workspace import Workspace
from app import state
from app.frame import Frame, go_to
from app.text import count, md_escape, percent

SHOWN = 25


def show(frame: Frame) -> pl.Series | None:
    """The slice's most suspicious labels by the best signal; a row opens its item."""
    try:
        with st.spinner("Weighing the labels…"):
            found, quality = _suspects(frame.workspace, frame.workspace.version)
    except InputError as error:
        st.caption(md_escape(error))
        return None
    listed = found.join(frame.chosen.select("item"), on="item", how="semi", maintain_order="left")
    text, button = st.columns([8, 2], vertical_alignment="center")
    text.markdown(sentence(listed, quality))
    button.button(
        "All suspects", icon=":material/arrow_forward:", icon_position="right", on_click=go_to, args=("suspects",)
    )
    if listed.is_empty():
        return None
    names = dict(zip(frame.workspace.classes().ids, frame.class_names, strict=True))
    shown = listed.head(SHOWN)
    outcome = frame.rows.select("item", "predicted", "outcome")
    table = shown.join(outcome, on="item", how="left", maintain_order="left").select(
        pl.col("original").replace_strict(names, default=None).alias("original label"),
        pl.col("suggested").replace_strict(names, default=None),
        "predicted",
        "score",
        "key",
    )

    def pick() -> None:
        rows = st.session_state["most-suspect"]["selection"]["rows"]
        if rows and rows[0] < shown.height:
            state.open_item(int(shown["item"][rows[0]]))

    st.dataframe(
        table,
        hide_index=True,
        key="most-suspect",
        on_select=pick,
        selection_mode="single-row",
        height=36 * (table.height + 1),
        column_config={
            "original label": st.column_config.TextColumn(help="Select a row to see its image."),
            "suggested": st.column_config.TextColumn(help="The class that the signal would have instead."),
            "predicted": st.column_config.TextColumn(help=f"By {frame.lens.run}."),
            "score": st.column_config.NumberColumn(format="%.3f", width=70),
        },
    )
    return shown["item"]


@st.cache_resource(max_entries=4, show_spinner=False)
def _suspects(_workspace: Workspace, version: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    return suspected_errors(_workspace)


def sentence(listed: pl.DataFrame, quality: pl.DataFrame) -> str:
    """What the list is sorted by, and how far that is to be trusted, as Markdown."""
    if listed.is_empty():
        return "**No label is suspect** among these images."
    signal = listed["signal"][0]
    shown = count(min(SHOWN, listed.height))
    text = f"The **{shown}** most suspicious of {count(listed.height)} labels by *{md_escape(signal)}*"
    measured = {row["signal"]: row for row in quality.iter_rows(named=True)}
    best = measured.get(signal, {"auroc": None})
    if best["auroc"] is None:
        return f"{text}; no label set here says how far it can be trusted."
    return (
        f"{text}: AUROC {best['auroc']:.3f}, average precision {best['average_precision']:.3f} where "
        f"{percent(best['base_rate'])} of {count(best['n'])} labels are disputed."
    )
