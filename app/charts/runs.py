"""Charts of runs: accuracies and outcomes."""

import plotly.graph_objects as go
import polars as pl

from app.charts.looks import PIECES, UNJUDGED_OPACITY, by_run, plain
from app.components.outcomes import LOOKS
from app.outcome_words import WORDS
from app.text import count, percent


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
            name=plain(labels),
            error_x={
                "type": "data",
                "array": (100 * (rows["high"] - value)).to_list(),
                "arrayminus": (100 * (value - rows["low"])).to_list(),
                "thickness": 1.2,
                "width": 3,
            },
            hovertext=[
                f"{plain(row['run'])}<br>{plain(labels)}: {percent(row['value'], row['low'], row['high'])}"
                f"<br>n = {count(row['n'])}"
                for row in rows.iter_rows(named=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="accuracy (micro), %", showgrid=True, zeroline=False)
    return by_run(figure, runs, legend_entries=report["labels"].n_unique())


def outcome_bars(counts: pl.DataFrame, runs: list[str]) -> go.Figure:
    """Each run's scored items as one bar of outcomes; what nobody judged is paler."""
    figure = go.Figure()
    named = 0
    for outcome, right, colour, pattern in PIECES:
        judged = counts.filter(outcome=outcome, is_right=right)
        for unjudged in judged["unjudged"].unique().sort():
            rows = judged.filter(unjudged=unjudged)
            sign = LOOKS["right" if right else "unjudged" if unjudged else "wrong"].sign
            forgiven = " (forgiven)" if outcome == "overlapping" and not right else ""
            name = f"{sign} {WORDS[outcome]}{forgiven}{', unjudged' if unjudged else ''}"
            # One entry an outcome: which piece is paler for want of a judgement is said once, below.
            first = not unjudged or judged["unjudged"].all()
            named += first
            figure.add_bar(
                x=(100 * rows["n"] / rows["total"]).to_list(),
                y=rows["run"].to_list(),
                orientation="h",
                name=name,
                legendgroup=f"{outcome} {right}",
                showlegend=first,
                marker={
                    "color": colour,
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": "#ffffff",
                        "fgopacity": 0.7,
                        "size": 6,
                    },
                    "line": {"width": 0},
                },
                opacity=UNJUDGED_OPACITY if unjudged else 1,
                customdata=[[outcome, right, unjudged]] * rows.height,
                hovertext=[
                    f"{plain(run)}<br>{name}: {count(n)} of {count(total)} ({percent(n / total)})"
                    for run, n, total in rows.select("run", "n", "total").iter_rows()
                ],
                hoverinfo="text",
            )
    paler = "; paler: unjudged" if counts["unjudged"].any() else ""
    figure.update_xaxes(
        title_text=f"% of scored items{paler}",
        range=[0, 100],
        tickvals=[0, 25, 50, 75, 100],
        showgrid=False,
        zeroline=False,
    )
    figure = by_run(figure, runs, legend_entries=named)
    return figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
