"""What the charts have in common: how outcomes are coloured, runs laid out, text kept plain."""

import plotly.graph_objects as go

PIECES: list[tuple[str, bool, str, str]] = [
    ("correct", True, "#0A7C86", ""),
    ("overlapping", True, "#0A7C86", "x"),
    ("multi_label", True, "#0A7C86", "/"),
    ("agrees_with_rejected", False, "#7A4B2A", ""),
    ("overlapping", False, "#7A4B2A", "x"),
    ("too_coarse", False, "#F2C29B", ""),
    ("fine_grained", False, "#F0A868", ""),
    ("fine_grained_oov", False, "#E38A3F", ""),
    ("spurious_correlation", False, "#D56D22", ""),
    ("non_prototypical", False, "#B9560F", ""),
    ("model_failure", False, "#8F3B06", ""),
]
"""Outcome, whether it counts as right, colour and pattern, in the order in which a bar shows them."""
UNJUDGED_OPACITY = 0.45
ROW_HEIGHT = 26
AXIS_HEIGHT = 52
LEGEND_ROW, LEGEND_WIDTH = 19, 160  # where the page is narrow, entries stand in one column


def by_run(figure: go.Figure, runs: list[str], *, legend_entries: int) -> go.Figure:
    """Runs from top to bottom in the order given; long names are cut on the axis, whole in the hover.

    The legend stands below in rows of its own height, so that it never takes any from the bars.
    """
    rows = max(len(runs), 2)
    legend = legend_height(legend_entries)
    figure.update_yaxes(
        type="category",  # a run may be named by a number
        categoryorder="array",
        categoryarray=runs[::-1],
        tickvals=runs,
        ticktext=[plain(run if len(run) <= 34 else f"{run[:32]}…") for run in runs],
        showgrid=False,
        automargin=True,
    )
    figure.update_layout(
        height=AXIS_HEIGHT + ROW_HEIGHT * rows + legend,
        margin={"l": 0, "r": 8, "t": 4, "b": AXIS_HEIGHT + legend},
        legend=legend_below(legend_entries),
        hovermode="closest",
        dragmode=False,
    )
    return figure


def legend_height(entries: int) -> int:
    """Pixels that a legend below a chart takes at the most."""
    return LEGEND_ROW * (entries + 1)


def legend_below(entries: int) -> dict[str, object]:
    """A legend at the lower end of the figure, in the height that is kept for it."""
    return {
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "x": 0,
        "xref": "container",
        "title": None,
        "entrywidth": LEGEND_WIDTH,
        "maxheight": legend_height(entries),
    }


def plain(text: str) -> str:
    """Text that plotly, which reads a little HTML in labels, shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
