"""Mistakes: which mistakes, and why? Rows of mistakes beside pictures of both classes."""

import math

import polars as pl
import streamlit as st

from analysis.details import exemplars
from analysis.outcomes import MISTAKES, confusions, evidence
from analysis.results.outcomes import accepting, causes
from analysis.slices import Condition
from app import state
from app.components.rows import ClassExamples, MistakeRow, mistake_rows
from app.frame import Frame, narrow, rows_of, tiles, widen
from app.outcome_words import WORDS, because
from app.text import count, md_escape, percent, plural

PAGE_SIZE = 20
PAIRS = 200
EXAMPLES = 3


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    if frame.lens.run is None:
        st.markdown("**Mistakes are a model's, and there is no run yet.**")
        st.caption("Evaluate a model with `errata evaluate`, or import predictions with `errata runs import`.")
        return None
    st.markdown(sentence(frame))
    if frame.chosen.is_empty():
        return None
    wrong = frame.chosen.filter(~pl.col("right"))
    wrong = wrong.sort("confidence", "item", descending=[True, False], nulls_last=True)
    left, right = st.columns([3, 7], gap="medium")
    with left:
        _pairs(frame)
    with right:
        _rows(frame, wrong)
    return wrong["item"]


def sentence(frame: Frame) -> str:
    """How many predictions are wrong, and how many only seemed to be, as Markdown."""
    if frame.chosen.is_empty():
        return "**No item fulfils all conditions.** Take one away above."
    judged = frame.chosen.filter(pl.col("right").is_not_null())
    scored, wrong = judged.height, judged.filter(~pl.col("right")).height
    unjudged = judged.filter(~pl.col("right"), pl.col("unjudged")).height
    other = judged.filter("right", pl.col("outcome") != "correct").height
    agrees = judged.filter(outcome="agrees_with_rejected").height
    kinds = judged.filter(pl.col("outcome").is_in(MISTAKES)).group_by("outcome").len().sort("len", descending=True)
    labels = md_escape(frame.lens.labels)
    if not scored:
        return f"**None of these images is scored by *{labels}*.**"
    if not wrong:
        return f"**No mistakes** by *{labels}* among {plural(scored, 'scored image')}."
    share = percent(wrong / scored)
    text = f"**{plural(wrong, 'prediction')}** ({share}) {'is' if wrong == 1 else 'are'} not valid by *{labels}*"
    if unjudged:
        text += f", {count(unjudged)} of them never judged"
    if agrees:
        text += f"; on {count(agrees)} the model agrees with the original label"
    others = f" **{count(other)}** more differ from the original label and are valid." if other else ""
    total = kinds["len"].sum()
    shares = ", ".join(f"{percent(n / total)} {WORDS[name]}" for name, n in kinds.iter_rows())
    told = f" Why, by rule: {shares}." if kinds.height > 1 else ""
    return f"{text}.{others}{told}"


def _pairs(frame: Frame) -> None:
    pairs = confusions(frame.chosen)
    st.subheader("Most confused classes", help="Label and wrong prediction. Select a row to see its images.")
    if pairs.is_empty():
        st.caption("No class was taken for another one.")
        return
    shown = pairs.head(PAIRS)
    names = pl.Series("name", frame.class_names, dtype=pl.String)
    table = shown.select(n="n", label=names.gather(shown["target"]), prediction=names.gather(shown["prediction"]))

    def select() -> None:
        chosen = st.session_state["pairs"]["selection"]["rows"]
        if not chosen:
            widen(("class", "predicted"))
        elif chosen[0] < table.height:
            _, label, prediction = table.row(chosen[0])
            narrow([Condition("class", label), Condition("predicted", prediction)])

    st.dataframe(
        table,
        hide_index=True,
        key="pairs",
        on_select=select,
        selection_mode="single-row",
        height=min(620, 36 * (table.height + 1)),
        column_config={
            "n": st.column_config.NumberColumn(width=40, help="How many images."),
            "label": st.column_config.TextColumn(width=96),
            "prediction": st.column_config.TextColumn(width=96),
        },
    )
    if pairs.height > shown.height:
        st.caption(f"{plural(pairs.height, 'pair')} in all; the first {count(shown.height)} are listed.")


def _rows(frame: Frame, wrong: pl.DataFrame) -> None:
    pages = max(1, math.ceil(wrong.height / PAGE_SIZE))
    surest = "the most confident first" if wrong["confidence"].null_count() < wrong.height else "in dataset order"
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with line:
        st.markdown(f"{plural(wrong.height, 'mistake')}, {surest}", width="stretch")
        number = min(st.session_state.get("mistakes", 1), pages)
        if pages > 1:
            number = st.pagination(pages, key="mistakes", bind="query-params", max_visible_pages=5)
    rows = wrong.slice((number - 1) * PAGE_SIZE, PAGE_SIZE)
    classes = pl.concat([rows["target"], rows["prediction"]]).drop_nulls().unique().to_list()
    examples = exemplars(frame.rows, classes, EXAMPLES + 1)
    labels = frame.lens.labels
    reasons = evidence(rows, accepting(frame.workspace, labels), causes(frame.workspace, labels))
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
            )
            for tile, row, why in zip(
                tiles(frame, rows), rows.iter_rows(named=True), reasons.iter_rows(named=True), strict=True
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
    if frame.workspace.image_root is None:
        return ClassExamples(frame.class_names[index], [], text, none="")
    others = [item for item in examples[index] if item != mistake][:EXAMPLES]
    return ClassExamples(frame.class_names[index], tiles(frame, rows_of(frame, others)), text)


def _evidence(frame: Frame, row: dict[str, object], why: dict[str, object]) -> list[str]:
    """Why it counts as wrong, in words; nothing where the label alone says it."""
    unjudged = f"Nobody judged this class on this image in “{frame.lens.labels}”." if row["unjudged"] else ""
    return [sentence for sentence in (because(why, frame.class_names, frame.lens.labels), unjudged) if sentence]
