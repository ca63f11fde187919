"""Progress: how the outcomes of runs shift as their accuracy grows."""

import plotly.graph_objects as go
import polars as pl

from app.charts.looks import PIECES, legend_below, legend_height, plain
from app.components.outcomes import LOOKS
from app.outcome_words import WORDS
from app.text import count, percent

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "triangle-down", "x", "hexagon")

CROWDED = 30
"""Runs above which points are small."""
THIN = {"#8F3B06": "#A8480C", "#7A4B2A": "#94603A"}
"""The darkest colours of bars, a little lighter: as thin lines they must show on a dark page too."""


def progress_lines(progress: pl.DataFrame) -> go.Figure:
    """A line an outcome over all runs (analysis.results.standings.progress): its share against the accuracy.

    A whisker reaches down from a share to what of it was judged.
    """
    figure = go.Figure()
    entries = 0
    for (outcome, right, colour, _), symbol in zip(PIECES[1:], SYMBOLS, strict=True):
        rows = progress.filter(outcome=outcome, is_right=right)
        if rows.is_empty():
            continue
        entries += 1
        name = f"{LOOKS['right' if right else 'wrong'].sign} {WORDS[outcome]}"
        name += " (forgiven)" if outcome == "overlapping" and not right else ""
        whisker = rows["share"] - rows["share_judged"]
        figure.add_scatter(
            x=(100 * rows["accuracy"]).to_list(),
            y=(100 * rows["share"]).to_list(),
            mode="lines+markers",
            name=name,
            line={"color": THIN.get(colour, colour), "width": 1.5, "dash": "dot" if right else "solid"},
            marker={"symbol": symbol, "size": 8 if rows.height <= CROWDED else 5},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [0.0] * rows.height,
                "arrayminus": (100 * whisker).to_list(),
                "thickness": 1,
                "width": 3,
            }
            if whisker.max()
            else None,
            customdata=[[row["run"], outcome, right] for row in rows.iter_rows(named=True)],
            hovertext=[
                f"{plain(row['run'])}, {percent(row['accuracy'])} right<br>{name}: {count(row['n'])} "
                f"({percent(row['share'])})"
                + (f"<br>nobody judged {count(row['n_unjudged'])} of them" if row["n_unjudged"] else "")
                for row in rows.iter_rows(named=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="accuracy (micro), %", showgrid=True, zeroline=False)
    figure.update_yaxes(title_text="% of scored items", rangemode="tozero", zeroline=False)
    legend = legend_height(entries)
    return figure.update_layout(
        height=380 + legend,
        margin={"l": 0, "r": 8, "t": 8, "b": 48 + legend},
        legend=legend_below(entries),
        hovermode="closest",
        dragmode=False,
    )
