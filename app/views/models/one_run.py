"""One run of the Models page: by groups of images, and whether its probabilities can be believed."""

import polars as pl
import streamlit as st

from analysis.calibration import Calibration
from analysis.errors import ErrataError, InputError
from analysis.results import standings
from analysis.results.standings import Items
from analysis.slices import Condition, Range
from analysis.workspace import Workspace
from app.charts.calibration import reliability
from app.charts.groups import group_dots
from app.charts.shown import chart
from app.frame import Frame
from app.population import Population, open_items, open_where
from app.text import count, md_escape, percent, plural

MOST_GROUPS = 24


def show(frame: Frame, about: Population) -> None:
    """The run of the lens by groups, and its calibration."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        _groups(frame, about)
    with right:
        _calibration(frame, about)


def _groups(frame: Frame, about: Population) -> None:
    workspace, run, labels = frame.workspace, str(frame.lens.run), frame.lens.labels
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with line:
        st.subheader(
            f"{md_escape(run)} by",
            help="Micro accuracy in each group with its 95 % Wilson interval, beside the mean of the other runs of its "
            "kind on the same images. The gap has a paired interval: point at a dot. Click it to see the images.",
        )
        by = st.selectbox(
            "By",
            _groupable(workspace, workspace.version),
            key="by",
            bind="query-params",
            width=160,
            label_visibility="collapsed",
        )
    try:
        groups = _by_group(workspace, workspace.version, run, labels, by, frame.lens.space, about.key, about.items)
    except ErrataError as error:
        st.caption(md_escape(error))
        return
    if groups.is_empty():
        st.caption("No image of these groups is scored under this label set.")
        return
    drawn = standings.telling(groups, MOST_GROUPS)

    def open_group() -> None:
        points = st.session_state["groups"]["selection"]["points"]
        if points and "customdata" in points[0]:
            _open_group(frame, about, by, str(points[0]["customdata"]))

    chart(
        group_dots(drawn, run),
        lambda: groups,
        key="groups",
        alt=f"Accuracy of the run by {by}; the same numbers are in its table.",
        on_select=open_group,
    )
    compared = groups["others"].null_count() < groups.height
    what = "the furthest behind the other runs first" if compared else "the least accurate first"
    more = groups.height - drawn.height
    if more:
        both = "The furthest behind and the furthest ahead" if compared else "The least accurate"
        st.caption(f"{both}; {plural(more, 'more group')} in the table behind Numbers, {what}.")
    else:
        st.caption(f"{plural(groups.height, 'group')}, {what}.")


def _open_group(frame: Frame, about: Population, by: str, group: str) -> None:
    """In a callback: the images of a group in Browse."""
    if by != "group":
        open_where(about, [Condition(by, group)])
        return
    # Of any valid class: no column says it, so the items themselves do.
    items = standings.items_of_group(frame.workspace, frame.lens.labels, by, group)
    there = items if about.items is None else sorted(set(items) & set(about.items.tolist()))
    open_items(frame, there, group)


def _calibration(frame: Frame, about: Population) -> None:
    workspace, run, labels = frame.workspace, str(frame.lens.run), frame.lens.labels
    st.subheader(
        "Calibration",
        help="Of the predictions to which the run gave such a probability, how many are right under this label set: "
        "15 bins, 95 % Wilson intervals. ECE is the mean distance from the dotted line. Click a bin to see its images.",
    )
    try:
        found = _reliability(workspace, workspace.version, run, labels, about.key, about.items)
    except InputError as error:
        st.caption(md_escape(error))
        return
    if not found.ece.n:
        st.caption("No image with a probability is scored under this label set.")
        return
    ece = percent(found.ece.value or 0.0, found.ece.low, found.ece.high)
    st.markdown(f"ECE **{ece}** under *{md_escape(labels)}*, n = {count(found.ece.n)}")

    def open_bin() -> None:
        points = st.session_state["reliability"]["selection"]["points"]
        if points and "customdata" in points[0]:
            low, high = points[0]["customdata"]
            open_where(about, [Range("confidence", low, high, includes_low=False)])

    chart(
        reliability(found.table),
        lambda: found.table,
        key="reliability",
        alt="Share right at each probability; the same numbers are in its table.",
        on_select=open_bin,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _groupable(_workspace: Workspace, version: str) -> list[str]:
    return standings.groupable(_workspace)


@st.cache_resource(max_entries=64, show_spinner=False)
def _by_group(
    _workspace: Workspace,
    version: str,
    run: str,
    labels: str,
    by: str,
    space: str | None,
    key: str,
    _items: Items | None,
) -> pl.DataFrame:
    return standings.by_group(_workspace, run, labels, by, space=space, items=_items)


@st.cache_resource(max_entries=64, show_spinner=False)
def _reliability(
    _workspace: Workspace, version: str, run: str, labels: str, key: str, _items: Items | None
) -> Calibration:
    return standings.run_calibration(_workspace, run, labels, items=_items)
