"""The corrected labels: what reviewers decided, published as the label set `reviewed`."""

import streamlit as st

from analysis.errors import ErrataError
from analysis.results import rescore
from analysis.results.rescore import REVIEWED
from app import access, reviewing
from app.access import Action
from app.frame import Frame
from app.text import md_escape


def show(frame: Frame, base: str) -> None:
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
    if not reviewing.may(Action.DECIDE, frame.workspace_id):
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
        who = access.require(reviewing.person(), Action.DECIDE, frame.workspace_id)
        rescore.publish_reviewed(frame.workspace, base, who.id)
    except ErrataError as error:
        st.toast(md_escape(error), icon=":material/error:")
        return
    st.toast("Published: choose the label set reviewed at the top.", icon=":material/publish:")
