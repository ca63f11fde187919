"""Review: let us decide. Queues of items to be judged, judging, and what follows from the judgements."""

from collections.abc import Sequence

import polars as pl
import streamlit as st

from analysis.review import queues
from analysis.review.log import stands
from app import reviewing
from app.frame import Frame
from app.reviewing import Standing
from app.text import count, plural
from app.views.review import judging, new_queue, queue_list, results
from app.views.review.steps import JUDGE, NEW, RESULTS, asked_queue, asked_step


def show(frame: Frame) -> pl.Series | None:
    """The page: the list of queues, or the step that the address names."""
    step, queue = asked_step(), asked_queue(frame.workspace)
    if step == JUDGE and queue is not None:
        judging.show(frame, queue)
        return None
    rows = reviewing.told(frame.workspace)
    if step == RESULTS:
        return results.show(frame, rows, queue)
    standings = reviewing.standings(frame.workspace, queues.listed(frame.workspace))
    st.markdown(sentence(rows, standings, results.moved(frame, rows)))
    if step == NEW:
        new_queue.show(frame, rows)
    queue_list.show(frame, rows, standings[::-1], making=step == NEW)
    return None


def sentence(rows: pl.DataFrame, standings: Sequence[Standing], moved: str) -> str:
    """How many queues there are, what is open, who has judged how much, and what moved, as Markdown."""
    said = rows.filter(stands(rows))
    if not standings and said.is_empty():
        return "**Nothing is judged yet, and there is no queue.**"
    waiting = [one for one in standings if one.is_open]
    left = sum(one.wanted - one.read for one in waiting)
    text = f"**{plural(len(standings), 'queue')}"
    if waiting:
        which = "" if len(standings) == 1 else f"{count(len(waiting))} open: "
        text += f", {which}{plural(left, 'reading')} still wanted.**"
    else:
        text += ", none open.**" if standings else ".**"
    if said.is_empty():
        return f"{text} Nobody has judged anything yet."
    people = said["person"].n_unique()
    text += f" {plural(said.height, 'judgement')} by {plural(people, 'person', 'people')}."
    return f"{text} {moved}".strip()
