"""What people said of an item, as the drawer shows it; and judging that item."""

import polars as pl
import streamlit as st

from analysis.errors import ErrataError
from analysis.lens import Lens
from analysis.results.review import QueueOptions, new_queue
from analysis.review import log, queues
from analysis.workspace import Workspace
from app import access, reviewing
from app.access import Action
from app.components.item import JudgementRow
from app.frame import Frame, go_to
from app.review_words import moment, statement_words
from app.text import md_escape


def judgement_rows(frame: Frame, item: int) -> tuple[list[JudgementRow], str]:
    """What was said of an item, the oldest first, and a word on what is not shown."""
    workspace = frame.workspace
    said = log.history(workspace, item).filter(pl.col("kind") != "undo")
    if said.is_empty():
        return [], ""
    shown = reviewing.seen_by_person(said, reviewing.hidden_queues(workspace, frame.workspace_id))
    names = {queue.id: queue.name for queue in queues.listed(workspace)}
    rows = []
    for row in shown.iter_rows(named=True):
        what, sign = statement_words(row, frame.class_names)
        who = row["person"] + (" for the panel" if row["panel"] else "")
        note = names.get(row["queue"], row["queue"] or "")
        rows.append(JudgementRow(who, moment(row["time"]), what, sign, note, row["stands"]))
    hidden = shown.height < said.height
    return rows, "what others said is hidden until you have read it yourself" if hidden else ""


def may_judge(frame: Frame) -> bool:
    """Whether the person who looks at the page may judge items."""
    return reviewing.may(Action.ANNOTATE, frame.workspace_id)


def judge_item(frame: Frame, item: int) -> None:
    """In a callback: open Review on a queue of this one item."""
    try:
        who = access.require(reviewing.person(), Action.ANNOTATE, frame.workspace_id)
        queue = own_queue(frame.workspace, frame.lens, item, who.id)
    except ErrataError as error:
        st.toast(md_escape(error), icon=":material/error:")
        return
    go_to("review", step="judge", queue=queue)


def own_queue(workspace: Workspace, lens: Lens, item: int, person: str) -> str:
    """The id of a queue of one item that waits for a person; it is made where there is none."""
    name = f"Item {item}"
    named = {queue.name: queue for queue in queues.listed(workspace)}
    number = 1
    while (queue := named.get(name)) is not None:
        if queues.progress(workspace, queue.id).filter(pl.col("read") > 0).is_empty():
            return queue.id
        number += 1
        name = f"Item {item} ({number})"
    return new_queue(workspace, [item], lens, QueueOptions(name, repeats=0.0), person).queue.id
