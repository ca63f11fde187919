"""Charts of many runs: how alike they are, how many are wrong together, what each adds to an ensemble."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.many_runs import Member
from app.charts.looks import ROW_HEIGHT, by_run, plain
from app.text import count, percent

FEW = 14
"""Up to so many runs a cell has its number written in it."""
LONGEST = 26


def square_map(
    names: Sequence[str], matrix: NDArray[np.float64], order: Sequence[int], *, what: str, as_percent: bool = True
) -> go.Figure:
    """A symmetric matrix (R, R) of fractions as a heat map, in this order; a point's customdata is two names.

    Rows are numbered and named, columns carry the numbers, so that it stays readable with a hundred of them. The
    diagonal, which says nothing, is empty.
    """
    size = len(order)
    shown = matrix[np.ix_(order, order)].copy()
    np.fill_diagonal(shown, np.nan)
    ordered = [names[place] for place in order]

    def number(value: float) -> str:
        return "–" if np.isnan(value) else percent(value) if as_percent else f"{value:.2f}"

    figure = go.Figure()
    # Colours by a heat map, which fits its cells to any width; clicks by points on it, as a heat map takes none.
    figure.add_heatmap(
        z=100 * shown if as_percent else shown,
        hoverinfo="skip",
        xgap=1 if size <= 50 else 0,
        ygap=1 if size <= 50 else 0,
        texttemplate=("%{z:.1f}" if as_percent else "%{z:.2f}") if size <= FEW else None,
        hoverongaps=False,
        colorbar={"thickness": 8, "outlinewidth": 0, "len": 1, "y": 0.5, "ticksuffix": " %" if as_percent else ""},
    )
    cells = [(row, column) for row in range(size) for column in range(size) if row != column]
    figure.add_scatter(
        x=[column for _, column in cells],
        y=[row for row, _ in cells],
        mode="markers",
        marker={"size": max(5, 420 // max(size, 1)), "symbol": "square", "opacity": 0},
        unselected_marker_opacity=0,
        selected_marker_opacity=0,
        customdata=[[ordered[row], ordered[column]] for row, column in cells],
        hovertext=[
            f"{plain(ordered[row])}<br>{plain(ordered[column])}<br>{what}: {number(shown[row, column])}"
            for row, column in cells
        ],
        hoverinfo="text",
        showlegend=False,
    )
    places = list(range(size))
    row_height = ROW_HEIGHT if size <= 20 else max(11, 700 // size)
    figure.update_yaxes(
        tickvals=places,
        ticktext=[f"{_short(name)}  {place + 1}" for place, name in enumerate(ordered)],
        tickfont_size=12 if row_height >= 16 else 9,
        range=[size - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    figure.update_xaxes(
        tickvals=places if size <= 40 else places[::5],
        ticktext=[str(place + 1) for place in (places if size <= 40 else places[::5])],
        tickangle=0,
        tickfont_size=12 if size <= 20 else 9,
        side="top",
        range=[-0.5, size - 0.5],
        showgrid=False,
        zeroline=False,
    )
    return figure.update_layout(
        height=60 + row_height * max(size, 3),
        margin={"l": 0, "r": 8, "t": 28, "b": 8},
        hovermode="closest",
        dragmode=False,
    )


def wrong_together(counts: Sequence[int], chosen: int) -> go.Figure:
    """How many items at least k runs are wrong on, k = 1 to R; `counts` by k from 1. Customdata is k."""
    k = list(range(1, len(counts) + 1))
    figure = go.Figure()
    figure.add_bar(
        x=k,
        y=list(counts),
        customdata=[[each] for each in k],
        marker={"opacity": [1.0 if each == chosen else 0.45 for each in k]},
        hovertext=[f"wrong by at least {each} of {len(counts)}: {count(n)}" for each, n in zip(k, counts, strict=True)],
        hoverinfo="text",
    )
    # Beside the bars, not as their text: plotly fails to select bars that have text outside.
    for each, n in zip(k, counts, strict=True) if len(counts) <= FEW else ():
        figure.add_annotation(x=each, y=n, text=count(n), yanchor="bottom", showarrow=False, font_size=12)
    figure.update_xaxes(title_text="wrong by at least so many runs", dtick=1 if len(counts) <= 20 else 10)
    figure.update_yaxes(title_text="images", rangemode="tozero")
    return figure.update_layout(
        height=230, margin={"l": 0, "r": 8, "t": 18, "b": 48}, hovermode="closest", dragmode=False, bargap=0.25
    )


def staircase(members: list[Member]) -> go.Figure:
    """The accuracy of a greedy ensemble as each member joins it, with the interval of what it adds."""
    names = [member.run for member in members]
    gains = [member.gain for member in members]
    figure = go.Figure()
    figure.add_scatter(
        x=[100 * member.accuracy for member in members],
        y=names,
        mode="lines+markers",
        line={"shape": "vh", "width": 2},
        marker={"size": 9},
        error_x={
            "type": "data",
            # Of what it adds: the first adds nothing to anything.
            "array": [0.0 if gain.high is None else 100 * (gain.high - (gain.value or 0.0)) for gain in gains],
            "arrayminus": [0.0 if gain.low is None else 100 * ((gain.value or 0.0) - gain.low) for gain in gains],
            "thickness": 1.2,
            "width": 3,
        },
        customdata=[[name] for name in names],
        hovertext=[_member(member) for member in members],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_xaxes(title_text="accuracy of the ensemble so far (micro), %", zeroline=False)
    by_run(figure, names, legend_entries=0)
    return figure.update_layout(showlegend=False)


def _member(member: Member) -> str:
    head = f"{plain(member.run)}<br>accuracy with it: {percent(member.accuracy)}"
    gain = member.gain
    if gain.low is None or gain.high is None:
        return head
    return f"{head}<br>adds {_signed(gain.value or 0)} points ({_signed(gain.low)} to {_signed(gain.high)})"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
