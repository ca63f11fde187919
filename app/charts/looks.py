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


def by_run(figure: go.Figure, runs: list[str]) -> go.Figure:
    """Runs from top to bottom in the order given; long names are cut on the axis, whole in the hover."""
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=runs[::-1],
        tickvals=runs,
        ticktext=[plain(run if len(run) <= 34 else f"{run[:32]}…") for run in runs],
        showgrid=False,
        automargin=True,
    )
    figure.update_layout(
        height=90 + ROW_HEIGHT * max(len(runs), 2),
        margin={"l": 0, "r": 8, "t": 28, "b": 0},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": None},
        hovermode="closest",
        dragmode=False,
    )
    return figure


def plain(text: str) -> str:
    """Text that plotly, which reads a little HTML in labels, shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
