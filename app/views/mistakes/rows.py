"""Mistakes as rows, the most confident first: the image beside examples of its label and of the prediction."""

import math

import polars as pl
import streamlit as st

from analysis.details import exemplars
from analysis.outcomes import evidence
from analysis.results.outcomes import accepting, causes
from app import state
from app.components.rows import ClassExamples, MistakeRow, mistake_rows
from app.frame import Frame, rows_of, tiles
from app.outcome_words import because, said_by
from app.paging import page_number
from app.text import percent, plural

PAGE_SIZE = 20
EXAMPLES = 3


def show(frame: Frame) -> pl.Series:
    """The rows of the slice's wrong predictions; returns their items in this order."""
    wrong = frame.chosen.filter(~pl.col("right"))
    wrong = wrong.sort("confidence", "item", descending=[True, False], nulls_last=True)
    pages = max(1, math.ceil(wrong.height / PAGE_SIZE))
    surest = "the most confident first" if wrong["confidence"].null_count() < wrong.height else "in dataset order"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if wrong.height:
            st.markdown(f"{plural(wrong.height, 'mistake')}, {surest}", width="stretch")
        number = page_number(pages, "mistakes")
    _page(frame, wrong.slice((number - 1) * PAGE_SIZE, PAGE_SIZE))
    return wrong["item"]


def _page(frame: Frame, shown: pl.DataFrame) -> None:
    classes = pl.concat([shown["target"], shown["prediction"]]).drop_nulls().unique().to_list()
    examples = exemplars(frame.rows, classes, EXAMPLES + 1) if frame.workspace.image_root is not None else {}
    labels = frame.lens.labels
    reasons = evidence(shown, accepting(frame.workspace, labels), causes(frame.workspace, labels))
    mistake_rows(
        [
            MistakeRow(
                tile=tile,
                label=_examples(frame, examples, row["item"], row["target"], ""),
                predicted=_examples(
                    frame,
                    examples,
                    row["item"],
                    row["prediction"],
                    "" if row["confidence"] is None else percent(row["confidence"]),
                ),
                evidence=_evidence(frame, row, why),
                severity=row["severity"] or "",
                said_by=said_by(why),
            )
            for tile, row, why in zip(
                tiles(frame, shown), shown.iter_rows(named=True), reasons.iter_rows(named=True), strict=True
            )
        ],
        key="mistake-rows",
        session=frame.session,
        selected=state.opened_item(frame.workspace.items().height),
        empty="No mistakes among these items.",
        on_open=state.open_item,
    )


def _examples(
    frame: Frame, examples: dict[int, list[int]], mistake: int, index: int | None, text: str
) -> ClassExamples:
    """A class beside its exemplars, the mistake not among them; without pixels there is nothing to see."""
    if index is None:
        return ClassExamples("no label", [], text, none="")
    if index not in examples:
        return ClassExamples(frame.class_names[index], [], text, none="")
    others = [item for item in examples[index] if item != mistake][:EXAMPLES]
    return ClassExamples(frame.class_names[index], tiles(frame, rows_of(frame, others)), text)


def _evidence(frame: Frame, row: dict[str, object], why: dict[str, object]) -> list[str]:
    """Why it counts as wrong, in words; nothing where the label alone says it."""
    unjudged = f"Nobody judged this class on this image in “{frame.lens.labels}”." if row["unjudged"] else ""
    return [sentence for sentence in (because(why, frame.class_names, frame.lens.labels), unjudged) if sentence]
