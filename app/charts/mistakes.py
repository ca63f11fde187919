"""Charts of one run's mistakes: outcomes with severity, how many runs share them, accuracy with classes merged."""

import plotly.graph_objects as go
import polars as pl

from analysis.results.mistakes import Proposal
from app.charts.looks import LEGEND_ROW, PIECES, UNJUDGED_OPACITY, plain
from app.components.outcomes import LOOKS
from app.outcome_words import WORDS
from app.text import count, percent

BAR = 30
SEVERITIES = {"major": "#3F4957", "minor": "#7C8798", "unset": "#CDD3DB"}
PATTERN = {"fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.7, "size": 6}
LEFT_OUT = "#A3ACB9"
"""Pieces that the slice leaves out."""
TOGETHER = (
    (True, "the same wrong class", "#8F3B06"),
    (False, "several wrong classes", "#E38A3F"),
    (None, "one run alone", "#F2C29B"),
)
"""Whether the runs that are wrong on an image give one class: word and colour."""


def outcome_bar(
    counts: pl.DataFrame, severity: dict[str, int], *, kept: set[tuple[str, bool, bool]] | None = None
) -> go.Figure:
    """All scored items by outcome; below them the wrong ones by themselves, and these by severity where it is known.

    `counts` has outcome, is_right, unjudged, n. A point's customdata is [outcome, right, unjudged], or
    ["severity", name, False]. `kept`: the pieces that the slice holds, None for all; the others are grey.
    """
    total, wrong = int(counts["n"].sum()), int(counts.filter(~pl.col("is_right"))["n"].sum())
    rows = {f"{count(total)} scored": total}
    if 0 < wrong < total:
        rows[f"{count(wrong)} wrong"] = wrong
    figure, named = go.Figure(), 0
    for outcome, right, colour, pattern in PIECES:
        of = counts.filter(outcome=outcome, is_right=right).sort("unjudged")
        words = f"{LOOKS['right' if right else 'wrong'].sign} {WORDS[outcome]}"
        words += " (forgiven)" if outcome == "overlapping" and not right else ""
        for place, (unjudged, n) in enumerate(of.select("unjudged", "n").iter_rows()):
            inside = kept is None or (outcome, right, unjudged) in kept
            within = {row: of_all for row, of_all in rows.items() if of_all == total or not right}
            figure.add_bar(
                x=[100 * n / of_all for of_all in within.values()],
                y=list(within),
                orientation="h",
                name=f"{words} {count(int(of['n'].sum()))}",
                legendgroup=f"{outcome} {right}",
                showlegend=place == 0,
                marker={
                    "color": colour if inside else LEFT_OUT,
                    "pattern": {**PATTERN, "shape": pattern},
                    "line": {"width": 0},
                },
                opacity=(UNJUDGED_OPACITY if unjudged else 1) * (1 if inside else 0.45),
                customdata=[[outcome, right, unjudged]] * len(within),
                hovertext=[
                    f"{words}{', unjudged' if unjudged else ''}<br>{count(n)}, {percent(n / of_all)} of {row}"
                    for row, of_all in within.items()
                ],
                hoverinfo="text",
            )
        named += not of.is_empty()
    shown = list(rows)
    if severity["major"] + severity["minor"]:
        _add_severity(figure, severity)
        named += sum(n > 0 for n in severity.values())
        shown.append("severity")
    # Entries are of any width: four in a row where that is all, else three.
    legend = LEGEND_ROW * (1 if named <= 4 else -(-named // 3)) + 14
    height = BAR * len(shown) + legend
    figure.update_xaxes(range=[0, 100], visible=False)
    figure.update_yaxes(categoryorder="array", categoryarray=shown[::-1], showgrid=False, automargin=True)
    return figure.update_layout(
        barmode="stack",
        bargap=0.28,
        height=height,
        margin={"l": 0, "r": 8, "t": 0, "b": legend},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": legend / height,
            "yanchor": "top",
            "x": 0,
            "title": None,
            "maxheight": legend,
            "itemclick": False,
            "itemdoubleclick": False,
            "traceorder": "normal",
        },
        hovermode="closest",
        dragmode=False,
    )


def _add_severity(figure: go.Figure, severity: dict[str, int]) -> None:
    """A thin bar of the mistakes by severity."""
    total = sum(severity.values())
    for name, colour in SEVERITIES.items():
        if severity[name]:
            figure.add_bar(
                x=[100 * severity[name] / total],
                y=["severity"],
                width=0.6,
                orientation="h",
                marker_color=colour,
                name=f"{name} {count(severity[name])}",
                customdata=[["severity", name, False]],
                hovertext=f"{name}<br>{count(severity[name])} of {count(total)}",
                hoverinfo="text",
            )


def shared_bars(counts: pl.DataFrame, n_runs: int, chosen: int | None = None) -> go.Figure:
    """Items by how many runs get them wrong, in pieces: with one and the same wrong class, or with several.

    `counts` has wrong_by, same, n; those that no run gets wrong are left out. A point's x is the number of runs.
    """
    figure = go.Figure()
    for same, name, colour in TOGETHER:
        rows = counts.filter(pl.col("wrong_by") > 0, pl.col("same").eq_missing(same))
        figure.add_bar(
            x=rows["wrong_by"].to_list(),
            y=rows["n"].to_list(),
            name=name,
            marker={
                "color": colour,
                "opacity": [1 if chosen in (None, runs) else 0.35 for runs in rows["wrong_by"].to_list()],
                "line": {"width": 0},
            },
            hovertext=[
                f"wrong by {runs} of {n_runs} runs, {name}<br>{count(n)} images"
                for runs, n in rows.select("wrong_by", "n").iter_rows()
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="runs that are wrong", tickvals=list(range(1, n_runs + 1)), showgrid=False)
    figure.update_yaxes(title_text="images", zeroline=False)
    return figure.update_layout(
        barmode="stack",
        bargap=0.25,
        height=280,
        margin={"l": 0, "r": 8, "t": 4, "b": 0},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "title": None, "itemclick": False},
        hovermode="closest",
        dragmode=False,
    )


def merge_steps(proposal: Proposal, names: list[str]) -> go.Figure:
    """Accuracy against the number of merges, the most similar classes merged first. Points are the steps, from 0."""
    steps = proposal.steps
    texts = [
        f"{plain(' + '.join(names[index] for index in classes))}<br>{percent(accuracy)}"
        for classes, accuracy in steps.select("classes", "accuracy").iter_rows()
    ]
    accuracy = [100 * (proposal.accuracy or 0), *(100 * steps["accuracy"]).to_list()]
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(len(accuracy))),
        y=accuracy,
        mode="lines+markers",
        line_shape="hv",
        marker_size=5,
        hovertext=[f"no merge<br>{percent(proposal.accuracy or 0)}", *texts],
        hoverinfo="text",
    )
    figure.update_xaxes(title_text="merges", rangemode="tozero", zeroline=False)
    figure.update_yaxes(title_text="accuracy (micro), %", zeroline=False)
    return figure.update_layout(
        height=320, margin={"l": 0, "r": 8, "t": 4, "b": 0}, hovermode="closest", dragmode=False, showlegend=False
    )
