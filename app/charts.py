"""Charts in plotly: frames in, figures out; nothing is computed here but positions."""

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from app.components.outcomes import LOOKS, Outcome
from app.text import count, percent

OUTCOME_SCALE: dict[tuple[str, bool], tuple[str, Outcome]] = {
    ("correct", False): ("correct", "right"),
    ("multi_label", False): ("valid by another label", "right"),
    ("agrees_with_rejected", False): ("agrees with a rejected label", "wrong"),
    ("agrees_with_rejected", True): ("agrees with the original label, unjudged", "unjudged"),
    ("mistake", False): ("mistake", "wrong"),
    ("mistake", True): ("mistake, unjudged", "unjudged"),
}
PATTERNS = {"multi_label": "/", "agrees_with_rejected": "x"}
ROW_HEIGHT = 26


def accuracy_dots(report: pl.DataFrame, runs: list[str]) -> go.Figure:
    """One line a run, one dot a label set with its interval: the gap between dots is the story."""
    figure = go.Figure()
    for labels in report["labels"].unique(maintain_order=True):
        rows = report.filter(pl.col("labels") == labels, pl.col("value").is_not_null())
        value = rows["value"]
        figure.add_scatter(
            x=(100 * value).to_list(),
            y=rows["run"].to_list(),
            mode="markers",
            marker_size=9,
            name=_plain(labels),
            error_x={
                "type": "data",
                "array": (100 * (rows["high"] - value)).to_list(),
                "arrayminus": (100 * (value - rows["low"])).to_list(),
                "thickness": 1.2,
                "width": 3,
            },
            hovertext=[
                f"{_plain(row['run'])}<br>{_plain(labels)}: {percent(row['value'], row['low'], row['high'])}"
                f"<br>n = {count(row['n'])}"
                for row in rows.iter_rows(named=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="accuracy (micro), %", showgrid=True, zeroline=False)
    return _rows(figure, runs)


def outcome_bars(counts: pl.DataFrame, runs: list[str]) -> go.Figure:
    """Each run's scored items as one bar of outcomes."""
    theme = st.context.theme.type
    figure = go.Figure()
    scored = counts.filter(pl.col("outcome") != "not_scored")
    for (outcome, unjudged), (name, look) in OUTCOME_SCALE.items():
        rows = scored.filter(pl.col("outcome") == outcome, pl.col("unjudged") == unjudged)
        if rows.is_empty():
            continue
        figure.add_bar(
            x=(100 * rows["n"] / rows["total"]).to_list(),
            y=rows["run"].to_list(),
            orientation="h",
            name=f"{LOOKS[look].sign} {name}",
            marker={
                "color": LOOKS[look].color(theme),
                "pattern": {
                    "shape": PATTERNS.get(outcome, ""),
                    "fillmode": "overlay",
                    "fgcolor": "#ffffff",
                    "fgopacity": 0.7,
                    "size": 6,
                },
                "line": {"width": 0},
            },
            customdata=[[outcome, unjudged]] * rows.height,
            hovertext=[
                f"{_plain(run)}<br>{name}: {count(n)} of {count(total)} ({percent(n / total)})"
                for run, n, total in rows.select("run", "n", "total").iter_rows()
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(
        title_text="% of scored items",
        range=[0, 100],
        tickvals=[0, 25, 50, 75, 100],
        showgrid=False,
        zeroline=False,
    )
    return _rows(figure, runs).update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")


def _rows(figure: go.Figure, runs: list[str]) -> go.Figure:
    """Runs from top to bottom in the order given; long names are cut on the axis, whole in the hover."""
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=runs[::-1],
        tickvals=runs,
        ticktext=[_plain(run if len(run) <= 34 else f"{run[:32]}…") for run in runs],
        showgrid=False,
        automargin=True,
    )
    figure.update_layout(
        height=90 + ROW_HEIGHT * max(len(runs), 2),
        margin={"l": 0, "r": 8, "t": 28, "b": 0},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": None},
        hovermode="closest",
        dragmode=False,
    )
    return figure


def _plain(text: str) -> str:
    """Text that plotly, which reads a little HTML in labels, shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
