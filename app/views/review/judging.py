"""Judging: the readings of a queue in a person's hands, in the component that shows them one by one."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from analysis.errors import ErrataError
from analysis.results.review import Asked, tasks
from analysis.review import queues
from analysis.review.queues import AT_ONCE, Queue
from app import access, reviewing
from app.access import Action
from app.components.judge import Reading, judge
from app.components.shared import page_session
from app.frame import Frame
from app.readings import to_show
from app.text import md_escape
from app.views.review.steps import RESULTS, open_step

MOST_IN_HAND = 500
"""Readings that one person holds at most: those that they skip stay in their hands."""
_PASSED = "judge-passed"
"""The readings that were there when more were asked for."""


def show(frame: Frame, queue: Queue) -> None:
    """The queue's next readings."""
    if not reviewing.may(Action.ANNOTATE, frame.workspace_id):
        st.caption("You may look at this workspace, not judge; ask an admin for the role.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="judging"):
        st.button(
            "Leave",
            icon=":material/arrow_back:",
            key="judge-leave",
            help="What you have in hand and did not judge goes back to the queue",
            on_click=_leave,
            args=(frame, queue, None),
        )
        st.markdown(f"**{md_escape(queue.name)}**", width="content")
        if queue.protocol.guideline:
            st.caption(f":material/menu_book: {md_escape(queue.protocol.guideline)}", width="content")
        st.space("stretch")
        st.button(
            "What moved",
            icon=":material/balance:",
            key="judge-results",
            help="Leave, and see what follows from the judgements so far",
            on_click=_leave,
            args=(frame, queue, RESULTS),
        )
    _deck(frame, queue.id, queue.protocol.guideline or "")


@st.fragment
def _deck(frame: Frame, queue: str, guideline: str) -> None:
    """Runs again by itself for more readings, or for a new token: each run asks anew who is here and what they may."""
    try:
        who = access.require(reviewing.person(), Action.ANNOTATE, frame.workspace_id)
        asked = tasks(frame.workspace, queue, who.id)
        passed = st.session_state.pop(_PASSED, None)
        if passed is not None and {one.reading for one in asked} <= passed:
            # All that are in hand were skipped or are on their way to the server.
            asked = tasks(frame.workspace, queue, who.id, min(len(asked) + AT_ONCE, MOST_IN_HAND))
    except ErrataError as error:
        st.error(md_escape(error), icon=":material/error:")
        return

    def more(left: int) -> None:
        st.session_state[_PASSED] = {one.reading for one in asked}

    judge(
        _shown(frame, who.id, asked),
        key=f"judge-{queue}",
        session=page_session(frame.workspace_id),
        post_url=f"/judgements/{frame.workspace_id}",
        classes_url=f"/classes/{frame.workspace_id}",
        guideline=guideline,
        person=who.id,
        on_more=more,
        on_renew=lambda: None,
    )


def _shown(frame: Frame, person: str, asked: Sequence[Asked]) -> list[Reading]:
    """The readings as the component shows them; without pixels there are no exemplars to see."""
    found = to_show(frame.workspace, person, asked)
    if frame.workspace.image_root is not None:
        return found
    return [replace(one, candidates=[replace(c, exemplars=()) for c in one.candidates]) for one in found]


def _leave(frame: Frame, queue: Queue, step: str | None) -> None:
    """In a callback: give back what was not read, and go to the list or to the queue's results."""
    try:
        queues.give_back(frame.workspace, queue.id, reviewing.person().id)
    except ErrataError as error:  # the leases end by themselves
        st.toast(md_escape(error), icon=":material/error:")
    open_step(step, queue.id if step else None)
