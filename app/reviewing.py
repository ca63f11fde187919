"""What pages know of a workspace's reviews: the log, how far queues are, and who may see what of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl
import streamlit as st

from analysis.intervals import finite
from analysis.results import review_log
from analysis.review import agreement, queues
from analysis.review.kinds import VERDICTS
from analysis.review.queues import Queue
from analysis.workspace import Workspace
from app import access
from app.access import Action, Person


def told(workspace: Workspace) -> pl.DataFrame:
    """The review log as it is now, in the columns of analysis.review.log.SCHEMA."""
    return review_log.told(workspace)


def of_queue(rows: pl.DataFrame, queue: Queue | None) -> pl.DataFrame:
    """The rows of a queue with what takes them back, wherever it was said; all rows for None."""
    if queue is None:
        return rows
    mine = set(rows.filter(pl.col("queue") == queue.id)["position"])
    refers = rows.filter(pl.col("supersedes").is_not_null()).select("position", "supersedes")
    for position, target in refers.iter_rows():  # by position, so that an undo of an undo finds it there
        if target in mine:
            mine.add(position)
    return rows.filter(pl.col("position").is_in(pl.Series(sorted(mine), dtype=pl.Int64).implode()))


# ---- queues


@dataclass(frozen=True)
class Standing:
    """How far a queue is."""

    queue: Queue
    people: pl.DataFrame
    """person, read, repeats, in_hand."""
    drawn: int
    agreement: float | None
    """Krippendorff's alpha of its verdicts so far; None where nothing was read twice, or where nothing varies."""
    n_twice: int
    """(item, class) with two readings or more."""

    @property
    def wanted(self) -> int:
        """Readings that the queue asks for."""
        return self.drawn * self.queue.protocol.readings

    @property
    def read(self) -> int:
        """Readings that are done, at most as many as are wanted."""
        return min(int(self.people["read"].sum()), self.wanted)

    @property
    def is_open(self) -> bool:
        """Whether a reading is still wanted."""
        return self.read < self.wanted

    def read_by(self, person: str) -> int:
        """How many items a person has read."""
        return int(self.people.filter(person=person)["read"].sum())

    def waits_for(self, who: Person) -> bool:
        """Whether a person may take it and something is left for them."""
        people = self.queue.protocol.people
        return self.is_open and (people is None or who.id in people) and self.read_by(who.id) < self.drawn


def standings(workspace: Workspace, listed: Sequence[Queue]) -> list[Standing]:
    """How far these queues are."""
    tip = review_log.tip(workspace)
    found = []
    for queue in listed:
        alpha, n = _alpha(workspace, workspace.version, tip, queue.id)
        people = queues.progress(workspace, queue.id)
        found.append(Standing(queue, people, sum(one["draw"] for one in queue.strata), alpha, n))
    return found


@st.cache_resource(max_entries=128, show_spinner=False)
def _alpha(_workspace: Workspace, version: str, tip: review_log.Tip, queue: str) -> tuple[float | None, int]:
    rows = of_queue(review_log.told(_workspace), queues.load(_workspace, queue))
    _, table = agreement.counts(agreement.first_readings(rows), VERDICTS)
    n = int((table.sum(axis=1) >= 2).sum())
    alpha = agreement.alpha(table) if n else float("nan")
    return finite(alpha), n


# ---- who may see and do what


def person() -> Person:
    """Who looks at the page."""
    return access.current_person()


def may(action: Action, workspace_id: str) -> bool:
    """Whether the person who looks at the page may do this here."""
    return access.allowed(person(), action, workspace_id)


def hidden_queues(workspace: Workspace, workspace_id: str) -> set[str]:
    """Ids of blind queues that still wait for this person: what others said there is hidden from them.

    Not from the panel, which has to see the readings to decide.
    """
    who = person()
    if access.allowed(who, Action.DECIDE, workspace_id):
        return set()
    blind = [queue for queue in queues.listed(workspace) if queue.protocol.blind]
    return {one.queue.id for one in standings(workspace, blind) if one.waits_for(who)}


def seen_by_person(rows: pl.DataFrame, hidden: Collection[str]) -> pl.DataFrame:
    """Rows of the log without what others said in these queues."""
    others = pl.col("person") != person().id
    return rows.filter(~(others & pl.col("queue").is_in(sorted(hidden)).fill_null(False))) if hidden else rows
