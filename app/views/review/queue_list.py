"""The queues: how far each is, who reads it, how far readers agree, and the way into it."""

import math
from collections.abc import Sequence

import polars as pl
import streamlit as st

from app import reviewing
from app.access import Action
from app.frame import Frame
from app.review_words import design_words, moment
from app.reviewing import Standing
from app.text import count, md_escape, percent, plural
from app.views.review.steps import JUDGE, NEW, RESULTS, open_step

PAGE_SIZE = 10
MOST_PEOPLE = 6


def show(frame: Frame, rows: pl.DataFrame, listed: Sequence[Standing], *, making: bool) -> None:
    """The list, in the order given; `rows` is the log, `making`: the form of a new one stands above."""
    may_make = reviewing.may(Action.DECIDE, frame.workspace_id) and not making
    if not listed:
        _empty(frame)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if may_make:
            _make_button(frame)
        if listed or rows.height:
            st.button(
                "Results of all", icon=":material/balance:", key="all-results", on_click=open_step, args=(RESULTS,)
            )
    singles = [one for one in listed if sum(part["size"] for part in one.queue.strata) == 1]
    several = [one for one in listed if one not in singles]
    pages = math.ceil(len(several) / PAGE_SIZE)
    number = min(st.session_state.get("queues", 1), max(pages, 1))
    for one in several[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]:
        _row(frame, one)
    if pages > 1:
        st.pagination(pages, key="queues", bind="query-params", max_visible_pages=5)
    if singles:
        with st.expander(plural(len(singles), "queue of a single item", "queues of a single item"), key="singles"):
            for one in singles[:PAGE_SIZE]:
                _row(frame, one)
            if len(singles) > PAGE_SIZE:
                st.caption(f"The newest {PAGE_SIZE}; Results of all has every judgement.")


def _empty(frame: Frame) -> None:
    st.caption(
        "A queue is a slice and a protocol: which items, how they are drawn, how many people read each. Readers see an "
        "image and its candidate classes (the original label, what models predict, and some decoys) in random order, "
        "and say of each whether it is valid. From their readings come corrected labels, agreement, and scores before "
        "and after."
    )
    if not reviewing.may(Action.DECIDE, frame.workspace_id):
        st.caption("Somebody of the panel can make one.")


def _make_button(frame: Frame) -> None:
    n = frame.chosen.height
    st.button(
        f"New queue from {'all ' if n == frame.rows.height else 'these '}{plural(n, 'item')}",
        icon=":material/playlist_add:",
        type="primary",
        key="new-queue",
        disabled=not n,
        on_click=open_step,
        args=(NEW,),
    )


def _row(frame: Frame, one: Standing) -> None:
    queue, who = one.queue, reviewing.person()
    what, progress, agreed, right = st.columns([9, 7, 4, 8], gap="medium", vertical_alignment="center")
    what.markdown(
        f"**{md_escape(queue.name)}**  \n:small[{md_escape(design_words(queue))}. By {md_escape(queue.person)}, "
        f"{moment(queue.created)[:10]}.]"
    )
    share = one.read / one.wanted if one.wanted else 1.0
    progress.progress(
        share,
        f"**{count(one.read)}** of {plural(one.wanted, 'reading')} ({percent(share)})  \n:small[{people_words(one)}]",
    )
    agreed.markdown(_agreement_words(one))
    with right.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if reviewing.may(Action.ANNOTATE, frame.workspace_id):
            st.button(
                "Judge",
                icon=":material/gavel:",
                key=f"judge-{queue.id}",
                disabled=not one.waits_for(who),
                help=None if one.waits_for(who) else waiting_words(one, who.id),
                on_click=open_step,
                args=(JUDGE, queue.id),
            )
        st.button(
            "Results",
            icon=":material/balance:",
            key=f"results-{queue.id}",
            on_click=open_step,
            args=(RESULTS, queue.id),
        )


def people_words(one: Standing) -> str:
    """Who has read how much of a queue and has how much in hand, as Markdown."""
    people = one.people.sort("read", "person", descending=[True, False])
    readers = people.filter(pl.col("read") > 0)
    most = readers.select("person", "read").head(MOST_PEOPLE)
    told = [f"{md_escape(name)} {count(read)}" for name, read in most.iter_rows()]
    if readers.height > MOST_PEOPLE:
        told.append(f"{count(readers.height - MOST_PEOPLE)} more")
    if in_hand := int(people["in_hand"].sum()):
        told.append(f"{count(in_hand)} in hand")
    if not told:
        told.append("nobody has begun")
    allowed = one.queue.protocol.people
    if allowed is not None and (waiting := [name for name in allowed if name not in people["person"].to_list()]):
        told.append(f"not begun: {', '.join(map(md_escape, waiting[:MOST_PEOPLE]))}")
    return " · ".join(told)


def waiting_words(one: Standing, person: str) -> str:
    """Why a queue is not waiting for somebody."""
    if not one.is_open:
        return "All its readings are done."
    people = one.queue.protocol.people
    if people is not None and person not in people:
        return "This queue is for others."
    return "You have read all of it; it waits for another person's readings."


def _agreement_words(one: Standing) -> str:
    if not one.n_twice:
        return ":small[no agreement to measure]" if one.queue.protocol.readings == 1 else ":small[nothing read twice]"
    alpha = "–" if one.agreement is None else f"{one.agreement:.2f}"
    return f"α **{alpha}** :small[n = {count(one.n_twice)}]"
