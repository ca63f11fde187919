"""The share of mistakes that were none: of a queue by run, or of the lens's run by queue."""

import streamlit as st

from analysis.results import rescore
from analysis.results.rescore import ShareNone
from analysis.results.review_log import Tip
from analysis.review import queues
from analysis.review.queues import Queue
from analysis.workspace import Workspace
from app.frame import Frame
from app.text import count, md_escape, percent

MOST_SHARES = 12


def show(frame: Frame, base: str, tip: Tip, queue: Queue | None) -> None:
    """The share of mistakes that were none: of the queue by run, or of the lens's run by queue."""
    st.subheader(
        "Mistakes that were none",
        help="Of a run's mistakes in a queue, the share that reviewers found valid. Only from random queues and from "
        "complete ones: others are no sample of the mistakes.",
    )
    shown = found(frame, base, tip, queue)
    if not shown:
        st.caption("No queue holds a mistake of this run.")
    for name, share in shown:
        st.markdown(f"{md_escape(name)}: {share_words(share)}")


def found(frame: Frame, base: str, tip: Tip, queue: Queue | None) -> list[tuple[str, ShareNone]]:
    """The shares of mistakes that were none, by name of run (of a queue) or of queue (of the lens's run)."""
    workspace = frame.workspace
    told = []
    for run, one in share_pairs(workspace, queue, str(frame.lens.run))[:MOST_SHARES]:
        share = _share(workspace, workspace.version, tip, base, run, one.id)
        if share.size:
            told.append((run if queue is not None else one.name, share))
    return told


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


@st.cache_resource(max_entries=128, show_spinner=False)
def _share(_workspace: Workspace, version: str, tip: Tip, base: str, run: str, queue: str) -> ShareNone:
    return rescore.share_none(_workspace, run, queue, base)
