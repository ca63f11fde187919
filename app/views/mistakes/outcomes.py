"""The outcome bar over the mistakes: a piece clicked is what the slice holds; and a line on what was not looked for."""

from typing import Any

import polars as pl
import streamlit as st

from analysis.outcomes import severities
from analysis.results.causes import told
from analysis.results.mistakes import OF_OUTCOMES, outcome_counts
from analysis.slices import Clause, Condition, IsNull
from analysis.workspace import Workspace
from app.charts.mistakes import outcome_bar
from app.charts.shown import chart
from app.frame import Frame, widen
from app.outcome_words import WORDS
from app.text import count, md_escape, plural
from app.views.mistakes.slicing import put

Piece = tuple[str, bool, bool]
"""Outcome, right, unjudged."""


def bar(frame: Frame, everything: pl.DataFrame) -> None:
    """The slice's rows whatever their outcome (`everything`) by outcome; what the slice leaves out of them is grey."""
    counts = outcome_counts(everything)
    if counts.is_empty():
        return
    kept = None
    if frame.chosen.height < everything.height:
        kept = set(outcome_counts(frame.chosen).select("outcome", "is_right", "unjudged").iter_rows())

    def pick() -> None:
        points = st.session_state["outcome-bar"]["selection"]["points"]
        if points:
            name, right, unjudged = points[0]["customdata"]
            _toggle(conditions_of(counts, name, right, unjudged), everything, frame)

    chart(
        outcome_bar(counts, severities(everything), kept=kept),
        lambda: counts.select("outcome", right="is_right", unjudged="unjudged", n="n"),
        key="outcome-bar",
        alt="Outcomes of the scored images, and of the wrong ones by themselves; the numbers are in the table.",
        on_select=pick,
    )


def conditions_of(counts: pl.DataFrame, name: str, right: bool, unjudged: bool) -> list[Clause]:
    """The conditions that hold exactly a piece of the bar; a column that all of its outcome share is not named."""
    if name == "severity":
        return _severity(str(right))
    alike = counts.filter(outcome=name)
    found: list[Clause] = [Condition("outcome", name)]
    if alike["is_right"].n_unique() > 1:
        found.append(Condition("right", str(right).lower()))
    if alike.filter(is_right=right)["unjudged"].n_unique() > 1:
        found.append(Condition("unjudged", str(unjudged).lower()))
    return found


def _severity(name: str) -> list[Clause]:
    if name == "unset":
        return [IsNull("severity"), Condition("right", "false")]
    return [Condition("severity", value) for value in (("minor", "borderline") if name == "minor" else (name,))]


def _toggle(wanted: list[Clause], everything: pl.DataFrame, frame: Frame) -> None:
    """In a callback: narrow to these conditions, or, where the slice is narrowed to them, widen it again."""
    said = [clause for clause in frame.slice.conditions if clause in wanted]
    if said == wanted and frame.chosen.height < everything.height:
        widen(OF_OUTCOMES)
    else:
        put(wanted, instead_of=OF_OUTCOMES)


def caption(frame: Frame, everything: pl.DataFrame) -> None:
    """What is not counted, and which causes were not looked for; how each is told stands behind the sign."""
    rules = _rules(frame.workspace, frame.version, frame.lens.labels)
    missing = [rule["outcome"] for rule in rules if rule["basis"].startswith("not run")]
    causes = [WORDS[name] for name in missing if name in WORDS]
    parts = []
    if unscored := everything["right"].null_count():
        parts.append(f"{plural(unscored, 'image')} not scored.")
    if everything["unjudged"].any():
        parts.append("Paler: never judged.")
    if causes:
        parts.append(f"Not looked for: {'; '.join(causes)}.")
    parts.append("No panel judged them." if "panel" in missing else "Causes by rule, or by a panel where one judged.")
    st.caption(" ".join(parts), help="How each cause is told:\n\n" + "\n".join(map(rule_line, rules)))


@st.cache_resource(max_entries=16, show_spinner=False)
def _rules(_workspace: Workspace, version: str, labels: str) -> list[dict[str, Any]]:
    return told(_workspace, labels)


def rule_line(rule: dict[str, Any]) -> str:
    """What a cause is told by, and how good that proved, as a line of a Markdown list; `rule` is a row of `told`."""
    text = f"- **{WORDS.get(rule['outcome'], rule['outcome'])}**: {md_escape(rule['basis'])}."
    quality = rule["quality"]
    if quality.get("known"):
        text += (
            f" Of {plural(quality['n_same'], 'pair')} of classes known to be the same it joins "
            f"{count(quality['joined'])}, of {count(quality['n_different'])} known to be different it parts "
            f"{count(quality['parted'])} (by {md_escape(quality['known'])})."
        )
    if quality.get("judged"):
        text += (
            f" A panel judged {plural(quality['judged'], 'mistake')} so, the rule says so of {count(quality['told'])}, "
            f"both of {count(quality['agree'])}."
        )
    return text
