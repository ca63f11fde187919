"""Coverage: how often each item was read, of which classes, and what nobody has looked at."""

import polars as pl
import streamlit as st

from analysis.review import queues
from analysis.review.log import stands
from analysis.review.queues import Queue
from analysis.slices import Items, Slice
from app.charts.review import coverage_bar
from app.charts.shown import chart
from app.frame import Frame, open_slice
from app.text import count, percent, plural

MOST_CLASSES = 200


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> None:
    """Of a queue, or of the present slice where it is about all queues; `rows` is the part of the log."""
    covered = by_item(frame, rows, queue)
    wanted = 1 if queue is None else queue.protocol.readings
    unseen, part = covered.filter(readings=0), covered.filter(pl.col("readings").is_between(1, wanted - 1))
    n = covered.height
    what = "of the slice" if queue is None else "of the queue"
    if not n:
        st.caption("No item fulfils all conditions of the slice.")
        return
    text = f"Somebody has looked at each of the {plural(n, 'item')} {what}"
    if unseen.height:
        share = percent(unseen.height / n)
        text = f"Nobody has looked at **{count(unseen.height)}** of {plural(n, 'item')} {what} ({share})"
    fewer = f"; {plural(part.height, 'item has', 'items have')} fewer than {wanted} readings" if part.height else ""
    st.markdown(f"{text}{fewer}.")
    levels = covered["readings"].value_counts().sort("readings")

    def open_level() -> None:
        points = st.session_state["coverage"]["selection"]["points"]
        if points and isinstance(level := points[0].get("customdata"), int):
            _open(frame, covered.filter(readings=level)["item"])

    chart(
        coverage_bar(levels),
        lambda: levels.rename({"count": "items"}),
        key="coverage",
        alt="How many items have how many readings; the same numbers are in its table.",
        on_select=open_level,
    )
    if unseen.height:
        st.button(
            f"Open what nobody has looked at ({count(unseen.height)})",
            icon=":material/grid_view:",
            key="coverage-open",
            on_click=_open,
            args=(frame, unseen["item"]),
        )
    _classes(frame, covered)


def by_item(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> pl.DataFrame:
    """item, readings: of a queue's items in its order; else of the slice's items, by how many persons judged them."""
    if queue is not None:
        return queues.coverage(frame.workspace, queue.id)
    read = (
        rows.filter(stands(rows) & (pl.col("kind") == "verdict") & ~pl.col("panel"))
        .group_by("item")
        .agg(readings=pl.col("person").n_unique().cast(pl.Int64))
    )
    return frame.chosen.select("item").join(read, on="item", how="left").with_columns(pl.col("readings").fill_null(0))


def _classes(frame: Frame, covered: pl.DataFrame) -> None:
    """Original classes with what of them was read, the least covered first."""
    found = by_class(covered, frame.rows)
    st.subheader("By class of the original label", help="Select a row to open what nobody has looked at of it.")

    def open_class() -> None:
        chosen = st.session_state["coverage-classes"]["selection"]["rows"]
        if chosen:
            name = found["class"][chosen[0]]
            of_class = covered.join(frame.rows.filter(pl.col("class") == name), on="item", how="semi")
            _open(frame, of_class.filter(readings=0)["item"] if found["unseen"][chosen[0]] else of_class["item"])

    st.dataframe(
        found,
        hide_index=True,
        height=260,
        key="coverage-classes",
        on_select=open_class,
        selection_mode="single-row",
        column_config={
            "read": st.column_config.ProgressColumn("read", format="percent", min_value=0, max_value=1),
            "unseen": st.column_config.NumberColumn(help="Items that nobody has looked at."),
        },
    )
    if found.height == MOST_CLASSES:
        st.caption(f"The {MOST_CLASSES} least covered classes.")


def by_class(covered: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """class, items, unseen, read (share): at most MOST_CLASSES, the least covered first."""
    return (
        covered.join(rows.select("item", "class"), on="item", how="left")
        .filter(pl.col("class").is_not_null())
        .group_by("class")
        .agg(items=pl.len(), unseen=(pl.col("readings") == 0).sum())
        .with_columns(read=1 - pl.col("unseen") / pl.col("items"))
        .sort("read", "items", "class", descending=[False, True, False])
        .head(MOST_CLASSES)
    )


def _open(frame: Frame, items: pl.Series) -> None:
    """In a callback: Browse, on these items alone."""
    open_slice(frame, str(Slice((Items(tuple(items.sort().to_list())),))))
