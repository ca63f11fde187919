"""Browse: what is in it, and where do models fail? Map at the left, gallery at the right."""

import math

import numpy as np
import polars as pl
import streamlit as st

from analysis.workspace import Space
from app import routes, state
from app.components.gallery import gallery
from app.components.map import ClusterName, LegendEntry, embedding_map
from app.components.outcomes import OUTCOMES
from app.frame import Frame, rows_of, space_index, tiles
from app.outcome_words import look
from app.paging import page_number
from app.text import count, md_escape, percent, plural

PAGE_SIZE = 60
SIMILAR = 300
"""How many neighbours `similar to` lists."""
ORDERS = {
    "item": "dataset order",
    "surest": "most confident first",
    "unsure": "least confident first",
}
NEUTRAL = "#8891a0"
ABOUT_OUTCOMES = ("outcome", "unjudged", "predicted", "right")
"""Conditions under which the share of right predictions says nothing."""


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    like = state.read_int("like", high=frame.workspace.items().height - 1)
    rows, similarity = _similar(frame, like) if like is not None else (frame.chosen, {})
    st.markdown(sentence(frame))
    space = _space(frame)
    if space is None or space.file("projection.parquet") is None:
        return _gallery(frame, rows, similarity, like)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _map(frame, space, like)
    with right:
        return _gallery(frame, rows, similarity, like)


def sentence(frame: Frame) -> str:
    """How the slice fares against the whole, as Markdown."""
    if frame.chosen.is_empty():
        return "**No item fulfils all conditions.** Take one away above."
    n, total = frame.chosen.height, frame.rows.height
    right, everywhere = frame.chosen["right"].mean(), frame.rows["right"].mean()
    if right is None or everywhere is None or frame.lens.run is None:
        return f"**{plural(n, 'item')}.**"
    if any(getattr(clause, "column", None) in ABOUT_OUTCOMES for clause in frame.slice.conditions):
        return f"**{count(n)}** of {plural(total, 'item')}, {percent(n / total)}, fulfil these conditions."
    run, labels = md_escape(frame.lens.run), md_escape(frame.lens.labels)
    text = f"**{run}** is right on **{percent(float(right))}** of these {plural(n, 'item')} by *{labels}*"  # type: ignore[arg-type]
    if frame.chosen.height == frame.rows.height:
        return f"{text}."
    return f"{text}, on {percent(float(everywhere))} of all."  # type: ignore[arg-type]


def _space(frame: Frame) -> Space | None:
    return None if frame.lens.space is None else frame.workspace.space(frame.lens.space)


def _similar(frame: Frame, item: int) -> tuple[pl.DataFrame, dict[int, float]]:
    """The slice's items most similar to one, the most similar first, and how similar each is."""
    if frame.lens.space is None:
        return frame.chosen, {}
    index = space_index(frame.workspace, frame.workspace.version, frame.lens.space)
    if index.rows(np.array([item]))[0] < 0:
        return frame.chosen, {}
    within = None if frame.chosen.height == frame.rows.height else frame.chosen["item"].to_numpy()
    items, similarities = index.similar_to(item, SIMILAR, within=within)
    similarity = {int(i): float(s) for i, s in zip(items, similarities, strict=True) if np.isfinite(s)}
    return rows_of(frame, similarity), similarity


def _map(frame: Frame, space: Space, like: int | None) -> None:
    looks = outcome_codes(frame.rows, frame.workspace.items().height)
    counts = np.bincount(looks, minlength=len(OUTCOMES) + 1)
    shown = np.flatnonzero(counts)
    legend = [
        LegendEntry(OUTCOMES[code], int(counts[code]), OUTCOMES[code])
        if code < len(OUTCOMES)
        else LegendEntry("not scored", int(counts[code]), color=NEUTRAL)
        for code in shown
    ]
    visible = None
    if frame.chosen.height < frame.rows.height:
        visible = np.zeros(len(looks), bool)
        visible[frame.chosen["item"].to_numpy()] = True
    embedding_map(
        routes.points_url(frame.workspace_id, space),
        key="map",
        session=frame.session,
        colors=np.searchsorted(shown, looks).astype(np.uint8),
        legend=legend,
        visible=visible,
        highlighted=like,
        clusters=cluster_names(frame, space),
        height=600,
        on_open=state.open_item,
    )


def outcome_codes(rows: pl.DataFrame, n_items: int) -> np.ndarray:
    """The place of each item's look in OUTCOMES by item number, len(OUTCOMES) for what is not scored."""
    codes = np.full(n_items, len(OUTCOMES), np.uint8)
    for right, unjudged in rows.select("right", "unjudged").unique().iter_rows():
        shown = look(right, unjudged)
        if shown is not None:
            same = pl.col("right").eq_missing(pl.lit(right)) & pl.col("unjudged").eq_missing(pl.lit(unjudged))
            codes[rows.filter(same)["item"].to_numpy()] = OUTCOMES.index(shown)
    return codes


def cluster_names(frame: Frame, space: Space) -> list[ClusterName]:
    """Each cluster of the map's cut by its majority class, where most of its items lie."""
    cut, members, placed = space.frame("cut"), space.frame("members"), space.frame("projection")
    if cut is None or members is None or placed is None:
        return []
    centres = members.join(placed, on="item").group_by("cluster").agg(pl.col("x", "y").median())
    named = cut.join(centres, left_on="node", right_on="cluster")
    return [
        ClusterName(_cluster_name(frame, row["classes"], row["shares"]), row["x"], row["y"], row["size"])
        for row in named.iter_rows(named=True)
    ]


def _cluster_name(frame: Frame, classes: list[int], shares: list[float]) -> str:
    """The classes that make up most of a cluster, at most two."""
    if not classes:
        return "unlabelled"
    shown = classes[:1] if shares[0] >= 0.5 else classes[:2]
    return ", ".join(frame.class_names[index] for index in shown)


def _gallery(frame: Frame, rows: pl.DataFrame, similarity: dict[int, float], like: int | None) -> pl.Series:
    """The gallery with its order and pages; returns the items in that order."""
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with line:
        if like is not None:
            key = frame.workspace.items()["key"][like]
            st.markdown(f"Most similar to **{md_escape(key)}** first", width="stretch")
            st.button("Back to the slice", icon=":material/close:", on_click=lambda: state.write("like", None))
        else:
            order = st.selectbox(
                "Order",
                list(ORDERS),
                format_func=ORDERS.__getitem__,
                key="order",
                bind="query-params",
                label_visibility="collapsed",
                width=200,
            )
            rows = ordered(rows, order)
        pages = max(1, math.ceil(rows.height / PAGE_SIZE))
        number = page_number(pages, "page")
    first = (number - 1) * PAGE_SIZE
    gallery(
        tiles(
            frame,
            rows.slice(first, PAGE_SIZE),
            note=lambda row: f"similarity {similarity[row['item']]:.3f}" if row["item"] in similarity else None,
        ),
        key="gallery",
        session=frame.session,
        tile_size=140,
        selected=state.opened_item(frame.workspace.items().height),
        first=first,
        total=rows.height,
        empty="No item fulfils all conditions. Take one away above.",
        on_open=state.open_item,
    )
    if rows.height:
        st.caption(f"{count(first + 1)} to {count(min(first + PAGE_SIZE, rows.height))} of {count(rows.height)}")
    return rows["item"]


def ordered(rows: pl.DataFrame, order: str) -> pl.DataFrame:
    """The rows in one of ORDERS; ties by item number."""
    if order == "item":
        return rows
    return rows.sort("confidence", "item", descending=[order == "surest", False], nulls_last=True)
