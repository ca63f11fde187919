"""The flip table of Compare: what the label set says of A's predictions and of B's, and the images of each cell."""

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from analysis import comparison
from analysis.comparison import VERDICTS, Comparison
from analysis.slices import Condition
from app import state
from app.comparison_words import together
from app.components.gallery import gallery
from app.components.outcomes import LOOKS
from app.frame import Frame, rows_of, tiles
from app.population import Population, open_where
from app.text import count, percent, plural

THUMBNAILS = 12
LABEL_WIDTH, CELL_WIDTH = 120, 140  # in pixels
Cells = dict[tuple[str, str], tuple[int, float]]
"""n and share by the verdict on A and that on B."""
_LAST = "flip-table-cell"


def flip_table(frame: Frame, about: Population, found: Comparison, paired: pl.DataFrame) -> pl.Series:
    """The table, what the two are worth together, and some images of the cell that is chosen; returns their items."""
    cells: Cells = {(a, b): (n, share) for a, b, n, share in comparison.flip_table(paired).iter_rows()}
    chosen = _chosen(cells)
    columns = [verdict for verdict in VERDICTS.categories if any(b == verdict for _, b in cells)]
    # Beside each other where the page is wide enough, else below.
    with st.container(horizontal=True, gap="large"):
        with st.container(width=LABEL_WIDTH + (len(columns) + 1) * CELL_WIDTH):
            _table(found, cells, columns, chosen)
        with st.container(width="stretch"):
            st.subheader("Together", help="What the two are worth side by side, on the items compared.")
            st.markdown("\n".join(f"- {said}" for said in together(found)))
    return _images(frame, about, found, paired, chosen)


def _table(found: Comparison, cells: Cells, columns: list[str], chosen: tuple[str, str]) -> None:
    st.subheader(
        "Flip table",
        help="Each item is in one cell: what the label set says of A's prediction (row) and of B's (column). Choose a "
        "cell to see its images. Right and unclear count as right, unjudged and wrong as wrong.",
    )

    def line() -> list[DeltaGenerator]:
        spec = [LABEL_WIDTH, *[CELL_WIDTH] * (len(columns) + 1)]
        return list(st.columns(spec, gap="xsmall", vertical_alignment="center"))

    def total(verdict: str, place: int) -> str:
        return count(sum(n for cell, (n, _) in cells.items() if cell[place] == verdict))

    head = line()
    head[0].caption("A down, B across")
    for place, column in enumerate(columns):
        head[place + 1].caption(f"B {_verdict(column)}")
    head[-1].caption("all of A")
    for row in [verdict for verdict in VERDICTS.categories if any(a == verdict for a, _ in cells)]:
        places = line()
        places[0].caption(f"A {_verdict(row)}")
        for place, column in enumerate(columns):
            n, share = cells.get((row, column), (0, 0.0))
            places[place + 1].button(
                f"{count(n)} :small[· {percent(share)}]",
                key=f"cell-{row}-{column}",
                width="stretch",
                disabled=not n,
                type="primary" if (row, column) == chosen else "secondary",
                on_click=_choose,
                args=(f"{row}-{column}",),
            )
        places[-1].caption(total(row, 0))
    foot = line()
    foot[0].caption("all of B")
    for place, column in enumerate(columns):
        foot[place + 1].caption(total(column, 1))
    foot[-1].caption(count(found.n))
    st.caption(
        f"Both right {count(found.both_right)} · only A wrong {count(found.only_a_wrong)} · only B wrong "
        f"{count(found.only_b_wrong)} · both wrong {count(found.both_wrong)}"
    )


def _verdict(verdict: str) -> str:
    return f"{LOOKS[verdict].sign} {verdict}"  # type: ignore[index]


def _choose(cell: str) -> None:
    """In a callback: the address names the cell; who comes back from its images finds it again."""
    st.session_state[_LAST] = cell
    state.write("cell", cell)


def _chosen(cells: Cells) -> tuple[str, str]:
    """The cell of the address, else the last one; else the largest of those in which the runs fare differently."""
    if "cell" not in st.query_params:
        state.write("cell", st.session_state.get(_LAST))
    first, _, second = st.query_params.get("cell", "").partition("-")
    if (first, second) in cells:
        return first, second
    good = ("right", "unclear")
    return max(cells, key=lambda cell: ((cell[0] in good) != (cell[1] in good), cells[cell][0]))


def _images(
    frame: Frame, about: Population, found: Comparison, paired: pl.DataFrame, cell: tuple[str, str]
) -> pl.Series:
    """Some images of a cell, and the way to all of them; returns the items that are shown."""
    rows = paired.filter(verdict_a=cell[0], verdict_b=cell[1])
    shown = rows.sample(min(THUMBNAILS, rows.height), seed=0).sort("item")
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with line:
        st.subheader(f"A {cell[0]}, B {cell[1]}", width="stretch")
        conditions = [Condition(f"verdict@{run}", verdict) for run, verdict in ((found.a, cell[0]), (found.b, cell[1]))]
        st.button(
            f"Browse {plural(rows.height, 'item')}",
            icon=":material/grid_view:",
            key="browse-cell",
            on_click=open_where,
            args=(about, conditions, _look_through(frame, found)),
        )
    names = pl.Series("name", frame.class_names, dtype=pl.String)
    as_a = shown.select(
        "item",
        predicted=names.gather(shown["prediction_a"]),
        other=names.gather(shown["prediction_b"]),
        right="right_a",
        unjudged="unjudged_a",
    )
    of_items = rows_of(frame, shown["item"]).drop("predicted", "right", "unjudged")
    gallery(
        tiles(frame, of_items.join(as_a, on="item", maintain_order="left"), note=lambda row: f"B: {row['other']}"),
        key="cell",
        session=frame.session,
        tile_size=110,
        selected=state.opened_item(frame.workspace.items().height),
        total=rows.height,
        on_open=state.open_item,
    )
    few = "" if rows.height <= THUMBNAILS else f"{THUMBNAILS} of {count(rows.height)}, drawn at random. "
    st.caption(f"{few}Each with its label, A's prediction and B's.")
    return shown["item"]


def _look_through(frame: Frame, found: Comparison) -> str | None:
    """A, where the lens looks through a third run, whose predictions would stand under the images."""
    return None if frame.lens.run in (found.a, found.b) else found.a
