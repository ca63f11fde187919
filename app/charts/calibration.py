"""Calibration: how often a run is right at each probability that it gives."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from app.charts.groups import ACCENT, QUIET
from app.text import count, percent


def reliability(table: pl.DataFrame) -> go.Figure:
    """The reliability diagram of analysis.calibration (RELIABILITY_SCHEMA), with the number of items of each bin."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.04)
    figure.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": QUIET, "width": 1, "dash": "dot"},
        name="calibrated",
        hoverinfo="skip",
        row=1,
        col=1,
    )
    bins = [[row["from"], row["to"]] for row in table.iter_rows(named=True)]
    hover = [
        f"probability {100 * row['from']:.0f} to {100 * row['to']:.0f}\u202f%, mean {percent(row['confidence'])}"
        f"<br>right: {percent(row['right'], row['low'], row['high'])}<br>n = {count(row['n'])}"
        for row in table.iter_rows(named=True)
    ]
    right = table["right"]
    figure.add_scatter(
        x=(100 * table["confidence"]).to_list(),
        y=(100 * right).to_list(),
        mode="markers+lines",
        marker_size=8,
        line={"width": 1.5, "color": ACCENT},
        name="this run",
        error_y={
            "type": "data",
            "array": (100 * (table["high"] - right)).to_list(),
            "arrayminus": (100 * (right - table["low"])).to_list(),
            "thickness": 1.2,
            "width": 3,
        },
        customdata=bins,
        hovertext=hover,
        hoverinfo="text",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=(50 * (table["from"] + table["to"])).to_list(),
        y=table["n"].to_list(),
        width=(95 * (table["to"] - table["from"])).to_list(),
        marker={"color": QUIET, "line_width": 0},
        customdata=bins,
        hovertext=hover,
        hoverinfo="text",
        showlegend=False,
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[0, 100], showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="probability of the first prediction, %", row=2, col=1)
    figure.update_yaxes(title_text="right, %", range=[0, 101], zeroline=False, row=1, col=1)
    figure.update_yaxes(title_text="n", nticks=3, zeroline=False, row=2, col=1)
    return figure.update_layout(
        height=430,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        hovermode="closest",
        dragmode=False,
        bargap=0,
    )
