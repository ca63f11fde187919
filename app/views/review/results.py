"""Results of a queue or of all: scores, agreement, cases for the panel, coverage, history."""

import polars as pl
import streamlit as st

from analysis.results import review_log
from analysis.review import queues
from analysis.review.queues import Queue
from app import reviewing
from app.access import Action
from app.frame import Frame
from app.review_words import design_words
from app.text import md_escape
from app.views.review import agreement, cases, coverage, history, scores, shares
from app.views.review.steps import JUDGE, RESULTS, open_step

PARTS = ("Scores", "Agreement", "Cases", "Coverage", "History")


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> pl.Series | None:
    """The page; `rows` is the log, `queue` None for all. Returns the items that it lists."""
    _head(frame, queue)
    hidden = reviewing.hidden_queues(frame.workspace, frame.workspace_id)
    if queue is not None and queue.id in hidden:
        st.caption("You still have readings to give here: what others said is hidden from you until then.")
        return None
    mine = reviewing.seen_by_person(reviewing.of_queue(rows, queue), hidden)
    part = st.segmented_control(
        "Results",
        list(PARTS),
        default=PARTS[0],
        required=True,
        key="results",
        bind="query-params",
        label_visibility="collapsed",
    )
    match part:
        case "Agreement":
            agreement.show(frame, mine, queue)
            return None
        case "Cases":
            return cases.show(frame, mine, queue)
        case "Coverage":
            coverage.show(frame, mine, queue)
            return None
        case "History":
            return history.show(frame, mine, queue)
    return scores.show(frame, queue, hidden=bool(hidden))


def _head(frame: Frame, queue: Queue | None) -> None:
    listed = queues.listed(frame.workspace)[::-1]
    names = {"": "All queues"} | {one.id: one.name for one in listed}
    now = "" if queue is None else queue.id
    key = f"results-of-{now}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.button("Queues", icon=":material/arrow_back:", key="results-back", on_click=open_step, args=(None,))
        st.selectbox(
            "Results of",
            list(names),
            list(names).index(now),
            format_func=lambda one: names.get(one, one),
            key=key,
            width=380,
            label_visibility="collapsed",
            on_change=lambda: open_step(RESULTS, st.session_state[key] or None),
        )
        if queue is not None and reviewing.may(Action.ANNOTATE, frame.workspace_id):
            (standing,) = reviewing.standings(frame.workspace, [queue])
            if standing.waits_for(reviewing.person()):
                st.button(
                    "Judge", icon=":material/gavel:", key="results-judge", on_click=open_step, args=(JUDGE, queue.id)
                )
    if queue is not None:
        st.caption(f"{md_escape(design_words(queue))}.")


def moved(frame: Frame, rows: pl.DataFrame) -> str:
    """What the judgements so far made of the lens's run, in a sentence or two; empty where nothing can be said."""
    if frame.lens.run is None or rows.is_empty():
        return ""
    workspace = frame.workspace
    tip, base = review_log.tip(workspace), scores.base_of(frame)
    found = scores.scored(workspace, workspace.version, tip, base, None)
    none = shares.none_words(shares.found(frame, base, tip, None))
    return f"{scores.sentence(found, frame.lens.run, base)} {none}".strip()
