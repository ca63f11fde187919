"""Charts of many runs: accuracy against cost, places under each label set, and outcomes small enough for a cell."""

from urllib.parse import quote

import plotly.graph_objects as go
import polars as pl

from app.charts.groups import ACCENT, QUIET
from app.charts.looks import PIECES, UNJUDGED_OPACITY, plain
from app.text import percent

STRIP_WIDTH, STRIP_HEIGHT, CELL_HEIGHT = 140, 12, 26
MOST_NAMES = 8
"""Points that are named beside them; of more, names stand in the hover alone."""
NAMES_WIDTH = 170
"""Room at the right for the names of runs."""
DIFFERENT_OPACITY = 0.65
"""Of predictions that are right though they are not the original label: larger bars show them by a pattern."""


def outcome_strip(counts: pl.DataFrame) -> str:
    """One run's outcomes (analysis.results.standings.OUTCOME_COUNTS_SCHEMA) as a picture's address: a stacked bar."""
    shares = {
        (outcome, right, unjudged): n / total
        for outcome, right, unjudged, n, total in counts.select(
            "outcome", "is_right", "unjudged", "n", "total"
        ).iter_rows()
        if total and right is not None
    }
    across = f'y="{(CELL_HEIGHT - STRIP_HEIGHT) / 2}" height="{STRIP_HEIGHT}"'
    at, pieces = 0.0, []
    for outcome, right, colour, pattern in PIECES:
        for unjudged in (False, True):
            width = STRIP_WIDTH * shares.get((outcome, right, unjudged), 0.0)
            if width:
                opacity = UNJUDGED_OPACITY if unjudged else DIFFERENT_OPACITY if pattern else 1
                pieces.append(f'<rect x="{at:.2f}" width="{width:.2f}" {across} fill="{colour}" opacity="{opacity}"/>')
                at += width
    drawn = "".join(pieces)
    size = f'width="{STRIP_WIDTH}" height="{CELL_HEIGHT}"'
    return "data:image/svg+xml;utf8," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>')


def cost_dots(costs: pl.DataFrame) -> go.Figure:
    """Accuracy against cost (analysis.results.standings.costs); those that no other beats in both are joined.

    Of at least one run.
    """
    figure = go.Figure()
    least, most = (float(cost) for cost in (costs["milliseconds"].min(), costs["milliseconds"].max()))  # type: ignore[arg-type]
    wide = most > 10 * least
    middle = (least * most) ** 0.5 if wide else (least + most) / 2
    for front, name in ((False, "beaten in both by another"), (True, "best at its cost")):
        rows = costs.filter(front=front)
        if rows.is_empty():
            continue
        value = rows["value"]
        figure.add_scatter(
            x=rows["milliseconds"].to_list(),
            y=(100 * value).to_list(),
            mode="lines+markers+text" if front else "markers",
            line={"shape": "hv", "width": 1},
            marker={"size": 9, "color": ACCENT if front else QUIET},
            text=[plain(run) for run in rows["run"]] if front and rows.height <= MOST_NAMES else None,
            textposition=[f"bottom {'left' if cost > middle else 'right'}" for cost in rows["milliseconds"]],
            name=name,
            error_y={
                "type": "data",
                "array": (100 * (rows["high"] - value)).to_list(),
                "arrayminus": (100 * (value - rows["low"])).to_list(),
                "thickness": 1.2,
                "width": 3,
            },
            customdata=rows["run"].to_list(),
            hovertext=[
                f"{plain(row['run'])}<br>{percent(row['value'], row['low'], row['high'])}"
                f"<br>{row['milliseconds']:.1f} ms an image"
                for row in rows.iter_rows(named=True)
            ],
            hoverinfo="text",
        )
    if wide:
        figure.update_xaxes(type="log")
    figure.update_xaxes(title_text="milliseconds an image", showgrid=True, zeroline=False)
    figure.update_yaxes(title_text="accuracy, %", zeroline=False)
    return figure.update_layout(
        height=340,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": None},
        hovermode="closest",
        dragmode=False,
    )


def rank_lines(ranks: pl.DataFrame, labels: list[str], chosen: str | None) -> go.Figure:
    """The place of each run under each label set (analysis.results.standings.ranks); `chosen` stands out."""
    figure = go.Figure()
    runs = ranks.filter(labels=labels[-1]).sort("rank", "run")["run"].to_list()
    for run in sorted(runs, key=lambda name: name == chosen):
        rows = ranks.filter(run=run)
        place = {name: (rank, value) for name, rank, value in rows.select("labels", "rank", "value").iter_rows()}
        there = [name for name in labels if name in place]
        figure.add_scatter(
            x=[plain(name) for name in there],
            y=[place[name][0] for name in there],
            mode="lines+markers+text",
            line={"width": 2.5, "color": ACCENT} if run == chosen else {"width": 1.5, "color": QUIET},
            marker_size=8,
            cliponaxis=False,
            text=["" if name != there[-1] else plain(run if len(run) <= 28 else f"{run[:26]}…") for name in there],
            textposition="middle right",
            customdata=[run] * len(there),
            hovertext=[
                f"{plain(run)}<br>{plain(name)}: place {place[name][0]}, {percent(place[name][1])}" for name in there
            ],
            hoverinfo="text",
            showlegend=False,
        )
    figure.update_xaxes(type="category", showgrid=False, range=[-0.15, len(labels) - 0.95])
    figure.update_yaxes(
        title_text="place", autorange="reversed", tick0=1, dtick=max(1, len(runs) // 10), showgrid=False, zeroline=False
    )
    return figure.update_layout(
        height=110 + 22 * max(len(runs), 6),
        margin={"l": 0, "r": NAMES_WIDTH, "t": 8, "b": 0},
        hovermode="closest",
        dragmode=False,
    )
