"""The frame around every page: which workspace, through which lens, and which slice of it.

Run, label set and slice are widgets bound to the URL's query, one key each, drawn by `main.py` above every page: so a
link reopens what was seen, and whoever narrows down on one page sees the same items on the next.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl
import streamlit as st

from analysis import lens as lenses
from analysis import overview
from analysis.artefacts import Artefact
from analysis.derived import offered
from analysis.errors import InputError, WorkspaceError
from analysis.lens import Lens
from analysis.overview import Standing
from analysis.results.review_log import tip
from analysis.results.trust import better_labels
from analysis.search import SpaceIndex, open_index
from analysis.slices import Clause, Condition, Items, Slice, clause_column, facets
from analysis.workspace import Workspace
from app import access, saved_slices, shelf
from app.access import Action
from app.components.shared import Session, Tile, page_session
from app.outcome_words import look
from app.text import count, md_escape

WISH = "go_to"
"""The key of session state under which a callback leaves the page to open."""

FACETS = ("right", "outcome", "unjudged", "forgiven", "severity", "class", "predicted", "cluster", "split")
"""Columns of every lens frame that the slice line offers; the dataset's own follow."""


@dataclass(frozen=True)
class Frame:
    """What a page works with: all rows of the lens, and those of the slice."""

    workspace_id: str
    workspace: Workspace
    session: Session
    lens: Lens
    slice: Slice
    rows: pl.DataFrame
    chosen: pl.DataFrame
    class_names: list[str]
    """Names by class index, unique: the id stands with a name that two classes share."""
    version: str
    """Of the workspace and its review log, which tells causes: what outcomes are cached by."""


# ---- the widgets


def choose_workspace() -> str:
    """The workspace that the page shows; the sidebar offers the others."""
    ids = shelf.ids()
    if not ids:
        raise WorkspaceError("No workspace is open on this server. Start it with `errata serve WS`.")
    if len(ids) == 1:
        return ids[0]
    names = {workspace_id: shelf.opened(workspace_id).name for workspace_id in ids}
    unique = {i: name if list(names.values()).count(name) == 1 else f"{name} ({i})" for i, name in names.items()}
    with st.sidebar:
        return st.selectbox(
            "Workspace",
            ids,
            format_func=unique.__getitem__,
            key="workspace",
            bind="query-params",
            on_change=_forget_lens,
        )


def _forget_lens() -> None:
    """Another workspace has other runs, label sets and conditions."""
    for key in ("run", "labels", "where"):
        st.session_state.pop(key, None)
    saved_slices.leave()


