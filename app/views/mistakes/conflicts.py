"""Where label sets disagree: about the original label, or about whether the prediction is valid."""

import math
from typing import Literal, get_args

import polars as pl
import streamlit as st

from analysis.results.mistakes import differing, disagreements
from analysis.slices import Clause, Condition
from app import state
from app.charts.confusion import disagreement_table
from app.charts.shown import chart
from app.components.gallery import gallery
from app.frame import Frame, lens_column, tiles, widen
from app.paging import page_number
from app.text import count, md_escape, percent, plural
from app.views.mistakes.slicing import put, without

PAGE_SIZE = 40
About = Literal["Original label", "Prediction"]


def show(frame: Frame) -> pl.Series | None:
    """Label set by label set how often one says yes and the other no; beside it the images, whose items it returns."""
    sets = frame.workspace.label_set_names()
    if len(sets) < 2:
        st.caption(
            "Label sets are held against each other, and there is one only. Import another with `errata labels import`."
        )
        return None
    picked = st.segmented_control(
        "Conflicts about",
        get_args(About),
        default="Original label",
        required=True,
        key="about",
        bind="query-params",
        label_visibility="collapsed",
    )
    about: About = picked or "Original label"
    columns = [f"{kind}@{name}" for name in sets for kind in ("valid", "right", "unjudged")]
    said = _said(frame, about, sets)
    rows = without(frame, columns)[0].select("item").join(said, on="item", how="left", maintain_order="left")
    counts = disagreements(rows.select(sets))
    st.markdown(sentence(counts, about), help=_notes(frame, sets))
    left, right = st.columns([4, 7], gap="large")
    with left:
        _table(frame, counts, sets, about, columns)
    with right:
        return _images(frame, said, sets, about)


def _said(frame: Frame, about: About, sets: list[str]) -> pl.DataFrame:
    """item, and a column a label set: whether it holds the label (or the prediction) valid, null where it is silent."""

    def column(name: str) -> pl.Series:
        return lens_column(frame.workspace, frame.version, frame.lens, name)

    found = [frame.rows["item"]]
    for name in sets:
        if about == "Original label":
            found.append(column(f"valid@{name}").alias(name))
        else:
            # What nobody judged is no verdict to disagree with.
            unjudged = column(f"unjudged@{name}").fill_null(False)
            found.append(column(f"right@{name}").set(unjudged, None).alias(name))
    return pl.DataFrame(found)


def sentence(counts: pl.DataFrame, about: About) -> str:
    """The two label sets that disagree about most images, as Markdown."""
    differ = counts.with_columns(differ=pl.col("only_first") + pl.col("only_second")).filter(pl.col("n") > 0)
    if differ.is_empty():
        return "**No two label sets judge the same image** among these."
    most = differ.sort("differ", descending=True).row(0, named=True)
    if not most["differ"]:
        return f"**No two label sets disagree** about the {about.lower()} of these images."
    first, second = md_escape(most["first"]), md_escape(most["second"])
    return (
        f"*{first}* and *{second}* disagree about the {about.lower()} of **{plural(most['differ'], 'image')}**, "
        f"{percent(most['differ'] / most['n'])} of the {count(most['n'])} that both judge."
    )


def _notes(frame: Frame, sets: list[str]) -> str | None:
    """What one must know of the label sets to read their disagreement."""
    notes = {name: frame.workspace.labels(name).note for name in sets}
    return "\n".join(f"- *{md_escape(name)}*: {md_escape(note)}" for name, note in notes.items() if note) or None


def _table(frame: Frame, counts: pl.DataFrame, sets: list[str], about: About, columns: list[str]) -> None:
    cells = {}
    for row in counts.iter_rows(named=True):
        cells[row["first"], row["second"]] = (row["only_first"], row["n"])
        cells[row["second"], row["first"]] = (row["only_second"], row["n"])
    open_sets = {name for name in sets if frame.workspace.labels(name).absent == "unjudged"}

    dark = st.context.theme.type == "dark"

    def pick() -> None:
        points = [point for point in st.session_state["conflicts"]["selection"]["points"] if "customdata" in point]
        if points:
            first, second = points[0]["customdata"]
            wanted = conditions_of(first, second, about, open_sets)
            if set(wanted) <= set(frame.slice.conditions):
                widen(columns)
            else:
                put(wanted, instead_of=columns)

    chart(
        disagreement_table(cells, sets, row="valid by {}", column="not valid by {}", dark=dark),
        lambda: counts.rename({"only_first": "only first", "only_second": "only second"}),
        key="conflicts",
        alt="How often one label set holds valid what another does not; the same numbers are in the table.",
        on_select=pick,
    )
    st.caption(
        f"Images whose {about.lower()} the set at the left holds valid and the one on top does not, and their share of "
        "the images that both judge. Unclear counts as valid. Click a cell to see its images."
    )


def conditions_of(first: str, second: str, about: About, open_sets: set[str]) -> list[Clause]:
    """The conditions on what the first label set holds valid and the second does not."""
    if about == "Original label":
        return [Condition(f"valid@{first}", "true"), Condition(f"valid@{second}", "false")]
    found: list[Clause] = [Condition(f"right@{first}", "true"), Condition(f"right@{second}", "false")]
    return [*found, Condition(f"unjudged@{second}", "false")] if second in open_sets else found


def _images(frame: Frame, said: pl.DataFrame, sets: list[str], about: About) -> pl.Series:
    """The slice's images on which any two label sets differ, the most confident predictions first."""
    rows = frame.chosen.select("item").join(said, on="item", how="left", maintain_order="left")
    words = said.rename({name: f"said {place}" for place, name in enumerate(sets)})
    found = frame.chosen.filter(differing(rows.select(sets))).join(words, on="item", how="left")
    found = found.sort("confidence", "item", descending=[True, False], nulls_last=True)
    pages = max(1, math.ceil(found.height / PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"{plural(found.height, 'image')} on which label sets disagree", width="stretch")
        number = page_number(pages, "conflicts_page")
    first = (number - 1) * PAGE_SIZE
    gallery(
        tiles(frame, found.slice(first, PAGE_SIZE), note=lambda row: note(row, sets)),
        key="conflict-images",
        session=frame.session,
        tile_size=130,
        selected=state.opened_item(frame.workspace.items().height),
        first=first,
        total=found.height,
        empty="The label sets agree on all of these images.",
        on_open=state.open_item,
    )
    return found["item"]


def note(row: dict[str, object], sets: list[str]) -> str:
    """Which label sets say yes and which say no, of a row with their words."""
    yes, no = ([name for place, name in enumerate(sets) if row[f"said {place}"] is said] for said in (True, False))
    return f"valid by {', '.join(yes)}; not by {', '.join(no)}"
