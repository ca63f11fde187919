"""Scores before and after the judgements so far: each run's, what stands behind a change, and the label set of it."""

from functools import partial

import polars as pl
import streamlit as st

from analysis.results import rescore, review_log
from analysis.results.rescore import REVIEWED
from analysis.results.review_log import Tip
from analysis.review.queues import Queue
from analysis.slices import Items, Slice
from analysis.workspace import Workspace
from app import state
from app.charts.review import score_dots
from app.charts.shown import chart
from app.components.gallery import gallery
from app.frame import Frame, open_slice, rows_of, tiles
from app.text import count, md_escape, percent, plural
from app.views.review import publishing, shares

METRICS = {"micro": "micro", "class_mean": "class mean"}
PAGE_SIZE = 24
MOST_WHYS = 4


def base_of(frame: Frame) -> str:
    """The label set that the judgements change: the lens's; of `reviewed` what it was made on."""
    labels, workspace = frame.lens.labels, frame.workspace
    if labels != REVIEWED:
        return labels
    made = str(workspace.label_artefact(REVIEWED).manifest.get("base", "original"))
    return made if made in workspace.label_set_names() else "original"


def show(frame: Frame, queue: Queue | None, *, hidden: bool) -> pl.Series | None:
    """Scores under the designs of a queue, or of all. Returns the items on which the lens's run changed.

    `hidden`: some readings are hidden from this person, so it is not shown which images changed.
    """
    workspace, base = frame.workspace, base_of(frame)
    if frame.lens.run is None:
        st.caption("Scores are a model's, and there is no run yet.")
        publishing.show(frame, base)
        return None
    tip = review_log.tip(workspace)
    found = scored(workspace, workspace.version, tip, base, None if queue is None else queue.id)
    st.markdown(sentence(found, frame.lens.run, base))
    if found.filter(run=frame.lens.run)["estimate"].null_count():
        st.caption(
            "A stratified queue with a control stratum covers all items and gives an estimate. Until then only bounds "
            "are known: everything that no queue covers could be right or wrong."
        )
    _chart(found, base)
    left, right = st.columns([3, 2], gap="large")
    with left:
        listed = None if hidden else _changes(frame, base, tip)
        if hidden:
            st.caption("Which images changed is shown once you have given the readings that wait for you.")
    with right:
        shares.show(frame, base, tip, queue)
        publishing.show(frame, base)
    return listed


# ---- what is computed once for all sessions until the log grows


@st.cache_resource(max_entries=32, show_spinner="Scoring runs again …")
def scored(_workspace: Workspace, version: str, tip: Tip, base: str, queue: str | None) -> pl.DataFrame:
    """Scores of all runs (analysis.results.rescore.SCORES_SCHEMA)."""
    return rescore.scores(_workspace, base, None if queue is None else [queue])


@st.cache_resource(max_entries=32, show_spinner=False)
def _changed(_workspace: Workspace, version: str, tip: Tip, base: str, run: str) -> pl.DataFrame:
    return rescore.changes(_workspace, run, base)


# ---- in words


def sentence(found: pl.DataFrame, run: str, base: str) -> str:
    """What the judgements make of a run's accuracy, as Markdown."""
    mine = found.filter(run=run, metric="micro")
    if mine.is_empty() or not mine["n"][0]:
        return f"**No item of {md_escape(run)} is scored by *{md_escape(base)}*.**"
    row = mine.row(0, named=True)
    text = (
        f"**{md_escape(run)}** is right on {percent(row['before'])} of {count(row['n'])} images by *{md_escape(base)}*"
    )
    if not row["n_reviewed"]:
        return f"{text}; no judgement of a queue bears on it yet."
    if row["estimate"] is None:
        return f"{text}; {_plainly(moved_words(row))} After review there is no estimate yet: {md_escape(row['why'])}."
    interval = percent(row["estimate"], row["low"], row["high"])
    read = plural(row["n_reviewed"], "image")
    return f"{text}, and on **{interval}** after review (micro, estimated from {read} read). {moved_words(row)}"


def _plainly(words: str) -> str:
    """A sentence as the rest of one."""
    return words[:1].lower() + words[1:]


