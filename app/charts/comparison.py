"""Charts of two runs: the difference A − B with its interval, row by row."""

from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.looks import ROW_HEIGHT, plain

QUIET = "#8891A0"
"""Grey that is seen on light and dark: what is not told apart."""
LONGEST = 34
HEAD, FOOT = 26, 56


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot; fractions, A − B; None where a number cannot be given."""

    key: str
    """What a click gives; unique."""
    name: str
    difference: float | None
    low: float | None
    high: float | None
    side: str
    """A few words at the right."""
    hover: str
    """Lines of plain text."""
    bound_low: float | None = None
    bound_high: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def forest(rows: list[ForestRow], *, side: str) -> go.Figure:
    """Differences in points from top to bottom, each with its interval; grey where it includes zero.

    A wide pale bar reaches as far as judging the unjudged predictions could move a difference. `side` heads the
    words at the right. The customdata of a point is its key.
    """
    figure = go.Figure()
    figure.add_vline(x=0, line={"width": 1, "color": QUIET})
    for place, row in enumerate(reversed(rows)):
        if row.bound_low is not None and row.bound_high is not None and row.bound_low != row.bound_high:
            figure.add_shape(
                type="rect",
                x0=100 * row.bound_low,
                x1=100 * row.bound_high,
                y0=place - 0.2,
                y1=place + 0.2,
                layer="below",
                line_width=0,
                fillcolor=QUIET,
                opacity=0.3,
            )
    reach = [x for row in rows for x in (row.low, row.high, row.bound_low, row.bound_high, row.difference, 0.0)]
    known = [100 * x for x in reach if x is not None]
    margin = 0.04 * (max(known) - min(known)) or 1.0
    # The first trace takes the theme's accent.
    for points, colour in (([row for row in rows if row.shown], None), ([r for r in rows if not r.shown], QUIET)):
        figure.add_scatter(
            x=[_points(row.difference) for row in points],
            y=[row.key for row in points],
            mode="markers",
            marker={"size": 9, "color": colour},
            error_x={
                "type": "data",
                "array": [_reach(row.difference, row.high) for row in points],
                "arrayminus": [_reach(row.low, row.difference) for row in points],
                "thickness": 1.4,
                "width": 3,
            },
            customdata=[[row.key] for row in points],
            hovertext=["<br>".join(plain(line) for line in row.hover.splitlines()) for row in points],
            hoverinfo="text",
            showlegend=False,
        )
    figure.update_xaxes(
        title_text="← B better    points    A better →",
        range=[min(known) - margin, max(known) + margin],
        showgrid=True,
        zeroline=False,
    )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[row.key for row in rows][::-1],
        range=[-0.6, len(rows) - 0.4],
        tickvals=[row.key for row in rows],
        ticktext=[_short(row.name) for row in rows],
        showgrid=False,
        automargin=True,
    )
    beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8, "showarrow": False, "font_size": 12}
    figure.add_annotation(y=1, yref="paper", yanchor="bottom", text=side, **beside)
    for place, row in enumerate(reversed(rows)):
        figure.add_annotation(y=place, text=plain(row.side), **beside)
    widest = max((len(words) for words in [side, *(row.side for row in rows)]), default=0)
    return figure.update_layout(
        height=HEAD + FOOT + ROW_HEIGHT * max(len(rows), 2),
        margin={"l": 0, "r": 16 + 7 * widest, "t": HEAD, "b": FOOT},
        hovermode="closest",
        dragmode=False,
        showlegend=False,
    )


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _reach(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else 100 * (high - low)


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
