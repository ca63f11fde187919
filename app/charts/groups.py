"""One run by groups of items: its accuracy in each beside that of the other runs."""

import plotly.graph_objects as go
import polars as pl

from app.charts.looks import by_run, plain
from app.text import count, percent

QUIET = "#8A94A3"
"""Grey that reads on a light and on a dark page."""
ACCENT = "#2F7FD6"
"""Of the run that is looked at; reads on both."""


def group_dots(groups: pl.DataFrame, run: str) -> go.Figure:
    """A line a group, in the order of the frame (analysis.results.standings.GROUPS_SCHEMA): the run's accuracy with
    its interval, the mean of the others, and the gap between them."""
    names = groups["group"].to_list()
    figure = go.Figure()
    compared = groups.filter(pl.col("others").is_not_null())
    figure.add_scatter(
        x=[
            x
            for value, others in compared.select("value", "others").iter_rows()
            for x in (100 * value, 100 * others, None)
        ],
        y=[y for group in compared["group"] for y in (group, group, None)],
        mode="lines",
        line={"color": QUIET, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    hover = [_hover(row, run) for row in groups.iter_rows(named=True)]
    if compared.height:
        figure.add_scatter(
            x=(100 * groups["others"]).to_list(),
            y=names,
            mode="markers",
            marker={"size": 8, "symbol": "line-ns-open", "color": QUIET, "line_width": 2},
            name="mean of the other runs",
            customdata=names,
            hovertext=hover,
            hoverinfo="text",
        )
    value = groups["value"]
    figure.add_scatter(
        x=(100 * value).to_list(),
        y=names,
        mode="markers",
        marker={"size": 9, "color": ACCENT},
        name=plain(run),
        error_x={
            "type": "data",
            "array": (100 * (groups["high"] - value)).to_list(),
            "arrayminus": (100 * (value - groups["low"])).to_list(),
            "thickness": 1.2,
            "width": 3,
        },
        customdata=names,
        hovertext=hover,
        hoverinfo="text",
    )
    figure.update_xaxes(title_text="accuracy (micro), %", showgrid=True, zeroline=False)
    by_run(figure, names, legend_entries=2)
    sizes = dict(groups.select("group", "n").iter_rows())
    return figure.update_yaxes(
        type="category",  # groups may be numbers
        ticktext=[f"{plain(_cut(name))}  <i>n {count(sizes[name])}</i>" for name in names],
    )


def _cut(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:28]}…"


def _hover(row: dict, run: str) -> str:
    lines = [
        f"<b>{plain(row['group'])}</b>, n = {count(row['n'])}",
        f"{plain(run)}: {percent(row['value'], row['low'], row['high'])}",
    ]
    if row["n_unjudged"]:
        lines.append(f"of them unjudged: {count(row['n_unjudged'])}")
    if row["others"] is not None:
        half = "" if row["gap_low"] is None else f"\u202f±{50 * (row['gap_high'] - row['gap_low']):.1f}"
        lines.append(f"the others: {percent(row['others'])}")
        lines.append(f"gap {100 * row['gap']:+.1f}{half} points (paired)")
    return "<br>".join(lines)
