"""Overview: what have we here, and is it worth trusting?"""

import polars as pl
import streamlit as st

from analysis import overview as queries
from analysis.overview import Standing
from analysis.report import report
from analysis.slices import Condition
from analysis.workspace import Workspace
from app import charts
from app.frame import Frame, go_to, narrow
from app.text import count, md_escape, percent, plural


def show(frame: Frame) -> None:
    """The page."""
    workspace = frame.workspace
    st.markdown(headline(workspace, _standing(workspace, workspace.version)))
    runs = workspace.run_names()
    if runs:
        left, right = st.columns(2, gap="large")
        with left:
            _accuracies(frame)
        with right:
            _outcomes(frame)
    else:
        st.info(
            "No predictions yet. Evaluate a model, or import predictions that you have: see below.",
            icon=":material/model_training:",
        )
    left, right = st.columns(2, gap="large")
    with left:
        _label_sets(workspace)
        _next_steps(workspace)
    with right:
        _problems(frame)
        _about(workspace)


def headline(workspace: Workspace, standing: Standing | None) -> str:
    """What is here and how far it can be trusted, in one sentence or two, as Markdown."""
    present = workspace.items().filter(~pl.col("missing"))
    runs = len(workspace.run_names())
    text = (
        f"**{plural(present.height, 'image')}, {plural(len(workspace.classes()), 'class', 'classes')}, "
        f"{plural(runs, 'run')}.**"
    )
    if standing is None:
        return text
    run = md_escape(standing.run)
    by_original = percent(standing.right_by_original / standing.n)
    if standing.labels == "original":
        return f"{text} The best, **{run}**, is right on **{by_original}** by the original label."
    others, by_others = md_escape(standing.labels), percent(standing.right_by_labels / standing.n)
    text += (
        f" On the {count(standing.n)} that *{others}* scores too, the best, **{run}**, is right on "
        f"**{by_original}** by the original label and on **{by_others}** by *{others}*"
    )
    if not standing.errors:
        return f"{text}."
    share = percent(standing.none / standing.errors)
    return f"{text}: **{share}** of its {plural(standing.errors, 'error')} are none."


@st.cache_resource(max_entries=16, show_spinner=False)
def _standing(_workspace: Workspace, version: str) -> Standing | None:
    return queries.best_standing(_workspace, queries.better_labels(_workspace) or "original")


@st.cache_resource(max_entries=16, show_spinner=False)
def _report(_workspace: Workspace, version: str) -> pl.DataFrame:
    return report(_workspace)


@st.cache_resource(max_entries=16, show_spinner=False)
def _outcome_counts(_workspace: Workspace, version: str, labels: str) -> pl.DataFrame:
    return queries.outcome_counts(_workspace, labels)


def _accuracies(frame: Frame) -> None:
    rows = _report(frame.workspace, frame.workspace.version)
    accuracy = rows.filter(pl.col("metric") == "accuracy")
    st.subheader(
        "Accuracy of each run under each label set",
        help="Micro accuracy: the share of scored items whose first prediction is valid. 95 % Wilson intervals; "
        "image sampling only, label uncertainty not included. Each label set scores its own items: see n.",
    )
    order = (
        accuracy.filter(pl.col("labels") == "original")
        .sort("value", descending=True, nulls_last=True)["run"]
        .to_list()
    )
    st.plotly_chart(
        charts.accuracy_dots(accuracy, order),
        key="accuracies",
        config={"displayModeBar": False},
        alt="Accuracy of each run under each label set; the same numbers are in the table below.",
    )
    with st.expander("The numbers", icon=":material/table:"):
        st.dataframe(
            report_table(rows, frame.workspace),
            hide_index=True,
            column_config={
                "value": st.column_config.NumberColumn("%", format="%.1f"),
                "low": st.column_config.NumberColumn(format="%.1f"),
                "high": st.column_config.NumberColumn(format="%.1f"),
                "unjudged": st.column_config.NumberColumn(
                    help="Predictions of which an open label set says nothing; counted as wrong."
                ),
            },
        )


def report_table(rows: pl.DataFrame, workspace: Workspace) -> pl.DataFrame:
    """The report in percent, with what each run's numbers may be called."""
    seen = {run.name: run.manifest.get("seen_in_training", "unknown") for run in workspace.runs()}
    bounds = pl.when(pl.col("n_unjudged") > 0).then(
        pl.format("{} to {}", (100 * pl.col("bound_low")).round(1), (100 * pl.col("bound_high")).round(1))
    )
    return rows.select(
        "run",
        "labels",
        pl.col("metric").str.replace_all("_", " "),
        *[(100 * pl.col(name)).alias(name) for name in ("value", "low", "high")],
        "n",
        unjudged="n_unjudged",
        bounds=bounds,
        seen=pl.col("run").replace_strict(seen, default="unknown").replace("yes", "training accuracy"),
    )


def _outcomes(frame: Frame) -> None:
    counts = _outcome_counts(frame.workspace, frame.workspace.version, frame.lens.labels)
    accuracy = (
        counts.filter(pl.col("outcome") != "not_scored")
        .group_by("run")
        .agg(
            share=pl.col("n").filter(pl.col("outcome").is_in(["correct", "multi_label"])).sum() / pl.col("n").sum()
        )
        .sort("share", "run", descending=[True, False])
    )
    st.subheader(
        f"Outcomes under *{md_escape(frame.lens.labels)}*",
        help="Why each first prediction counts as it does. Click a piece to see its images.",
    )
    if accuracy.is_empty():
        st.caption("No item is scored under this label set.")
        return
    runs = accuracy["run"].to_list()

    def open_outcome() -> None:
        points = st.session_state["outcomes"]["selection"]["points"]
        if points:
            narrow([Condition("outcome", str(points[0]["customdata"][0]))])
            st.session_state["run"] = runs[runs.index(points[0]["y"])]
            go_to("browse")

    st.plotly_chart(
        charts.outcome_bars(counts, runs),
        key="outcomes",
        on_select=open_outcome,
        selection_mode="points",
        config={"displayModeBar": False},
        alt="Outcomes of each run; the table below has the numbers.",
    )
    with st.expander("The numbers", icon=":material/table:"):
        st.dataframe(counts, hide_index=True)


def _label_sets(workspace: Workspace) -> None:
    st.subheader("Label sets", help="A label set says which classes are valid for an image.")
    table = queries.label_set_table(workspace)
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "several valid": st.column_config.NumberColumn(help="Items with more than one valid class."),
            "absent": st.column_config.TextColumn(
                help="What a class is that the set does not name for an item: wrong (closed) or unjudged (open)."
            ),
            "conflicts": st.column_config.NumberColumn(help="Items with one class in two states."),
        },
    )


def _next_steps(workspace: Workspace) -> None:
    steps = queries.next_steps(workspace)
    st.subheader("What to do next")
    if not steps:
        st.caption("Nothing is stale or missing.")
    for step in steps[:6]:
        st.markdown(md_escape(step.what))
        st.code(step.command, language=None)


def _problems(frame: Frame) -> None:
    problems = frame.workspace.problems()
    st.subheader("Problems", help="What could not be read, by name. Everything else goes on without it.")
    if problems.is_empty():
        st.caption("Every file could be read.")
        return
    st.dataframe(problems, hide_index=True)


def _about(workspace: Workspace) -> None:
    st.subheader("About this dataset")
    made = workspace.dataset.manifest
    st.caption(
        f"Class list *{md_escape(workspace.classes().name)}*, layout *{md_escape(made['layout'])}*, "
        f"read {made['created'][:10]}."
    )
    if workspace.note:
        st.caption(md_escape(workspace.note))
