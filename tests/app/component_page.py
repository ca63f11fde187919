"""A page with every component on it, for a real server and for AppTest; not collected by pytest."""

import numpy as np
import streamlit as st

from app import routes, shelf, state
from app.components.gallery import gallery
from app.components.item import Candidate, ItemCard, LabelChip, LabelRow, RunRow, item_card
from app.components.map import ClusterName, LegendEntry, embedding_map
from app.components.outcomes import OUTCOMES
from app.components.rows import ClassExamples, MistakeRow, mistake_rows
from app.components.shared import Tile, page_session
from app.text import md_escape

st.set_page_config(page_title="Components", layout="wide")
workspace_id = shelf.ids()[0]
workspace = shelf.workspace(workspace_id)
session = page_session(workspace_id)
items = workspace.items()
tiles = [
    Tile(
        row["item"],
        row["key"],
        hash=row["hash"],
        label="<b>dough</b>",
        prediction="![x](http://evil.example/p.png)",
        outcome=OUTCOMES[row["item"] % 4],
    )
    for row in items.iter_rows(named=True)
]


@st.dialog("Item", width="medium", position="right", on_dismiss=state.close_item)
def drawer() -> None:
    item = state.opened_item(items.height)
    if item is None:
        return

    def step(by: int) -> None:
        state.open_item(item + by)

    item_card(
        ItemCard(
            tiles[item],
            sentence="Predicted <i>bagel</i>.",
            outcome="wrong",
            place=f"{item + 1} of {items.height}",
            labels=[LabelRow("original", [LabelChip("dough"), LabelChip("bagel", "rejected")])],
            runs=[RunRow("a run", [Candidate("bagel", "61.0 %", 0.61, "wrong"), Candidate("dough", "2nd")])],
            metadata=[("camera", "<script>alert(1)</script>")],
            neighbours=tiles[:2],
            size=(400, 200),
        ),
        key="card",
        session=session,
        has_previous=item > 0,
        has_next=item + 1 < items.height,
        on_open=state.open_item,
        on_step=step,
    )


run = st.selectbox("Run", ["one", "two"], key="run", bind="query-params")
where = st.multiselect(
    "Slice", ["class=a, b", "x=c&d", md_escape("![x](http://e.example)")], key="where", bind="query-params"
)
st.markdown(f"run {run}, {len(where)} conditions, {md_escape('![x](http://evil.example/p.png) www.evil.example')}")
embedding_map(
    routes.points_url(workspace_id, workspace.spaces()[0]),
    key="map",
    session=session,
    colors=np.arange(items.height, dtype=np.uint8) % 4,
    legend=[LegendEntry(outcome, 2, outcome=outcome) for outcome in OUTCOMES],
    visible=np.arange(items.height) < 2,
    clusters=[ClusterName("<b>breads</b>", 1.0, -1.0, 3)],
    height=300,
    on_open=state.open_item,
)
gallery(tiles, key="gallery", session=session, on_open=state.open_item)
mistake_rows(
    [MistakeRow(tiles[0], ClassExamples("dough", tiles[:1]), ClassExamples("bagel", [], "61 %"), ["Sure of it."])],
    key="rows",
    session=session,
    on_open=state.open_item,
)
if state.opened_item(items.height) is not None:
    drawer()