def draw_frame(workspace_id: str) -> Frame:
    """Draw the line of lens and slice, and evaluate them."""
    saved_slices.begin()
    workspace = shelf.workspace(workspace_id)
    session = page_session(workspace_id)
    asked = {key: st.query_params.get(key) for key in ("run", "labels")}
    version = f"{workspace.version} {tip(workspace)}"
    best = best_run(workspace, workspace.version)
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="frame")
    with line:
        run = _choose("Run", "run", workspace.run_names(), best.run if best else None, 230)
        labels = _choose(
            "Label set",
            "labels",
            workspace.label_set_names(),
            best.labels if best else None,
            130,
            "Who says which classes are valid for an image.",
        )
        lens = Lens(run, labels or "original", lenses.map_space(workspace))
        rows = lens_rows(workspace, version, lens)
        texts = st.multiselect(
            "Slice",
            slice_options(workspace, version, lens),
            key="where",
            bind="query-params",
            placeholder="All items; add a condition",
            accept_new_options=True,
            select_all=False,
            help="Such as right=false or confidence >= 0.9. Values of one column are alternatives.",
        )
        counted = st.container(width="content")
        menu = st.popover("Save", icon=":material/bookmark:", width="content", key="slices")
        review = st.container(width="content")
    found = saved_slices.draw_open(workspace)
    given = saved_slices.parsed(found.text) if found is not None else Slice()

    def derive(name: str) -> pl.Series:
        return lens_column(workspace, version, lens, name)

    within, rows, stale = fitting(given.parts(), rows, derive)
    parts, unread = read_conditions(texts)
    typed, rows, unfit = fitting(parts, rows, derive)
    whole = combined(within, typed, rows)
    chosen = whole.apply(rows)
    saved_slices.keep_short(workspace, workspace_id, whole, [*unread, *unfit])
    counted.markdown(f"**{count(chosen.height)}** of {count(rows.height)} items")
    with menu:
        saved_slices.draw_menu(workspace, workspace_id, whole, found, {"run": run, "labels": labels})
    if access.allowed(access.current_person(), Action.DECIDE, workspace_id):
        review.button(
            "Review",
            icon=":material/gavel:",
            type="tertiary",
            key="review-these",
            help="Review these: make a queue of them, for people to judge",
            disabled=chosen.is_empty(),
            on_click=lambda: go_to("review", step="new"),
        )
    saved_slices.draw_refusal()
    for key, shown, what in (("run", run, "run"), ("labels", labels, "label set")):
        if asked[key] not in (None, shown):
            st.caption(f":material/link_off: This link names the {what} “{md_escape(asked[key])}”, which is not here.")
    for reason in (stale | unread | unfit).values():
        st.caption(f":material/filter_alt_off: Left out: {md_escape(reason)}")
    for what, reason in stale_parts(workspace, lens):
        st.caption(f":material/history: {md_escape(what)} is stale: {md_escape(reason)}.")
    names = workspace.classes().display_names()
    return Frame(workspace_id, workspace, session, lens, whole, rows, chosen, names, version)


def _choose(
    label: str, key: str, options: list[str], first: str | None, width: int, help: str | None = None
) -> str | None:
    """A select box bound to the address; None where there is nothing to choose."""
    if not options:
        return None
    index = options.index(first) if first in options else 0
    return st.selectbox(label, options, index, key=key, bind="query-params", width=width, help=help)


def read_conditions(texts: Iterable[str]) -> tuple[list[Slice], dict[str, str]]:
    """The parts of the slice line, and of those that cannot be read why, by text."""
    parts, refused = [], {}
    for text in texts:
        try:
            parts.append(Slice.parse([text]))
        except InputError as error:
            refused[text] = str(error)
    return parts, refused


def fitting(
    parts: Iterable[Slice], rows: pl.DataFrame, derive: Callable[[str], pl.Series]
) -> tuple[Slice, pl.DataFrame, dict[str, str]]:
    """The slice of the parts that fit a lens frame, the frame with the columns they name, and of others why they do
    not, by text.

    `derive` makes a column that the frame has not, or raises InputError.
    """
    kept, refused = [], {}
    for part in parts:
        try:
            named = rows.with_columns(derive(name) for name in part.columns() if name not in rows.columns)
            part.check(named.schema)
        except InputError as error:
            refused[part.texts()[0]] = str(error)
        else:
            kept.append(part)
            rows = named
    return Slice.joined(kept), rows, refused


def combined(saved: Slice, line: Slice, rows: pl.DataFrame) -> Slice:
    """A saved slice narrowed by the slice line; where it has a sample, the items that this drew."""
    if saved.sample is not None and (line.conditions or line.sample is not None):
        saved = Slice((Items(tuple(saved.apply(rows)["item"])),), order=saved.order)
    return saved.narrowed(line)


def stale_parts(workspace: Workspace, lens: Lens) -> list[tuple[str, str]]:
    """What the page shows although it no longer matches the dataset, and why."""
    parts: list[tuple[str, Artefact]] = []
    if lens.run is not None:
        parts.append((f"Run {lens.run}", workspace.run(lens.run)))
    if lens.labels != "original":
        parts.append((f"Label set {lens.labels}", workspace.label_artefact(lens.labels)))
    if lens.space is not None:
        parts.append((f"The map by {lens.space}", workspace.space(lens.space)))
    return [(what, reason) for what, part in parts if (reason := workspace.stale(part))]


# ---- what is shared between sessions; `version` tells workspaces and their states apart


