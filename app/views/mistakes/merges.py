"""Classes that could be one: merges proposed from the graph of confusions, and the accuracy with them."""

import polars as pl
import streamlit as st

from analysis.results.mistakes import OF_OUTCOMES, Proposal, proposed_merges
from analysis.slices import Clause, Condition, OneOf
from analysis.workspace import Workspace
from app.charts.mistakes import merge_steps
from app.charts.shown import chart
from app.frame import Frame
from app.text import count, md_escape, percent, plural
from app.views.mistakes.slicing import PAIR, put, without

RATES = (5, 10, 15, 20, 30)
"""Percent of a class's images that are taken for another one, from which on a merge is proposed."""


def show(frame: Frame) -> pl.Series | None:
    """The merges as a table beside accuracy by their number; a row or a point leads to the images it makes right."""
    text, choice = st.columns([78, 22], gap="medium", vertical_alignment="center")
    with choice:
        rate = st.selectbox(
            "Least confusion rate, %",
            RATES,
            index=RATES.index(10),
            key="merge",
            bind="query-params",
            help="The mean of the rates at which each of two classes is taken for the other; for classes that are "
            "merged already, the mean over their pairs. From the confusion graph of Wang et al., "
            "“Knowledge Guided Disambiguation for Large-Scale Scene Classification” (2016).",
        )
    rows, key = without(frame, (*OF_OUTCOMES, *PAIR))
    found = _proposal(rows, frame.workspace, key, frame.lens.labels, rate or 10)
    text.markdown(sentence(found, frame.lens.labels, rate or 10))
    if found.steps.is_empty():
        return None
    left, right = st.columns([63, 37], gap="medium")
    with left:
        _table(frame, found)
    with right:
        _curve(frame, found)
    return None


@st.cache_resource(max_entries=32, show_spinner=False)
def _proposal(_rows: pl.DataFrame, _workspace: Workspace, key: str, labels: str, rate: int) -> Proposal:
    return proposed_merges(_workspace, _rows, labels, at_least=rate / 100)


def sentence(found: Proposal, labels: str, rate: int) -> str:
    """What the merges would come to, as Markdown."""
    if found.accuracy is None:
        return "**None of these images is scored.**"
    if found.steps.is_empty():
        return f"**No merge to propose**: no two classes are taken for each other in {rate}\u202f% of their images."
    gained, after = int(found.steps["gained"].sum()), found.steps["accuracy"][-1]
    return (
        f"**{plural(found.n_merged, 'class', 'classes')} in {plural(found.n_groups, 'group')}**: as one class each, "
        f"{plural(gained, 'wrong prediction')} would be right. Accuracy by *{md_escape(labels)}* (micro, n = "
        f"{count(found.n)}) would be **{percent(after)}** in place of {percent(found.accuracy)}."
    )


def _table(frame: Frame, found: Proposal) -> None:
    steps = found.steps
    names = [" + ".join(frame.class_names[index] for index in classes) for classes in steps["classes"]]
    table = pl.DataFrame(
        {
            "classes": names,
            "confused": 100 * steps["similarity"],
            "made right": steps["gained"],
            "accuracy": 100 * steps["accuracy"],
        }
    )

    def pick() -> None:
        rows = st.session_state["merges"]["selection"]["rows"]
        if rows and rows[0] < steps.height:
            _open(frame, steps["classes"][rows[0]].to_list())

    st.dataframe(
        table,
        hide_index=True,
        key="merges",
        on_select=pick,
        selection_mode="single-row",
        height=min(560, 36 * (table.height + 1)),
        column_config={
            "classes": st.column_config.TextColumn("classes merged", help="Select a row to see the confused images."),
            "confused": st.column_config.NumberColumn(
                "rate, %", format="%.1f", width=60, help="Mean rate at which each is taken for the other."
            ),
            "made right": st.column_config.NumberColumn(
                width=76, help="Wrong predictions that this merge makes right."
            ),
            "accuracy": st.column_config.NumberColumn(
                "accuracy, %", format="%.1f", width=80, help="With this merge and all above it."
            ),
        },
    )


def _curve(frame: Frame, found: Proposal) -> None:
    def pick() -> None:
        points = st.session_state["merge-steps"]["selection"]["points"]
        if points and points[0]["x"]:
            _open(frame, found.steps["classes"][int(points[0]["x"]) - 1].to_list())

    chart(
        merge_steps(found, frame.class_names),
        lambda: found.steps.select(
            merge=pl.int_range(1, pl.len() + 1),
            classes=pl.Series(
                [" + ".join(frame.class_names[index] for index in classes) for classes in found.steps["classes"]],
                dtype=pl.String,
            ),
            confused="similarity",
            made_right="gained",
            accuracy="accuracy",
        ),
        key="merge-steps",
        alt="Accuracy by the number of merges; the same numbers are in the table.",
        on_select=pick,
    )


def _open(frame: Frame, classes: list[int]) -> None:
    """In a callback: narrow to the wrong predictions among these classes, and show them."""
    names = tuple(frame.class_names[index] for index in classes)
    wanted: list[Clause] = [OneOf("class", names), OneOf("predicted", names), Condition("right", "false")]
    put(wanted, instead_of=(*OF_OUTCOMES, *PAIR), as_rows=True)
