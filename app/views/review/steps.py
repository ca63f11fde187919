"""Where on the page one is: its step and queue, which belong to no widget and stand in the address."""

import streamlit as st

from analysis.errors import InputError
from analysis.review import queues
from analysis.review.queues import Queue
from analysis.workspace import Workspace
from app import state

STEP, QUEUE = "step", "queue"
NEW, JUDGE, RESULTS = "new", "judge", "results"


def asked_step() -> str | None:
    """The step that the address names; None for the list of queues."""
    step = st.query_params.get(STEP)
    return step if step in (NEW, JUDGE, RESULTS) else None


def asked_queue(workspace: Workspace) -> Queue | None:
    """The queue that the address names; None for none, or one that is not here."""
    queue = st.query_params.get(QUEUE, "")
    try:
        return queues.load(workspace, queue) if queue else None
    except InputError:
        return None


def open_step(step: str | None, queue: str | None = None) -> None:
    """In a callback: go to a step of the page; None is the list of queues."""
    state.write(STEP, step)
    state.write(QUEUE, queue)
