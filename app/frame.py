"""The frame around every page: which workspace, through which lens, and which slice of it.

Run, label set and slice are widgets bound to the URL's query, one key each, drawn by `main.py` on every page: so a
link reopens what was seen, and whoever narrows down on one page sees the same items on the next.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl
import streamlit as st

from analysis import lens as lenses
from analysis.lens import Lens
from analysis.slices import Condition, Slice, facets
from analysis.workspace import Workspace
from app import shelf
from app.components.outcomes import Outcome
from app.components.shared import Session, Tile, page_session
from app.text import count

OUTCOME_WORDS = {
    "not_scored": "not scored",
    "correct": "correct",
    "agrees_with_rejected": "agrees with a rejected label",
    "multi_label": "valid by another label",
    "mistake": "mistake",
}

WISH = "go_to"
"""The key of session state under which a callback leaves the page to open."""


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


def choose_workspace() -> str:
    """The workspace that the page shows; the sidebar offers the others."""
    ids = shelf.ids()
    if len(ids) == 1:
        return ids[0]
    names = {workspace_id: shelf.opened(workspace_id).name for workspace_id in ids}
    unique = {i: name if list(names.values()).count(name) == 1 else f"{name} ({i})" for i, name in names.items()}
    with st.sidebar:
        return st.selectbox("Workspace", ids, format_func=unique.__getitem__, key="workspace", bind="query-params")


def draw_frame(workspace_id: str) -> Frame:
    """Draw the line of lens and slice, and evaluate them."""
    workspace = shelf.workspace(workspace_id)
    session = page_session(workspace_id)
    names = workspace.classes().display_names()
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="frame")
    runs = workspace.run_names()
    with line:
        run = None
        if runs:
            run = st.selectbox("Run", runs, key="run", bind="query-params", width=230)
        labels = st.selectbox(
            "Label set",
            workspace.label_set_names(),
            key="labels",
            bind="query-params",
            width=130,
            help="Who says which classes are valid for an image.",
        )
        lens = Lens(run, str(labels), _map_space(workspace))
        rows = lens_rows(workspace, workspace.version, lens)
        options = slice_options(workspace, workspace.version, lens)
        texts = st.multiselect(
            "Slice",
            list(options),
            format_func=options.__getitem__,
            key="where",
            bind="query-params",
            placeholder="All items; add a condition",
            select_all=False,
        )
        chosen_slice = Slice.parse(texts)
        chosen = chosen_slice.apply(rows)
        st.markdown(f"**{count(chosen.height)}** of {count(rows.height)} items", width="content")
    return Frame(workspace_id, workspace, session, lens, chosen_slice, rows, chosen, names)


def _map_space(workspace: Workspace) -> str | None:
    """The space whose map and clusters are shown: one that has them, before one that has not."""
    spaces = sorted(workspace.spaces(), key=lambda space: (space.file("members.parquet") is None, space.name))
    return spaces[0].name if spaces else None


@st.cache_resource(max_entries=32, show_spinner=False)
def lens_rows(_workspace: Workspace, version: str, lens: Lens) -> pl.DataFrame:
    """The lens frame, shared between sessions; `version` tells workspaces and their states apart."""
    return lenses.frame(_workspace, lens)


@st.cache_resource(max_entries=32, show_spinner=False)
def slice_options(_workspace: Workspace, version: str, lens: Lens) -> dict[str, str]:
    """The conditions that the slice line offers: each as text -> in words."""
    rows = lens_rows(_workspace, version, lens)
    columns = ["outcome", "unjudged", "class", "predicted", "cluster", "split"]
    found = facets(rows, [*columns, *lenses.metadata_columns(_workspace)])
    display = dict(zip(_workspace.classes().ids, _workspace.classes().display_names(), strict=True))
    return {
        str(Condition(column, value)): f"{column}: {condition_words(column, value, display)}"
        for column, value in found.select("column", "value").iter_rows()
    }


def condition_words(column: str, value: str, class_names: dict[str, str]) -> str:
    """A condition's value as people read it."""
    if column in ("class", "predicted"):
        return class_names.get(value, value)
    return OUTCOME_WORDS.get(value, value) if column == "outcome" else value


def narrow(conditions: Iterable[Condition]) -> None:
    """In a callback: make these conditions the slice, in place of others on the same columns."""
    wanted = list(conditions)
    columns = {condition.column for condition in wanted}
    kept = [text for text in st.session_state.get("where", []) if Condition.parse(text).column not in columns]
    st.session_state["where"] = [*kept, *map(str, wanted)]


def go_to(page: str, **parameters: int | str) -> None:
    """In a callback: open another page with these parameters of its own; `main.py` does it, callbacks cannot."""
    st.session_state[WISH] = (page, {name: str(value) for name, value in parameters.items()})


def tiles(
    frame: Frame, rows: pl.DataFrame, note: Callable[[dict[str, object]], str | None] = lambda row: None
) -> list[Tile]:
    """Rows of the lens frame as tiles; `note` may add a word to each."""
    return [
        Tile(
            item=row["item"],
            key=row["key"],
            hash=row["hash"],
            label=None if row["target"] is None else frame.class_names[row["target"]],
            prediction=None if row["prediction"] is None else frame.class_names[row["prediction"]],
            outcome=outcome_look(row["outcome"], row["unjudged"]),
            note=note(row),
            problem=row["problem"],
        )
        for row in rows.iter_rows(named=True)
    ]


def outcome_look(outcome: str | None, unjudged: bool | None) -> Outcome | None:
    """How an outcome is coloured and signed; None for what is not scored."""
    if outcome in (None, "not_scored"):
        return None
    if outcome in ("correct", "multi_label"):
        return "right"
    return "unjudged" if unjudged else "wrong"


def rows_of(frame: Frame, items: Iterable[int]) -> pl.DataFrame:
    """The lens frame's rows of some items, in the order given."""
    wanted = pl.DataFrame({"item": list(items)}, schema={"item": pl.UInt32})
    return wanted.join(frame.rows, on="item", how="inner", maintain_order="left")