@st.cache_resource(max_entries=16, show_spinner=False)
def best_run(_workspace: Workspace, version: str) -> Standing | None:
    """The run that is right most often under the label set that says most: what pages show first."""
    return overview.best_standing(_workspace, better_labels(_workspace) or "original")


@st.cache_resource(max_entries=32, show_spinner=False)
def lens_rows(_workspace: Workspace, version: str, lens: Lens) -> pl.DataFrame:
    """The lens frame."""
    return lenses.frame(_workspace, lens)


@st.cache_resource(max_entries=64, show_spinner=False)
def lens_column(_workspace: Workspace, version: str, lens: Lens, name: str) -> pl.Series:
    """A derived column of the lens frame."""
    return lenses.derived(_workspace, lens, name, lens_rows(_workspace, version, lens)["item"])


@st.cache_resource(max_entries=32, show_spinner=False)
def slice_options(_workspace: Workspace, version: str, lens: Lens) -> list[str]:
    """The conditions that the slice line offers."""
    found = facets(lens_rows(_workspace, version, lens), [*FACETS, *lenses.metadata_columns(_workspace)])
    there = [str(Condition(column, value)) for column, value in found.select("column", "value").iter_rows()]
    return there + offered(_workspace, lens.run, lens.labels)


@st.cache_resource(max_entries=8, show_spinner=False)
def space_index(_workspace: Workspace, version: str, space: str) -> SpaceIndex:
    """The index of a space."""
    return open_index(_workspace.space(space).folder)


# ---- what callbacks do


def narrow(conditions: Iterable[Clause]) -> None:
    """In a callback: add these conditions to the slice, in place of others on the same columns."""
    wanted = list(conditions)
    widen(column for clause in wanted if (column := clause_column(clause)) is not None)
    st.session_state["where"] = [*st.session_state["where"], *map(str, wanted)]


def widen(columns: Iterable[str]) -> None:
    """In a callback: take the conditions on these columns out of the slice line."""
    gone = set(columns)
    st.session_state["where"] = [text for text in st.session_state.get("where", []) if not gone & asked_of(text)]


def asked_of(text: str) -> set[str]:
    """The columns that the conditions of a part of the slice line are on; none where it does not parse."""
    try:
        return set(Slice(Slice.parse([text]).conditions).columns())
    except InputError:
        return set()


def show_only(conditions: Iterable[Clause]) -> None:
    """In a callback: make these conditions the whole slice."""
    st.session_state["where"] = list(map(str, conditions))
    saved_slices.leave()


def open_slice(frame: Frame, text: str, name: str | None = None, page: str = "browse") -> None:
    """In a callback: save the slice that prints as `text` and open a page on it, by `slice=ID` in the address.

    The same text and name are saved once. Raises InputError for a text that is no slice.
    """
    go_to(page, **saved_slices.show_saved(frame.workspace, frame.workspace_id, text, name))


def go_to(page: str, **parameters: int | str) -> None:
    """In a callback: open another page with these parameters of its own; `main.py` does it, callbacks cannot."""
    st.session_state[WISH] = (page, {name: str(value) for name, value in parameters.items()})
    saved_slices.stay()


# ---- rows as people see them


def tiles(
    frame: Frame, rows: pl.DataFrame, note: Callable[[dict[str, object]], str | None] = lambda row: None
) -> list[Tile]:
    """Rows of the lens frame as tiles; `note` may add a word to each."""
    return [
        Tile(
            item=row["item"],
            key=row["key"],
            hash=row["hash"],
            label=row["class"],
            prediction=row["predicted"],
            outcome=look(row["right"], row["unjudged"]),
            note=note(row),
            problem=row["problem"],
        )
        for row in rows.iter_rows(named=True)
    ]


def rows_of(frame: Frame, items: Iterable[int]) -> pl.DataFrame:
    """The lens frame's rows of some items, in the order given."""
    wanted = pl.DataFrame({"item": list(items)}, schema={"item": pl.UInt32})
    return wanted.join(frame.rows, on="item", how="inner", maintain_order="left")
