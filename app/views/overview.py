"""Overview: what have we here, and is it worth trusting?"""

import polars as pl
import streamlit as st

from analysis import overview as queries
from analysis.overview import Standing
from analysis.report import percent as percent_text
from analysis.report import report
from analysis.results import standings
from analysis.slices import Condition
from analysis.workspace import Workspace
from app.charts.runs import accuracy_dots, outcome_bars
from app.charts.shown import chart
from app.frame import Frame, best_run, go_to, show_only
from app.text import count, md_escape, percent, plural

STEPS = 6


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    workspace = frame.workspace
    st.markdown(headline(workspace, best_run(workspace, workspace.version)))
    if frame.slice.conditions:
        st.caption("This page is about all items; the slice is for the other pages.")
    if workspace.run_names():
        left, right = st.columns(2, gap="large")
        with left:
            _accuracies(frame)
        with right:
            _outcomes(frame)
        _making(frame)
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
        _problems(workspace)
        _about(workspace)
    return None


def headline(workspace: Workspace, standing: Standing | None) -> str:
    """What is here and how far it can be trusted, in one sentence or two, as Markdown."""
    present = workspace.items().filter(~pl.col("missing"))
    what = "image" if workspace.image_root is not None else "item"
    used, listed = present["label"].drop_nulls().n_unique(), len(workspace.classes())
    classes = plural(listed, "class", "classes") if used == listed else f"{count(used)} of {count(listed)} classes"
    text = f"**{plural(present.height, what)}, {classes}, {plural(len(workspace.run_names()), 'run')}.**"
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
def _report(_workspace: Workspace, version: str) -> pl.DataFrame:
    return report(_workspace)


@st.cache_resource(max_entries=16, show_spinner=False)
def _outcome_counts(_workspace: Workspace, version: str, labels: str) -> pl.DataFrame:
    return standings.outcome_counts(_workspace, labels)


def _accuracies(frame: Frame) -> None:
    rows = _report(frame.workspace, frame.workspace.version)
    accuracy = rows.filter(pl.col("metric") == "accuracy")
    st.subheader(
        "Accuracy of each run under each label set",
        help="Micro accuracy: the share of scored items whose first prediction is valid. 95 % Wilson intervals; "
        "image sampling only, label uncertainty not included. Each label set scores its own items: see n below.",
    )
    order = accuracy.filter(labels="original").sort("value", descending=True, nulls_last=True)["run"].to_list()
    chart(
        accuracy_dots(accuracy, order),
        lambda: _report_table(rows, frame.workspace),
        key="accuracies",
        alt="Accuracy of each run under each label set; the same numbers are in its table.",
    )


def _outcomes(frame: Frame) -> None:
    counts = _outcome_counts(frame.workspace, frame.version, frame.lens.labels)
    st.subheader(
        f"Outcomes under *{md_escape(frame.lens.labels)}*",
        help="Why each first prediction counts as it does. Click a piece to see its images.",
    )
    runs = counts.filter(pl.col("total") > 0)["run"].unique(maintain_order=True).to_list()
    if not runs:
        st.caption("No item is scored under this label set.")
        return

    def open_outcome() -> None:
        points = st.session_state["outcomes"]["selection"]["points"]
        if points and points[0]["y"] in runs:
            outcome, right, unjudged = points[0]["customdata"]
            wanted = {"outcome": outcome, "right": str(right).lower(), "unjudged": str(unjudged).lower()}
            show_only(Condition(column, value) for column, value in wanted.items())
            st.session_state["run"] = points[0]["y"]
            go_to("browse")

    chart(
        outcome_bars(counts, runs),
        lambda: counts.select("run", "outcome", right="is_right", unjudged="unjudged", n="n", of="total"),
        key="outcomes",
        alt="Outcomes of each run; the same numbers are in its table.",
        on_select=open_outcome,
    )


def _making(frame: Frame) -> None:
    """How runs and spaces came about."""
    workspace = frame.workspace
    with st.expander("How the runs and spaces were made", icon=":material/deployed_code:"):
        st.dataframe(
            queries.run_table(workspace),
            hide_index=True,
            column_config={
                "classes competing": st.column_config.TextColumn(help="Among how many classes the scores were ranked."),
                "seen in training": st.column_config.TextColumn(
                    help="Whether the model was trained on these images; its accuracy is then a training accuracy."
                ),
                "own preprocessing": st.column_config.CheckboxColumn(
                    help="The model's own; with another one its numbers are not the published ones."
                ),
            },
        )
        if workspace.spaces():
            st.dataframe(queries.space_table(workspace), hide_index=True)


def _report_table(rows: pl.DataFrame, workspace: Workspace) -> pl.DataFrame:
    """The report for people: percent with half the interval, and what the numbers may be called."""
    seen = {run.name: run.manifest.get("seen_in_training") == "yes" for run in workspace.runs()}
    shown = [
        {
            "run": row["run"],
            "labels": row["labels"],
            "metric": row["metric"].replace("_", " ") + (" (training)" if seen[row["run"]] else ""),
            "k": row["k"],
            "%": "–" if row["value"] is None else percent_text(row["value"], row["low"], row["high"]),
            "n": row["n"],
            "unjudged": row["n_unjudged"],
            "bounds": bounds(row["bound_low"], row["bound_high"]) if row["n_unjudged"] else None,
        }
        for row in rows.iter_rows(named=True)
    ]
    return pl.DataFrame(shown, schema_overrides={"k": pl.UInt32, "unjudged": pl.UInt32, "bounds": pl.String})


def bounds(low: float | None, high: float | None) -> str | None:
    """What a number would be if all unjudged predictions were wrong, and if all were right, in percent."""
    return None if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _label_sets(workspace: Workspace) -> None:
    st.subheader("Label sets", help="A label set says which classes are valid for an image.")
    table = queries.label_set_table(workspace)
    st.dataframe(
        table.drop("note", "stale"),
        hide_index=True,
        column_config={
            "several valid": st.column_config.NumberColumn(help="Items with more than one valid class."),
            "absent": st.column_config.TextColumn(
                help="What a class is that the set does not name for an item: wrong (closed) or unjudged (open)."
            ),
            "conflicts": st.column_config.NumberColumn(help="Items with one class in two states."),
        },
    )
    for name, note in table.filter(pl.col("note") != "").select("labels", "note").iter_rows():
        st.caption(f"*{md_escape(name)}*: {md_escape(note)}")


def _next_steps(workspace: Workspace) -> None:
    steps = queries.next_steps(workspace)
    st.subheader("What to do next")
    if not steps:
        st.caption("Nothing is stale or missing.")
    for step in steps[:STEPS]:
        st.markdown(md_escape(step.what))
        st.code(step.command, language=None, wrap_lines=True)


def _problems(workspace: Workspace) -> None:
    problems = workspace.problems()
    st.subheader("Problems", help="What could not be read, by name. Everything else goes on without it.")
    if not problems.is_empty():
        st.dataframe(problems, hide_index=True)
    elif workspace.image_root is None:
        st.caption("None. This dataset has no images, only labels and predictions.")
    else:
        st.caption("Every file could be read.")


def _about(workspace: Workspace) -> None:
    st.subheader("About this dataset")
    made = workspace.dataset.manifest
    st.caption(
        f"Class list *{md_escape(workspace.classes().name)}*, layout *{md_escape(made['layout'])}*, "
        f"read {made['created'][:10]}."
    )
    if workspace.note:
        st.caption(md_escape(workspace.note))
