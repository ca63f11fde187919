"""Reviews: how often items were read, scores before and after."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from app.charts.groups import ACCENT, QUIET
from app.charts.looks import by_run, plain
from app.text import count, percent, plural


def coverage_bar(levels: pl.DataFrame) -> go.Figure:
    """Items by how many readings they have, as one bar; `levels` has readings and count, by readings.

    A piece's customdata is its number of readings; those that nobody has read are grey.
    """
    total = int(levels["count"].sum())
    figure = go.Figure()
    most = max(int(levels["readings"].max() or 0), 1)  # type: ignore[arg-type]
    for readings, n in levels.select("readings", "count").iter_rows():
        name = "not read" if not readings else plural(readings, "reading")
        figure.add_bar(
            x=[100 * n / total],
            y=["items"],
            orientation="h",
            name=name,
            marker={"color": ACCENT if readings else QUIET, "line": {"width": 1, "color": "rgba(128,128,128,.3)"}},
            opacity=0.35 + 0.65 * readings / most if readings else 0.45,
            customdata=[readings],
            hovertext=[f"{name}: {count(n)} of {count(total)} ({percent(n / total)})"],
            hoverinfo="text",
        )
    figure.update_xaxes(range=[0, 100], title_text="% of items", showgrid=False, zeroline=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(
        barmode="stack",
        height=130,
        margin={"l": 0, "r": 8, "t": 4, "b": 0},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "title": None, "traceorder": "normal"},
        dragmode=False,
        hovermode="closest",
    )


def score_dots(scores: pl.DataFrame) -> go.Figure:
    """A line a run (analysis.results.rescore.SCORES_SCHEMA, one metric), in the order of the frame.

    A ring before review, a dot with its interval after it; where there is no estimate a pale bar between the bounds.
    """
    figure = go.Figure()
    runs = scores["run"].to_list()
    hover = [_score_words(row) for row in scores.iter_rows(named=True)]
    bounded = scores.filter(pl.col("estimate").is_null() & (pl.col("bound_high") > pl.col("bound_low")))
    if bounded.height:
        figure.add_bar(
            x=(100 * (bounded["bound_high"] - bounded["bound_low"])).to_list(),
            base=(100 * bounded["bound_low"]).to_list(),
            y=bounded["run"].to_list(),
            orientation="h",
            marker={"color": ACCENT, "line": {"width": 0}},
            opacity=0.22,
            width=0.5,
            name="after, only bounds",
            hovertext=[_score_words(row) for row in bounded.iter_rows(named=True)],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=(100 * scores["before"]).to_list(),
        y=runs,
        mode="markers",
        marker={"size": 10, "symbol": "circle-open", "color": QUIET, "line": {"width": 2}},
        name="before",
        hovertext=hover,
        hoverinfo="text",
    )
    known = scores.filter(pl.col("estimate").is_not_null())
    if known.height:
        value = known["estimate"]
        figure.add_scatter(
            x=(100 * value).to_list(),
            y=known["run"].to_list(),
            mode="markers",
            marker={"size": 9, "color": ACCENT},
            error_x={
                "type": "data",
                "array": (100 * (known["high"].fill_null(value) - value)).to_list(),
                "arrayminus": (100 * (value - known["low"].fill_null(value))).to_list(),
                "thickness": 1.4,
                "width": 3,
            },
            name="after, estimated",
            hovertext=[_score_words(row) for row in known.iter_rows(named=True)],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="accuracy, %", showgrid=True, zeroline=False)
    return by_run(figure, runs, legend_entries=len(figure.data))


def _score_words(row: dict[str, Any]) -> str:
    lines = [plain(row["run"]), f"before {percent(row['before'])}"]
    if row["estimate"] is not None:
        lines.append(f"after {percent(row['estimate'], row['low'], row['high'])}")
    lines.append(f"bounds {percent(row['bound_low'])} to {percent(row['bound_high'])}")
    lines.append(f"n = {count(row['n'])}, {count(row['n_reviewed'])} read, {count(row['n_unjudged'])} unjudged")
    lines.append(f"{count(row['gained'])} turned out right, {count(row['lost'])} wrong")
    return "<br>".join(lines)


def coefficient_dots(found: pl.DataFrame) -> go.Figure:
    """Agreement coefficients (analysis.results.agreement.COEFFICIENTS_SCHEMA, none null) in their order, one a line."""
    names = [f"{of}: {measure}".replace("_", " ") for of, measure in found.select("of", "measure").iter_rows()]
    value = found["value"]
    figure = go.Figure()
    figure.add_scatter(
        x=value.to_list(),
        y=names,
        mode="markers",
        marker={"size": 9, "color": ACCENT},
        error_x={
            "type": "data",
            "array": (found["high"].fill_null(value) - value).to_list(),
            "arrayminus": (value - found["low"].fill_null(value)).to_list(),
            "thickness": 1.4,
            "width": 3,
        },
        hovertext=[
            f"{name}: {row['value']:.3f}"
            + ("" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})")
            + f"<br>n = {count(row['n'])}"
            for name, row in zip(names, found.iter_rows(named=True), strict=True)
        ],
        hoverinfo="text",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"width": 1, "color": QUIET})
    figure.update_xaxes(title_text="0 as by chance (raw: none), 1 all agree", showgrid=True, zeroline=False)
    figure = by_run(figure, names, legend_entries=0)
    return figure.update_xaxes(range=[min(0.0, float(found["low"].min() or 0.0)) - 0.03, 1.03])  # type: ignore[arg-type]
