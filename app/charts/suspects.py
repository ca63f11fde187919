"""Suspected label errors: how precise a list of them is by its length."""

import plotly.graph_objects as go
import polars as pl

from app.charts.groups import ACCENT, QUIET
from app.charts.looks import plain
from app.text import count, percent

_BAND = "rgba(47, 127, 214, 0.16)"  # ACCENT, so pale that lines show through
HEIGHT = 260


def precision_line(curve: pl.DataFrame, base_rate: float, labels: str) -> go.Figure:
    """The share of the first n suspects that a label set disputes, by n (analysis.suspects.precision_curve), with its
    interval; dashed, the share of all of them. A point's customdata is n."""
    lengths = curve["length"].to_list()
    figure = go.Figure()
    figure.add_scatter(
        x=lengths + lengths[::-1],
        y=(100 * curve["high"]).to_list() + (100 * curve["low"]).to_list()[::-1],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=_BAND,
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=lengths,
        y=(100 * curve["precision"]).to_list(),
        mode="lines+markers",
        line={"color": ACCENT, "width": 1.8},
        marker={"size": 4, "color": ACCENT},
        name=f"disputed by {plain(labels)}",
        customdata=lengths,
        hovertext=[
            f"the first {count(row['length'])}: {percent(row['precision'], row['low'], row['high'])} disputed"
            for row in curve.iter_rows(named=True)
        ],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=[lengths[0], lengths[-1]],
        y=[100 * base_rate] * 2,
        mode="lines",
        line={"color": QUIET, "width": 1.4, "dash": "dash"},
        name=f"of all, {percent(base_rate)}",
        hoverinfo="skip",
    )
    figure.update_xaxes(
        type="log",
        title_text="n, the length of the list",
        showgrid=False,
        zeroline=False,
        dtick=1,
        exponentformat="none",
    )
    figure.update_yaxes(title_text="disputed, %", range=[0, 101], zeroline=False, nticks=6)
    return figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 8, "t": 4, "b": 0},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "title": None},
        hovermode="closest",
        dragmode=False,
    )
