"""Mistakes: which mistakes, and why? How many there are and by what causes; then rows, and further ways to look."""

from collections.abc import Callable

import polars as pl
import streamlit as st

from analysis.outcomes import MISTAKES
from analysis.results.mistakes import OF_OUTCOMES
from app.frame import Frame
from app.outcome_words import WORDS
from app.text import count, md_escape, percent, plural
from app.views.mistakes import conflicts, confusions, merges, outcomes, rows, shared, suspects
from app.views.mistakes.slicing import ROWS, SHOW, without

WAYS: dict[str, Callable[[Frame], pl.Series | None]] = {
    ROWS: rows.show,
    "Confusions": confusions.show,
    "Merges": merges.show,
    "Shared": shared.show,
    "Conflicts": conflicts.show,
    "Suspects": suspects.show,
}
"""Ways to look at mistakes, by their word in the address; each draws itself and returns the items that it lists."""


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    if frame.lens.run is None:
        st.markdown("**Mistakes are a model's, and there is no run yet.**")
        st.caption("Evaluate a model with `errata evaluate`, or import predictions with `errata runs import`.")
        return None
    everything, _ = without(frame, OF_OUTCOMES)
    st.markdown(sentence(frame, everything))
    if frame.rows.is_empty():
        return None
    outcomes.bar(frame, everything)
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="medium"):
        way = st.segmented_control(
            "Show",
            list(WAYS),
            default=ROWS,
            required=True,
            key=SHOW,
            bind="query-params",
            label_visibility="collapsed",
        )
        outcomes.caption(frame, everything)
    return WAYS[way or ROWS](frame)


def sentence(frame: Frame, everything: pl.DataFrame) -> str:
    """How many predictions are wrong, and how many only seemed to be, as Markdown.

    `everything`: the slice's rows whatever their outcome, so that a share is one of all predictions.
    """
    if frame.chosen.is_empty():
        return "**No item fulfils all conditions.** Take one away above."
    judged = everything.filter(pl.col("right").is_not_null())
    scored, wrong = judged.height, judged.filter(~pl.col("right")).height
    labels = md_escape(frame.lens.labels)
    if not scored:
        return f"**None of these images is scored by *{labels}*.**"
    if not wrong:
        return f"**No mistakes** by *{labels}* among {plural(scored, 'scored image')}."
    unjudged = judged.filter(~pl.col("right"), pl.col("unjudged")).height
    other = judged.filter("right", pl.col("outcome") != "correct").height
    agrees = judged.filter(outcome="agrees_with_rejected").height
    text = f"**{plural(wrong, 'prediction')}** ({percent(wrong / scored)} of {count(scored)}) "
    text += f"{'is' if wrong == 1 else 'are'} not valid by *{labels}*"
    if unjudged:
        text += f", {count(unjudged)} of them never judged"
    if agrees:
        text += f"; on {count(agrees)} the model agrees with the original label"
    more = f" **{count(other)}** more differ from the original label and are valid." if other else ""
    shown = ""
    if frame.chosen.height < everything.height:
        shown = f" The slice holds {count(frame.chosen.height)} of these images."
    return f"{text}.{more}{_why(judged)}{shown}"


def _why(judged: pl.DataFrame) -> str:
    """The shares of the categories, of the predictions that somebody judged."""
    kinds = judged.filter(pl.col("outcome").is_in(MISTAKES), ~pl.col("unjudged"))
    if kinds.is_empty():
        return ""
    shares = kinds["outcome"].value_counts(sort=True)
    told = ", ".join(f"{percent(n / kinds.height)} {WORDS[name]}" for name, n in shares.iter_rows())
    whose = "Why, by rule" if kinds["suggested"].all() else "Why"
    if judged.filter(~pl.col("right"))["unjudged"].any():
        whose = "Of those judged"
    return f" {whose}: {told}."
