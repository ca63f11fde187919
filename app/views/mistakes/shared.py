"""Mistakes that runs have in common: how many runs get an image wrong, and whether they say the same."""

import math

import polars as pl
import streamlit as st

from analysis.results.mistakes import shared_counts
from analysis.slices import Condition
from app import state
from app.charts.mistakes import shared_bars
from app.charts.shown import chart
from app.components.gallery import gallery
from app.frame import Frame, lens_column, tiles, widen
from app.paging import page_number
from app.text import count, md_escape, percent, plural
from app.views.mistakes.slicing import put, without

PAGE_SIZE = 40
SHARED = ("wrong_by", "wrong_same")


def show(frame: Frame) -> pl.Series | None:
    """How many runs are wrong at the left, the images that most get wrong at the right; returns their items."""
    n_runs = len(frame.workspace.run_names())
    if n_runs < 2:
        st.caption("Mistakes are shared by runs, and there is one run only. Evaluate or import another one.")
        return None
    rows = _with_counts(frame, without(frame, SHARED)[0])
    counts = shared_counts(rows)
    st.markdown(sentence(counts, n_runs, frame.lens.labels))
    if counts.filter(pl.col("wrong_by") > 0).is_empty():
        return None
    values = [clause.value for clause in frame.slice.conditions if isinstance(clause, Condition)
              and clause.column == "wrong_by"]  # fmt: skip
    chosen = int(values[0]) if len(values) == 1 and values[0].isdecimal() else None
    left, right = st.columns([4, 7], gap="large")
    with left:
        _bars(counts, n_runs, chosen)
        if frame.workspace.labels(frame.lens.labels).absent == "unjudged":
            st.caption("A prediction that nobody judged counts as wrong here.")
    with right:
        return _images(frame, n_runs)


def _with_counts(frame: Frame, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the lens frame with the columns wrong_by and wrong_same."""
    version = frame.version
    columns = [lens_column(frame.workspace, version, frame.lens, name) for name in SHARED]
    return rows.drop(SHARED, strict=False).join(
        frame.rows.select("item").with_columns(columns), on="item", how="left", maintain_order="left"
    )


def sentence(counts: pl.DataFrame, n_runs: int, labels: str) -> str:
    """What all runs get wrong, and what they agree on, as Markdown."""
    total = int(counts["n"].sum())
    if not total:
        return f"**None of these images is scored by *{md_escape(labels)}*.**"
    by_all, none = counts.filter(wrong_by=n_runs), int(counts.filter(wrong_by=0)["n"].sum())
    n, same = int(by_all["n"].sum()), int(by_all.filter("same")["n"].sum())
    some = total - none
    text = f"**{plural(n, 'image')}** of {count(total)} ({percent(n / total)}) {'is' if n == 1 else 'are'} wrong by "
    text += f"all {count(n_runs)} runs" + (f", on {count(same)} with one and the same class" if n else "")
    return f"{text}. {count(some)} are wrong by some run, {count(none)} by none."


def _bars(counts: pl.DataFrame, n_runs: int, chosen: int | None) -> None:
    def pick() -> None:
        points = st.session_state["shared-bars"]["selection"]["points"]
        if points:
            runs = int(points[0]["x"])
            if runs == chosen:
                widen(SHARED)
            else:
                put([Condition("wrong_by", str(runs))], instead_of=SHARED)

    chart(
        shared_bars(counts, n_runs, chosen),
        lambda: counts.rename({"wrong_by": "wrong runs", "same": "same wrong class", "n": "images"}),
        key="shared-bars",
        alt="Images by how many runs get them wrong; the same numbers are in the table.",
        on_select=pick,
    )


def _images(frame: Frame, n_runs: int) -> pl.Series:
    """The slice's images, those that most runs get wrong first."""
    wrong = _with_counts(frame, frame.chosen).filter(pl.col("wrong_by") > 0)
    wrong = wrong.sort("wrong_by", "wrong_same", "item", descending=[True, True, False])
    pages = max(1, math.ceil(wrong.height / PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"{plural(wrong.height, 'image')}, wrong by the most runs first", width="stretch")
        number = page_number(pages, "shared_page")
    first = (number - 1) * PAGE_SIZE
    gallery(
        tiles(
            frame,
            wrong.slice(first, PAGE_SIZE),
            note=lambda row: f"{row['wrong_by']} of {n_runs} wrong, {row['wrong_same']} alike",
        ),
        key="shared-images",
        session=frame.session,
        tile_size=130,
        selected=state.opened_item(frame.workspace.items().height),
        first=first,
        total=wrong.height,
        empty="No run is wrong on any of these images.",
        on_open=state.open_item,
    )
    return wrong["item"]
