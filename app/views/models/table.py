"""The runs of the Models page as a table: what each reaches under each label set, at what cost."""

import zlib

import polars as pl
import streamlit as st

from analysis.report import Common, ReportOptions, report
from analysis.results import standings
from analysis.results.standings import Items
from analysis.workspace import Workspace
from app.charts.models import outcome_strip
from app.frame import Frame, go_to
from app.population import Population
from app.text import count, md_escape

METRICS = {
    "Micro": "accuracy",
    "Class mean": "class_mean_accuracy",
    "Strict class mean": "strict_class_mean_accuracy",
}
"""What the table shows, as the page and the address name it, and the metric of the report."""
TABLE_HEIGHT = 420


def show(
    frame: Frame, about: Population, known: pl.DataFrame, counts: pl.DataFrame, order: list[str]
) -> tuple[list[str], pl.DataFrame]:
    """Draw the runs; returns those that the filter leaves, and the report that the table shows."""
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with line:
        name = st.segmented_control(
            "Accuracy",
            list(METRICS),
            default="Micro",
            required=True,
            key="accuracy",
            bind="query-params",
            help="Micro: mean over images. Class mean: mean over the classes, by original label, of each class's mean; "
            "under an open label set with unclear labels this is MLA as published. Strict: unclear counts as wrong. "
            "Intervals of 95 %: image sampling only; label uncertainty not included.",
        )
        same = st.toggle(
            "Same images for all label sets",
            key="same",
            bind="query-params",
            help="Count only the images that every label set scores. Otherwise each label set scores its own.",
        )
        part = ""
        if len(order) > 1:
            part = st.text_input(
                "Runs", key="named", bind="query-params", placeholder="Part of a name", type="search", width=220
            )
    metric = METRICS[name or "Micro"]
    common: Common = "all" if same else "runs"
    runs = [run for run in order if (part or "").casefold() in run.casefold()]
    rows = _report(frame.workspace, frame.workspace.version, common, about.key, about.items)
    if not runs:
        st.caption(f"No run has “{md_escape(part)}” in its name.")
        return runs, rows
    wide = standings.side_by_side(rows, metric)
    calibrated = rows.filter(pl.col("metric") == "ece", pl.col("labels") == frame.lens.labels)
    table = (
        pl.DataFrame({"run": runs})
        .join(wide, on="run", how="left", maintain_order="left")
        .with_columns(outcomes=pl.Series([outcome_strip(counts.filter(run=run)) for run in runs], dtype=pl.String))
        .join(calibrated.select("run", ece=100 * pl.col("value")), on="run", how="left", maintain_order="left")
        .join(
            known.select("run", "images_per_second", "mark", "made", "items"),
            on="run",
            how="left",
            maintain_order="left",
        )
    )
    if not (table["mark"] != "").any():
        table = table.drop("mark")
    # A selection is of row numbers: other rows are another widget.
    key = f"standings-{zlib.crc32(repr(runs).encode())}"

    def choose() -> None:
        chosen = [runs[row] for row in st.session_state[key]["selection"]["rows"] if row < len(runs)]
        if len(chosen) == 1:
            st.session_state["run"] = chosen[0]

    found = st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=choose,
        selection_mode="multi-row",
        height="auto" if table.height <= 10 else TABLE_HEIGHT,
        placeholder="–",
        column_config=_columns(frame, wide, metric),
        alt="Every run with its accuracies, outcomes, calibration error and cost.",
    )
    _under_table(
        rows, known, metric, name, [runs[row] for row in found["selection"]["rows"] if row < len(runs)], len(runs)
    )
    return runs, rows


def _columns(frame: Frame, wide: pl.DataFrame, metric: str) -> dict:
    labels_shown = [column.removeprefix("value ") for column in wide.columns if column.startswith("value ")]
    columns: dict = {
        "run": st.column_config.TextColumn(pinned=True, width=200),
        "outcomes": st.column_config.ImageColumn(
            f"outcomes, {frame.lens.labels}", width=160, help="As in the chart of outcomes below, in its order."
        ),
        "ece": st.column_config.NumberColumn(
            "ECE %",
            format="%.1f",
            width=64,
            help=f"Expected calibration error under {md_escape(frame.lens.labels)}, 15 bins of the probability of the "
            "first prediction. A dash: the run's scores give no probability.",
        ),
        "images_per_second": st.column_config.NumberColumn(
            "images/s", format="%.1f", width=70, help="As recorded when the run was made; imported runs record none."
        ),
        "mark": st.column_config.TextColumn(
            "mark",
            width=136,
            help="Why its numbers are no others' equals: it chose among fewer classes, or was trained on these images.",
        ),
        "made": st.column_config.TextColumn("made", width=86),
        "items": st.column_config.NumberColumn("n", format="localized", width=64, help="Items that the run covers."),
    }
    for labels in labels_shown:
        opened = f"unjudged {labels}" in wide.columns
        mla = opened and metric == "class_mean_accuracy"
        columns |= {
            f"value {labels}": st.column_config.NumberColumn(
                f"MLA, {labels} %" if mla else f"{labels} %", format="%.1f", width=106 if mla else 78
            ),
            f"± {labels}": st.column_config.NumberColumn("±", format="±%.1f", width=52, help="Half the 95 % interval."),
            f"n {labels}": None,
            f"unjudged {labels}": st.column_config.NumberColumn(
                "unjudged", format="localized", width=74, help="Predictions that nobody judged; they count as wrong."
            ),
            f"at most {labels}": st.column_config.NumberColumn(
                "at most", format="%.1f", width=62, help="If all unjudged predictions were right."
            ),
        }
    return columns


def _under_table(rows: pl.DataFrame, known: pl.DataFrame, metric: str, name: str, chosen: list[str], runs: int) -> None:
    """What the table's numbers are of, and what can be done with what is selected in it."""
    sizes = rows.filter(pl.col("metric") == metric).group_by("labels", maintain_order=True).agg(pl.col("n").max())
    counted = ", ".join(f"*{md_escape(labels)}* {count(n)}" for labels, n in sizes.iter_rows())
    least = known.filter(pl.col("items") > 0).sort("items", "run").row(0, named=True)
    limited = ""
    if least["items"] < (known["items"].max() or 0):
        limited = f" *{md_escape(least['run'])}* covers only {count(least['items'])}."
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with line:
        st.caption(f"{name} in % on the images that every run covers: {counted}.{limited}", width="stretch")
        if runs < 2:
            return
        if len(chosen) == 2:
            pair = dict(zip("ab", chosen, strict=True))
            st.button("Compare these", icon=":material/compare_arrows:", on_click=go_to, args=("compare",), kwargs=pair)
        else:
            st.caption("Select one to look at it below, two to compare them.", width="content")


@st.cache_resource(max_entries=16, show_spinner="Counting what each run gets right …")
def _report(_workspace: Workspace, version: str, common: Common, key: str, _items: Items | None) -> pl.DataFrame:
    return report(_workspace, ReportOptions(common_items=common), items=_items)
