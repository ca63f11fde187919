"""All runs of the Models page in charts: outcomes, progress, order under each label set, cost."""

import polars as pl
import streamlit as st

from analysis.many_runs import rank_stability
from analysis.results import standings
from analysis.slices import Condition
from app.charts.models import cost_dots, rank_lines
from app.charts.progress import progress_lines
from app.charts.runs import outcome_bars
from app.charts.shown import chart
from app.frame import Frame
from app.population import Population, open_where
from app.text import md_escape, plural

MOST_RUNS = 30
"""Runs in a chart that has a line for each; the others are in its numbers."""


def show(
    frame: Frame, about: Population, counts: pl.DataFrame, rows: pl.DataFrame, known: pl.DataFrame, shown: list[str]
) -> None:
    """The charts of the runs that are `shown`; those with a mark are only in the first."""
    fair = [run for run in standings.comparable(known) if run in shown]
    left, right = st.columns(2, gap="large")
    with left:
        _outcomes(frame, about, counts, shown)
    with right:
        _progress(about, counts, fair)
    if len(fair) < 2:
        return
    left, right = st.columns(2, gap="large")
    with left:
        _ranks(frame, rows, fair)
    with right:
        _costs(frame, rows, known, fair)
        _stability(rows, fair)


def _outcomes(frame: Frame, about: Population, counts: pl.DataFrame, shown: list[str]) -> None:
    st.subheader(
        f"Outcomes under *{md_escape(frame.lens.labels)}*",
        help="Why each first prediction counts as it does. Click a piece to see its images.",
    )
    scored = counts.filter(pl.col("total") > 0, pl.col("run").is_in(shown))
    runs = scored["run"].unique(maintain_order=True).to_list()
    if not runs:
        st.caption("No item is scored under this label set.")
        return
    drawn = runs[:MOST_RUNS]

    def open_outcome() -> None:
        points = st.session_state["run-outcomes"]["selection"]["points"]
        if points and points[0]["y"] in drawn:
            outcome, right, unjudged = points[0]["customdata"]
            wanted = {"outcome": outcome, "right": str(right).lower(), "unjudged": str(unjudged).lower()}
            open_where(about, [Condition(*part) for part in wanted.items()], points[0]["y"])

    chart(
        outcome_bars(scored.filter(pl.col("run").is_in(drawn)), drawn),
        lambda: scored.select("run", "outcome", right="is_right", unjudged="unjudged", n="n", of="total"),
        key="run-outcomes",
        alt="Outcomes of each run; the same numbers are in its table.",
        on_select=open_outcome,
    )
    _left_out(len(runs) - len(drawn))


def _progress(about: Population, counts: pl.DataFrame, fair: list[str]) -> None:
    st.subheader(
        "Which mistakes go as models get better",
        help="Each outcome's share of the scored images against the run's accuracy, one line an outcome (the plot of "
        "Peychev et al., Automated Classification of Model Errors on ImageNet, NeurIPS 2023). A whisker reaches down "
        "to what of it was judged; the category of the rest is a suggestion. Click a point to see its images.",
    )
    found = standings.progress(counts, fair)
    if found["run"].n_unique() < 2:
        st.caption("It takes two runs of one kind to see this.")
        return

    def open_point() -> None:
        points = st.session_state["progress"]["selection"]["points"]
        if points and "customdata" in points[0]:
            run, outcome, right = points[0]["customdata"]
            open_where(about, [Condition("outcome", outcome), Condition("right", str(right).lower())], run)

    chart(
        progress_lines(found),
        lambda: found,
        key="progress",
        alt="Share of each outcome against accuracy; the same numbers are in its table.",
        on_select=open_point,
    )


def _ranks(frame: Frame, rows: pl.DataFrame, fair: list[str]) -> None:
    accuracy = rows.filter(pl.col("metric") == "accuracy")
    labels = accuracy["labels"].unique(maintain_order=True).to_list()
    if len(labels) < 2:
        return
    st.subheader(
        "Does the order hang on the label set?",
        help="The place of each run by micro accuracy under each label set. Click a point to look at its run.",
    )
    ranks = standings.ranks(accuracy, fair)
    best = ranks.filter(labels=labels[0]).sort("rank", "run")["run"].to_list()
    drawn = best[:MOST_RUNS]
    chart(
        rank_lines(ranks.filter(pl.col("run").is_in(drawn)), labels, frame.lens.run),
        lambda: ranks,
        key="ranks",
        alt="Place of each run under each label set; the same numbers are in its table.",
        on_select=lambda: _choose_point("ranks"),
    )
    _left_out(len(best) - len(drawn))


def _stability(rows: pl.DataFrame, fair: list[str]) -> None:
    stability = rank_stability(rows.filter(pl.col("metric") == "accuracy", pl.col("run").is_in(fair)))
    if stability.is_empty():
        return
    st.subheader(
        "How alike the orders are",
        help="Kendall's tau-b of two label sets' orders of the runs: 1 the same, -1 reversed. Turn on “Same images for "
        "all label sets” above to leave only the labels to differ.",
    )
    st.dataframe(
        stability,
        hide_index=True,
        column_config={
            "n": st.column_config.NumberColumn("runs"),
            "tau": st.column_config.NumberColumn("tau-b", format="%.2f"),
            "swaps": st.column_config.NumberColumn("pairs reversed", help="Pairs of runs whose order turns round."),
        },
    )


def _costs(frame: Frame, rows: pl.DataFrame, known: pl.DataFrame, fair: list[str]) -> None:
    accuracy = rows.filter(pl.col("metric") == "accuracy", pl.col("labels") == frame.lens.labels)
    found = standings.costs(accuracy, known, fair)
    st.subheader(
        "Is more accuracy worth its cost?",
        help="Micro accuracy against the time an image took when the run was made; loading included, whatever else "
        "the machine did. Joined are the runs that no other beats in both.",
    )
    if found.height < 2:
        st.caption(
            "Runs made by `errata evaluate` record their speed; "
            + ("none here does." if found.is_empty() else "only one here does.")
        )
        return
    chart(
        cost_dots(found),
        lambda: found,
        key="costs",
        alt="Accuracy against time an image; the same numbers are in its table.",
        on_select=lambda: _choose_point("costs"),
    )


def _left_out(more: int) -> None:
    if more > 0:
        st.caption(f"The best {MOST_RUNS}; {plural(more, 'more run')} in the table behind Numbers.")


def _choose_point(key: str) -> None:
    """In a callback: look at the run whose point was clicked."""
    points = st.session_state[key]["selection"]["points"]
    if points and "customdata" in points[0]:
        st.session_state["run"] = str(points[0]["customdata"])
