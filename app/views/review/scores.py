"""Scores before and after the judgements so far: each run's, what stands behind a change, and the label set of it."""

from functools import partial

import polars as pl
import streamlit as st

from analysis.errors import ErrataError
from analysis.results import rescore, review_log
from analysis.results.rescore import REVIEWED, ShareNone
from analysis.results.review_log import Tip
from analysis.review import queues
from analysis.review.queues import Queue
from analysis.slices import Items, Slice
from analysis.workspace import Workspace
from app import access, reviewing, state
from app.access import Action
from app.charts.review import score_dots
from app.charts.shown import chart
from app.components.gallery import gallery
from app.frame import Frame, open_slice, rows_of, tiles
from app.text import count, md_escape, percent, plural

METRICS = {"micro": "micro", "class_mean": "class mean"}
PAGE_SIZE = 24
MOST_SHARES = 12
MOST_WHYS = 4


def base_of(frame: Frame) -> str:
    """The label set that the judgements change: the lens's; of `reviewed` what it was made on."""
    labels, workspace = frame.lens.labels, frame.workspace
    if labels != REVIEWED:
        return labels
    made = str(workspace.label_artefact(REVIEWED).manifest.get("base", "original"))
    return made if made in workspace.label_set_names() else "original"


def show(frame: Frame, queue: Queue | None) -> pl.Series | None:
    """Scores under the designs of a queue, or of all. Returns the items on which the lens's run changed."""
    workspace, base = frame.workspace, base_of(frame)
    if frame.lens.run is None:
        st.caption("Scores are a model's, and there is no run yet.")
        _publish(frame, base)
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
        listed = _changes(frame, base, tip)
    with right:
        _shares(frame, base, tip, queue)
        _publish(frame, base)
    return listed


# ---- what is computed once for all sessions until the log grows


@st.cache_resource(max_entries=32, show_spinner="Scoring runs again …")
def scored(_workspace: Workspace, version: str, tip: Tip, base: str, queue: str | None) -> pl.DataFrame:
    """Scores of all runs (analysis.results.rescore.SCORES_SCHEMA)."""
    return rescore.scores(_workspace, base, None if queue is None else [queue])


@st.cache_resource(max_entries=32, show_spinner=False)
def _changed(_workspace: Workspace, version: str, tip: Tip, base: str, run: str) -> pl.DataFrame:
    return rescore.changes(_workspace, run, base)


@st.cache_resource(max_entries=128, show_spinner=False)
def _share(_workspace: Workspace, version: str, tip: Tip, base: str, run: str, queue: str) -> ShareNone:
    return rescore.share_none(_workspace, run, queue, base)


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


def none_words(found: list[tuple[str, ShareNone]]) -> str:
    """The share of a run's mistakes that were none, of the newest queue that can tell, as Markdown."""
    known = [(name, share) for name, share in found if share.value is not None and share.low is not None]
    if not known:
        return ""
    name, share = known[0]
    value = percent(share.value or 0.0, share.low, share.high)
    return (
        f"Of its mistakes in *{md_escape(name)}*, **{value}** were none (n = {count(share.n)} of {count(share.size)})."
    )


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


def _shares(frame: Frame, base: str, tip: Tip, queue: Queue | None) -> None:
    """The share of mistakes that were none: of the queue by run, or of the lens's run by queue."""
    st.subheader(
        "Mistakes that were none",
        help="Of a run's mistakes in a queue, the share that reviewers found valid. Only from random queues and from "
        "complete ones: others are no sample of the mistakes.",
    )
    shown = shares(frame, base, tip, queue)
    if not shown:
        st.caption("No queue holds a mistake of this run.")
    for name, share in shown:
        st.markdown(f"{md_escape(name)}: {share_words(share)}")


def shares(frame: Frame, base: str, tip: Tip, queue: Queue | None) -> list[tuple[str, ShareNone]]:
    """The shares of mistakes that were none, by name of run (of a queue) or of queue (of the lens's run)."""
    workspace = frame.workspace
    found = []
    for run, one in share_pairs(workspace, queue, str(frame.lens.run))[:MOST_SHARES]:
        share = _share(workspace, workspace.version, tip, base, run, one.id)
        if share.size:
            found.append((run if queue is not None else one.name, share))
    return found


def share_pairs(workspace: Workspace, queue: Queue | None, run: str) -> list[tuple[str, Queue]]:
    """(run, queue) to ask for the share of mistakes that were none: every run in a queue, or a run in every queue."""
    if queue is not None:
        return [(name, queue) for name in workspace.run_names()]
    return [(run, one) for one in queues.listed(workspace)[::-1] if sum(part["size"] for part in one.strata) > 1]


def share_words(share: ShareNone) -> str:
    """A share of mistakes that were none, as Markdown."""
    if share.value is None:
        return f"– :small[{md_escape(share.why or 'no sample')}]"
    more = [f"n = {count(share.n)} of {count(share.size)}"]
    if share.low is None:
        more.append("no interval: a stratum has a single image read")
    if share.n_undecided:
        more.append(f"{count(share.n_undecided)} undecided, counted as mistakes")
    return f"**{percent(share.value, share.low, share.high)}** :small[{'; '.join(more)}]"


# ---- the label set


def _publish(frame: Frame, base: str) -> None:
    st.subheader(
        "The corrected labels",
        help="The label set `reviewed`: the base with what reviewers agreed on or the panel decided in its place. "
        "What is disputed stays as in the base. Earlier versions stay.",
    )
    workspace = frame.workspace
    there = REVIEWED in workspace.label_set_names()
    behind = rescore.behind(workspace)
    if there:
        st.caption(f"*reviewed* is {md_escape(behind) if behind else 'up to date'}.")
    if not reviewing.may(Action.ADMINISTER, frame.workspace_id):
        return
    st.button(
        f"Publish as label set reviewed, on {md_escape(base)}",
        icon=":material/publish:",
        key="publish-reviewed",
        disabled=reviewing.told(workspace).is_empty(),
        on_click=_publish_now,
        args=(frame, base),
    )


def _publish_now(frame: Frame, base: str) -> None:
    """In a callback: publish; every page then offers the label set."""
    try:
        who = access.require(reviewing.person(), Action.ADMINISTER, frame.workspace_id)
        rescore.publish_reviewed(frame.workspace, base, who.id)
    except ErrataError as error:
        st.toast(md_escape(error), icon=":material/error:")
        return
    st.toast("Published: choose the label set reviewed at the top.", icon=":material/publish:")
