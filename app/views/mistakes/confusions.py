"""Which classes are taken for which: pairs, the most frequent first, beside a heat map of classes or superclasses."""

import math

import polars as pl
import streamlit as st

from analysis import outcomes
from analysis.details import exemplars
from analysis.labels.superclasses import Superclasses
from analysis.results.mistakes import ConfusionMatrix, class_matrix, superclass_matrix, within_superclasses
from analysis.results.outcomes import causes
from analysis.slices import Clause, Condition, Not, OneOf
from app.charts.confusion import confusion_heat_map
from app.charts.shown import chart
from app.components.rows.pairs import Pair, pair_list
from app.frame import Frame, rows_of, tiles, widen
from app.paging import page_number
from app.text import count, md_escape, percent, plural
from app.views.mistakes.slicing import PAIR, cache_key, chosen_pair, put, without

PAGE_SIZE = 20
EXAMPLES = 3
CLASSES = 40
"""How many classes, or superclasses, the heat map shows: their names stay readable."""
WRONG = Condition("right", "false")


def show(frame: Frame) -> pl.Series | None:
    """The list at the left, the heat map at the right. A pair chosen in either narrows the slice to its images."""
    chosen = chosen_pair(frame)
    rows, key = without(frame, PAIR) if chosen else (frame.chosen, cache_key(frame, frame.slice))
    pairs = _pairs(rows, key)
    if pairs.is_empty():
        st.caption("No class was taken for another one among these images.")
        return None
    superclasses = causes(frame.workspace, frame.lens.labels).superclasses
    index = {name: place for place, name in enumerate(frame.class_names)}
    place = (index[chosen[0]], index[chosen[1]]) if chosen and set(chosen) <= index.keys() else None
    left, right = st.columns([33, 67], gap="large")
    with left:
        _list(frame, rows, pairs, place)
    with right:
        _matrix(frame, pairs, key, superclasses, place)
    return frame.chosen.filter(~pl.col("right"))["item"]


@st.cache_resource(max_entries=32, show_spinner=False)
def _pairs(_rows: pl.DataFrame, key: str) -> pl.DataFrame:
    return outcomes.confusions(_rows)


@st.cache_resource(max_entries=32, show_spinner=False)
def _of_classes(_pairs: pl.DataFrame, key: str, _superclasses: Superclasses | None) -> ConfusionMatrix:
    return class_matrix(_pairs, _superclasses, CLASSES)


@st.cache_resource(max_entries=32, show_spinner=False)
def _of_superclasses(_pairs: pl.DataFrame, key: str, _superclasses: Superclasses) -> ConfusionMatrix:
    return superclass_matrix(_pairs, _superclasses, CLASSES)