def moved_words(row: dict[str, int]) -> str:
    """How many predictions the judgements changed: a row of the scores."""
    parts = []
    if row["gained"]:
        parts.append(f"{plural(row['gained'], 'prediction')} turned out right")
    if row["lost"]:
        parts.append(f"{plural(row['lost'], 'prediction')} turned out wrong")
    if row["n_excluded"]:
        parts.append(f"{plural(row['n_excluded'], 'image')} fell out")
    return f"{' and '.join(parts)}." if parts else "No prediction changed so far."


# ---- the parts


def _chart(found: pl.DataFrame, base: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.subheader(
            "Before and after",
            help="Every run on the images that all runs have predicted. Filled: the estimate after review with its "
            "95 % interval of the draw. A pale bar: only bounds, from all open items wrong to all right. A ring: "
            "before. Label uncertainty is in no interval. Click a run to see what changed for it.",
            width="content",
        )
        metric = st.segmented_control(
            "Metric",
            list(METRICS),
            default="micro",
            required=True,
            format_func=METRICS.__getitem__,
            key="metric",
            bind="query-params",
            label_visibility="collapsed",
        )
    shown = found.filter(metric=metric or "micro").sort("before", descending=True)
    chart(
        score_dots(shown),
        partial(table, found),
        key="review-scores",
        alt=f"Accuracy of each run by {base} before and after review; the same numbers are in its table.",
        on_select=partial(_look_at, shown["run"].to_list()),
    )
    whys = shown.filter(pl.col("why").is_not_null()).group_by("why", maintain_order=True).agg("run")
    if whys.height:
        told = [f"{md_escape(', '.join(runs))}: {md_escape(why)}." for why, runs in whys.head(MOST_WHYS).iter_rows()]
        if whys.height > MOST_WHYS:
            told.append(f"{count(whys.height - MOST_WHYS)} more: see the numbers.")
        st.caption("No estimate, or no interval:  \n" + "  \n".join(told))


def _look_at(runs: list[str]) -> None:
    """In a callback: look through the run that was clicked, so that what changed for it is shown."""
    points = st.session_state["review-scores"]["selection"]["points"]
    if points and points[0].get("y") in runs:
        st.session_state["run"] = points[0]["y"]


def table(found: pl.DataFrame) -> pl.DataFrame:
    """The scores for people: percent, and why a number is missing."""
    shown = ("before", "estimate", "low", "high", "bound_low", "bound_high")
    return found.with_columns((100 * pl.col(name)).round(2) for name in shown)


def _changes(frame: Frame, base: str, tip: Tip) -> pl.Series | None:
    """The images on which the lens's run changed, with whose judgements did it."""
    run = str(frame.lens.run)
    found = _changed(frame.workspace, frame.workspace.version, tip, base, run)
    st.subheader(
        f"What changed for {md_escape(run)}",
        help="Each image with what its prediction counts as now, and whose judgements did it. Click it to see them.",
    )
    if found.is_empty():
        st.caption("Nothing so far.")
        return None
    pages = -(-found.height // PAGE_SIZE)
    number = min(st.session_state.get("changes", 1), pages)
    page = found.slice((number - 1) * PAGE_SIZE, PAGE_SIZE)
    words = {row["item"]: change_words(row) for row in page.iter_rows(named=True)}
    gallery(
        tiles(frame, rows_of(frame, page["item"]), note=lambda row: words.get(int(str(row["item"])))),
        key="changed",
        session=frame.session,
        tile_size=140,
        first=(number - 1) * PAGE_SIZE,
        total=found.height,
        on_open=state.open_item,
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if pages > 1:
            st.pagination(pages, key="changes", bind="query-params", max_visible_pages=5)
        st.button(
            f"Open {plural(found.height, 'image')} in Browse",
            icon=":material/grid_view:",
            key="changes-open",
            on_click=lambda: open_slice(frame, str(Slice((Items(tuple(found["item"].sort().to_list())),)))),
        )
    return found["item"]


def change_words(row: dict[str, object]) -> str:
    """What became of a prediction and by whom: a row of the changes."""
    now = {None: "falls out", True: "now right", False: "now wrong"}[row["after"]]  # type: ignore[index]
    who = row["who"]
    names = ", ".join(who) if isinstance(who, list) else ""
    return f"{now}{f' ({names}, panel)' if row['panel'] else f' ({names})' if names else ''}"
