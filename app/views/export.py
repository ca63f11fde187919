"""Export: may I have the corrected labels?"""

from typing import Any

import polars as pl
import streamlit as st

from analysis.errors import ErrataError
from analysis.export import FORMATS, REVIEWED, ExportOptions, export, preview
from analysis.export.one_class import RULES
from analysis.review import log
from analysis.slices.saved import shortened
from analysis.workspace import Workspace
from app import access, exports, state
from app.components.gallery import gallery
from app.frame import Frame, tiles
from app.text import count, md_escape, plural

FIRST = 8
"""Items that are shown of what goes out."""
HISTORY = 20


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    who = access.current_person()
    if not access.allowed(who, exports.action_for(None), frame.workspace_id):
        st.info("Looking is not taking: exports need the role annotator. Ask an admin for it.", icon=":material/lock:")
        return None
    if frame.chosen.is_empty():
        st.markdown("**No item fulfils all conditions.** Take one away above.")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        options = _options(frame)
        wanted = st.button("Export", type="primary", icon=":material/download:", key="export-make")
    st.markdown(sentence(frame, options))
    if wanted:
        _export(frame, options)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _preview(frame, options)
        _history(frame)
    with right:
        st.caption(f"The first of {plural(frame.chosen.height, 'item')}")
        gallery(
            tiles(frame, frame.chosen.head(FIRST)),
            key="export-first",
            session=frame.session,
            tile_size=110,
            compact=True,
            total=frame.chosen.height,
            on_open=state.open_item,
        )
    return frame.chosen["item"]


def _options(frame: Frame) -> ExportOptions:
    """The widgets, side by side."""
    workspace = frame.workspace
    may_decide = access.allowed(access.current_person(), exports.action_for(REVIEWED), frame.workspace_id)
    published = workspace.label_set_names()
    names = published + ([REVIEWED] if may_decide and REVIEWED not in published else [])
    first = names.index(frame.lens.labels)
    labels = st.selectbox(
        "Labels",
        names,
        first,
        key="export_labels",
        bind="query-params",
        width=180,
        help="Whose labels go out. *reviewed* is the team's own: a label set in which the decisions of the review log "
        "stand in place of what it said.",
    )
    base = None
    if labels == REVIEWED and REVIEWED not in published:
        base = st.selectbox("Based on", published, first, key="export_base", bind="query-params", width=180)
    format = st.selectbox("As", list(FORMATS), key="export_as", bind="query-params", width=180)
    rule = "original-first"
    if format == "imagefolder":
        rule = st.selectbox(
            "One class an item",
            list(RULES),
            key="export_rule",
            bind="query-params",
            width=160,
            help="\n".join(f"- `{name}`: {rule.what}" for name, rule in RULES.items()),
        )
    return ExportOptions(
        to=exports.new_folder(workspace),
        format=format,
        slice=str(frame.slice) or "all",
        labels=labels,
        base=base,
        run=frame.lens.run,
        lens=frame.lens.labels,
        copy="zip",  # what is downloaded is one file
        one_class=rule,
    )


def sentence(frame: Frame, options: ExportOptions) -> str:
    """What goes out, as Markdown."""
    n, total = frame.chosen.height, frame.rows.height
    which = f"All {plural(n, 'item')}" if n == total else f"{count(n)} of {plural(total, 'item')}"
    labels = f"*{md_escape(options.labels)}*"
    if options.base is not None:
        labels += f" on *{md_escape(options.base)}*"
    text = f"**{which} with the labels of {labels}.** {FORMATS[options.format].what}"
    if options.format == "imagefolder":
        text += f": {RULES[options.one_class].what}"
    return f"{text}. The slice above says which items."


# ---- what it will say of itself


@st.cache_resource(max_entries=16, show_spinner=False)
def _described(
    _workspace: Workspace, version: str, position: int, _options: ExportOptions, key: tuple[Any, ...]
) -> dict[str, Any]:
    return preview(_workspace, _options)


def _preview(frame: Frame, options: ExportOptions) -> None:
    key = (options.format, options.slice, options.labels, options.base, options.run, options.lens)
    told = _described(frame.workspace, frame.workspace.version, log.last(frame.workspace), options, key)
    labels, asked = told["labels"], told["slice"]
    judged = f", by {asked['run']} under {asked['judged_by']}" if asked["run"] else ""
    rows = {
        "Items": f"{shortened(asked['line'], 200)}{judged}",
        "Labels": labels["rule"],
        "Note": labels["note"],
        "Review log": f"up to position {labels['review_log_position']}" if "base" in labels else "",
        "Dataset": f"version {told['dataset']['version']}, read {told['dataset']['read'][:10]}",
        "Licence": shortened(" ".join(told["licence"]), 240),
    }
    st.markdown("\n".join(f"- {name}: {md_escape(text)}" for name, text in rows.items() if text))
    with st.expander("The receipt that goes with it", icon=":material/receipt_long:"):
        st.json({name: value for name, value in told.items() if name != "class_list"}, expanded=1)
        st.caption("With the class map, what is left out and why, and a hash of every file. A datasheet goes with it.")


def _export(frame: Frame, options: ExportOptions) -> None:
    access.require(access.current_person(), exports.action_for(options.base), frame.workspace_id)
    bar = st.progress(0.0, "Writing")

    def tell(what: str, done: int, total: int | None) -> None:
        bar.progress(done / total if total else 0.0, f"{what}: {count(done)}")

    try:
        done = export(frame.workspace, options, tell)
    except ErrataError as error:
        st.error(md_escape(error), icon=":material/error:")
    else:
        lost = done.receipt["left_out"]["n"]
        rest = f" {plural(lost, 'item')} left out: see left\\_out.csv." if lost else ""
        st.success(f"{plural(done.receipt['n'], 'item')} exported.{rest}", icon=":material/check:")
    finally:
        bar.empty()


# ---- what was exported


def _history(frame: Frame) -> None:
    who = access.current_person()
    made = [
        one
        for one in exports.kept(frame.workspace)
        if access.allowed(who, exports.action_for(one.receipt["labels"].get("base")), frame.workspace_id)
    ]
    if not made:
        return
    st.subheader("Exports")
    for one in made[:HISTORY]:
        _kept(frame, one)
    if len(made) > HISTORY:
        st.caption(f"The newest {HISTORY} of {count(len(made))}.")


def _kept(frame: Frame, one: exports.Kept) -> None:
    told = one.receipt
    labels = told["labels"]["name"] + (f" on {told['labels']['base']}" if "base" in told["labels"] else "")
    when = f"{told['created'][:10]} {told['created'][11:16]} UTC"
    links = " · ".join(f"[{md_escape(name)}]({exports.url(frame.workspace_id, one.id, name)})" for name in one.files)
    words, button = st.columns([5, 1], vertical_alignment="center")
    words.markdown(
        f"**{md_escape(told['format']['name'])}**, {plural(told['n'], 'item')}, *{md_escape(labels)}*, "
        f"{md_escape(shortened(told['slice']['line'], 60))}, {md_escape(when)}  \n{links}"
    )
    button.button(
        "Remove",
        key=f"export-remove-{one.id}",
        type="tertiary",
        on_click=_remove,
        args=(frame, one),
    )


def _remove(frame: Frame, one: exports.Kept) -> None:
    """As a callback, which runs before the page asks who is here."""
    if access.allowed(
        access.current_person(), exports.action_for(one.receipt["labels"].get("base")), frame.workspace_id
    ):
        exports.remove(frame.workspace, one.id)
