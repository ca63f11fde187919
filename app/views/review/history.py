"""History: who said what and when; one's own words can be taken back."""

import uuid
from collections.abc import Sequence

import polars as pl
import streamlit as st

from analysis.errors import ErrataError, InputError
from analysis.review import log, queues, readings
from analysis.review.kinds import Undo
from analysis.review.queues import Queue
from analysis.review.readings import Reading, Said
from analysis.review.state import REPEAT
from analysis.workspace import Workspace
from app import access, reviewing, state
from app.access import Action
from app.components.outcomes import LOOKS
from app.frame import Frame
from app.paging import page_number
from app.review_words import moment, statement_words
from app.text import count, md_escape, plural

PAGE_SIZE = 50
_REFUSED = "history-refused"


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> pl.Series | None:
    """The newest judgements of a queue or of all; `rows` is its part of the log. Returns the items on the page."""
    me = reviewing.person().id
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        mine = st.toggle("Only mine", key="mine", bind="query-params")
        listed = rows.with_columns(stands=log.stands(rows)).filter(pl.col("kind") != "undo").reverse()
        if mine:
            listed = listed.filter(pl.col("person") == me)
        pages = max(1, -(-listed.height // PAGE_SIZE))
        number = page_number(pages, "history")
    if listed.is_empty():
        st.caption("Nobody has judged anything here yet." if not mine else "You have judged nothing here yet.")
        return None
    page = listed.slice((number - 1) * PAGE_SIZE, PAGE_SIZE)
    names = {one.id: one.name for one in queues.listed(frame.workspace)}
    key = f"history-rows-{number}-{mine}-{rows.height}"
    chosen = page[st.session_state.get(key, {}).get("selection", {}).get("rows", [])]
    own = chosen.filter("stands", pl.col("person") == me)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            f"Take back {plural(own.height, 'judgement')}" if own.height else "Take back",
            icon=":material/undo:",
            key="history-undo",
            disabled=own.is_empty() or not reviewing.may(Action.ANNOTATE, frame.workspace_id),
            help="Your own, selected in the table. The log keeps that they were said.",
            on_click=_take_back,
            args=(frame, own["id"].to_list(), bool(own["panel"].any())),
        )
        st.button(
            "Open the item",
            icon=":material/open_in_full:",
            key="history-open",
            disabled=chosen.is_empty(),
            on_click=lambda: state.open_item(int(chosen["item"][0])),
        )
        st.caption(f"{count(listed.height)} in all; what was taken back or replaced does not stand.")
    if reason := st.session_state.pop(_REFUSED, None):
        st.error(md_escape(reason), icon=":material/error:")
    st.dataframe(
        table(page, frame.class_names, names),
        hide_index=True,
        height="content",
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"what": st.column_config.TextColumn(width="large")},
    )
    return page["item"].unique(maintain_order=True)


def table(page: pl.DataFrame, class_names: list[str], queue_names: dict[str, str]) -> pl.DataFrame:
    """Rows of the log as people read them: when, who, image, what, stands, queue."""
    shown = []
    for row in page.iter_rows(named=True):
        what, sign = statement_words(row, class_names)
        shown.append(
            {
                "when": moment(row["time"]),
                "who": row["person"] + (" for the panel" if row["panel"] else ""),
                "image": row["key"],
                "what": what if sign is None else f"{LOOKS[sign].sign} {what}",
                "stands": row["stands"],
                "queue": queue_names.get(row["queue"], row["queue"]),
            }
        )
    return pl.DataFrame(shown, schema_overrides={"queue": pl.String})


def _take_back(frame: Frame, ids: Sequence[str], panel: bool) -> None:
    """In a callback: take back judgements of the person who looks at the page."""
    try:
        action = Action.DECIDE if panel else Action.ANNOTATE
        who = access.require(reviewing.person(), action, frame.workspace_id)
        take_back(frame.workspace, who.id, ids)
    except ErrataError as error:
        st.session_state[_REFUSED] = str(error)
        return
    st.toast(f"Taken back: {plural(len(ids), 'judgement')}.", icon=":material/undo:")


def take_back(workspace: Workspace, person: str, ids: Sequence[str]) -> None:
    """Take back judgements of a person, the newest first: a cause goes before the verdict that it rests on.

    A reading of a queue that lacks something then is in the person's hands again. Raises InputError for what is not
    theirs to take back.
    """
    rows = log.read(workspace).filter(pl.col("id").is_in(list(ids))).reverse()
    served = {queue.id: queue for queue in queues.listed(workspace)}
    for row in rows.iter_rows(named=True):
        queue = None if row["panel"] else served.get(row["queue"])
        place = None if queue is None else readings.places(workspace, queue, [row["item"]]).get(row["item"])
        if queue is None or place is None:
            log.undo(workspace, row["id"], person=person, panel=row["panel"])
            continue
        reading = Reading(queue.id, row["item"], row["stratum"] == REPEAT)
        undo = Said(id=uuid.uuid4().hex, reading=reading, says=Undo(row["item"], row["id"]), shown=tuple(place.sources))
        for reason in readings.save(workspace, person, [undo]).refused.values():
            raise InputError(reason)