def _list(frame: Frame, rows: pl.DataFrame, pairs: pl.DataFrame, chosen: tuple[int, int] | None) -> None:
    pages = max(1, math.ceil(pairs.height / PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        what = f"**{plural(pairs.height, 'pair')}**, the most frequent first"
        st.markdown(what, width="stretch")
        number = page_number(pages, "pairs", visible=3)
    shown = pairs.slice((number - 1) * PAGE_SIZE, PAGE_SIZE)
    scored = rows.filter(pl.col("right").is_not_null(), pl.col("target").is_in(shown["target"].implode()))
    sizes = dict(scored["target"].value_counts().iter_rows())
    places = list(shown.select("target", "prediction").iter_rows())
    pixels = frame.workspace.image_root is not None
    examples = exemplars(frame.rows, sorted({index for pair in places for index in pair}), EXAMPLES) if pixels else {}
    pictures = {index: tiles(frame, rows_of(frame, items)) for index, items in examples.items()}
    pair_list(
        [
            Pair(
                frame.class_names[target],
                frame.class_names[prediction],
                n,
                f"of {count(sizes[target])}",
                pictures.get(target, ()),
                pictures.get(prediction, ()),
            )
            for target, prediction, n in shown.select("target", "prediction", "n").iter_rows()
        ],
        key="pair-list",
        session=frame.session,
        largest=int(pairs["n"][0]),
        chosen=places.index(chosen) if chosen in places else None,
        on_choose=lambda place: _choose(frame, places[place], chosen) if place < len(places) else None,
    )


def _choose(frame: Frame, pair: tuple[int, int], chosen: tuple[int, int] | None) -> None:
    """In a callback: narrow to a pair and show its rows; or widen where it is the one that is chosen."""
    if pair == chosen:
        widen(PAIR)
        return
    label, prediction = (frame.class_names[index] for index in pair)
    wanted = [Condition("class", label), Condition("predicted", prediction), WRONG]
    put(wanted, instead_of=(*PAIR, "right"), as_rows=True)


def _matrix(
    frame: Frame, pairs: pl.DataFrame, key: str, superclasses: Superclasses | None, chosen: tuple[int, int] | None
) -> None:
    kind: str | None = "Classes"
    if superclasses is not None:
        kind = st.segmented_control(
            "Heat map of",
            ["Classes", "Superclasses"],
            default="Classes",
            required=True,
            key="matrix",
            bind="query-params",
            label_visibility="collapsed",
        )
    if kind == "Superclasses" and superclasses is not None:
        matrix = _of_superclasses(pairs, key, superclasses)
        names = superclasses.table["name"].to_list()
        st.caption(_superclass_rule(matrix, pairs, superclasses))
        _draw(frame, matrix, names, None, superclasses)
    else:
        matrix = _of_classes(pairs, key, superclasses)
        st.caption(_class_rule(frame, matrix, pairs, superclasses))
        _draw(frame, matrix, frame.class_names, chosen, None)


def _class_rule(frame: Frame, matrix: ConfusionMatrix, pairs: pl.DataFrame, superclasses: Superclasses | None) -> str:
    order = "those often confused side by side" if superclasses is None else "ordered by superclass (the lines)"
    involved = pl.concat([pairs["target"], pairs["prediction"]]).n_unique()
    held = f"{count(matrix.n_shown)} of {plural(matrix.n, 'mistake')} ({percent(matrix.n_shown / matrix.n)})"
    if involved <= len(matrix.order):
        return f"All {count(involved)} classes that are confused, {order}. {_scale(matrix)}"
    return (
        f"{count(len(matrix.order))} of the {count(involved)} classes that are confused: those of the most frequent "
        f"pairs, {order}; {held} are among them. {_scale(matrix)}"
    )


def _superclass_rule(matrix: ConfusionMatrix, pairs: pl.DataFrame, superclasses: Superclasses) -> str:
    within = within_superclasses(pairs, superclasses)
    total = superclasses.table.height
    some = f"The {count(len(matrix.order))} of {count(total)} superclasses with most confusions"
    which = f"{some}, {count(matrix.n_shown)} of them shown" if len(matrix.order) < total else "All superclasses"
    return (
        f"**{percent(within / matrix.n)}** of {plural(matrix.n, 'confusion')} stay within a superclass. {which}; a "
        f"class that is in two counts in both. Superclasses by {md_escape(superclasses.basis)}. {_scale(matrix)}"
    )


def _scale(matrix: ConfusionMatrix) -> str:
    most = max(matrix.cells["n"], default=0)
    return f"The stronger, the more: 1 to {count(most)}. Click a cell to see its images."


def _draw(
    frame: Frame,
    matrix: ConfusionMatrix,
    names: list[str],
    chosen: tuple[int, int] | None,
    superclasses: Superclasses | None,
) -> None:
    key = "class-matrix" if superclasses is None else "superclass-matrix"

    def pick() -> None:
        points = [point for point in st.session_state[key]["selection"]["points"] if "customdata" in point]
        if not points:
            return
        label, prediction = points[0]["customdata"]
        if superclasses is None:
            _choose(frame, (label, prediction), chosen)
        else:
            put(_between(frame, superclasses, label, prediction), instead_of=(*PAIR, "right"), as_rows=True)

    chart(
        confusion_heat_map(matrix, names, chosen=chosen, diagonal=superclasses is not None),
        lambda: matrix.cells.select(
            label=pl.Series(names).gather(matrix.cells["label"]),
            predicted=pl.Series(names).gather(matrix.cells["prediction"]),
            n="n",
        ).sort("n", descending=True),
        key=key,
        alt="Labels against wrong predictions; the same numbers are in the table.",
        on_select=pick,
    )


def _between(frame: Frame, superclasses: Superclasses, label: int, prediction: int) -> list[Clause]:
    """The conditions on labels of one superclass (a row of the table) that were taken for classes of another."""
    members = superclasses.table["classes"]
    classes, predicted = (
        tuple(frame.class_names[index] for index in members[place].to_list()) for place in (label, prediction)
    )
    wanted: list[Clause] = [OneOf("class", classes), OneOf("predicted", predicted), WRONG]
    # A label that is not valid is no confusion, though the prediction is wrong.
    return [*wanted, Not(Condition("outcome", "agrees_with_rejected"))] if label == prediction else wanted
