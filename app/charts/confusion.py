"""Charts of confusions: classes or superclasses as rows (label) and columns (prediction), only what is not empty."""

import math

import plotly.graph_objects as go

from analysis.results.mistakes import ConfusionMatrix
from app.charts.looks import plain
from app.text import count, percent, plural

CELL = 15
LABEL_WIDTH = 128
CHOSEN = {"color": "#D17A00", "width": 2}
LONGEST = 18


def confusion_heat_map(
    matrix: ConfusionMatrix, names: list[str], *, chosen: tuple[int, int] | None = None, diagonal: bool = False
) -> go.Figure:
    """The matrix as a heat map; `names` by class or superclass. A point's customdata is [label, prediction].

    `chosen` (label, prediction) is framed. `diagonal`: whether cells there mean anything; else a line crosses them out,
    as no class is confused with itself, and lines part the blocks.
    """
    place = {index: row for row, index in enumerate(matrix.order)}
    size = len(matrix.order)
    grid: list[list[float | None]] = [[None] * size for _ in range(size)]
    x, y, data, texts = [], [], [], []
    for label, prediction, n in matrix.cells.select("label", "prediction", "n").iter_rows():
        grid[place[label]][place[prediction]] = math.log10(n)
        x.append(place[prediction])
        y.append(place[label])
        data.append([label, prediction])
        texts.append(f"label {plain(names[label])}<br>predicted {plain(names[prediction])}<br>{plural(n, 'image')}")
    figure = go.Figure()
    # Colours by a heat map, which fits the cells to any width; clicks by points on it, as a heat map takes none.
    figure.add_heatmap(
        z=grid,
        hoverinfo="skip",
        xgap=1,
        ygap=1,
        zmin=-0.3,  # a single image is to be seen too
        showscale=False,
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"size": CELL, "symbol": "square", "opacity": 0},
        unselected_marker_opacity=0,
        selected_marker_opacity=0,
        customdata=data,
        hovertext=texts,
        hoverinfo="text",
        showlegend=False,
    )
    end = size - 0.5
    edges = [row - 0.5 for row in range(1, size) if matrix.blocks[row] != matrix.blocks[row - 1]]
    lines = [(-0.5, end, -0.5, end)]
    lines += [(edge, edge, -0.5, end) for edge in edges] + [(-0.5, end, edge, edge) for edge in edges]
    shapes = [] if diagonal else [_line(*line) for line in lines]
    if chosen is not None and set(chosen) <= place.keys():
        row, column = place[chosen[0]], place[chosen[1]]
        shapes.append(
            {"type": "rect", "x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5, "line": CHOSEN}
        )
    shown = [plain(_cut(names[index])) for index in matrix.order]
    axis = {"tickvals": list(range(size)), "ticktext": shown, "tickfont": {"size": 10}}
    axis |= {"showgrid": False, "zeroline": False, "automargin": True}
    figure.update_xaxes(**axis, range=[-0.5, end], tickangle=-90, title_text="predicted", side="bottom")
    figure.update_yaxes(**axis, range=[end, -0.5], title_text="label", title_standoff=4)
    figure.update_layout(
        height=CELL * max(size, 8) + LABEL_WIDTH + 28,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        shapes=shapes,
        dragmode=False,
        hovermode="closest",
    )
    return figure


def _line(x0: float, x1: float, y0: float, y1: float) -> dict[str, object]:
    line = {"color": "rgba(128,138,152,.22)", "width": 1}
    return {"type": "line", "x0": x0, "x1": x1, "y0": y0, "y1": y1, "line": line, "layer": "below"}


def disagreement_table(
    counts: dict[tuple[str, str], tuple[int, int]], sets: list[str], row: str, column: str, *, dark: bool
) -> go.Figure:
    """Label set by label set: how often the row's says yes and the column's no. A point's customdata is the two.

    `counts`: (first, second) -> how many, of how many. `row` and `column` say what they stand for, with {} for the set.
    """
    place = {name: at for at, name in enumerate(sets)}
    grid: list[list[float | None]] = [[None] * len(sets) for _ in sets]
    x, y, data, texts, hovers = [], [], [], [], []
    for (first, second), (n, total) in counts.items():
        share = n / total if total else 0.0
        grid[place[first]][place[second]] = share
        x.append(place[second])
        y.append(place[first])
        data.append([first, second])
        texts.append(f"<b>{count(n)}</b><br>{percent(share)}" if total else "–")
        said = f"{plain(row.format(first))}<br>{plain(column.format(second))}"
        hovers.append(f"{said}<br>{count(n)} of {count(total)} images")
    figure = go.Figure()
    figure.add_heatmap(z=grid, hoverinfo="skip", xgap=2, ygap=2, zmin=0, showscale=False, opacity=0.35)
    # A text fades when another one is selected, unless its colour is said.
    colour = "#E4E8EE" if dark else "#16202E"
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers+text",
        text=texts,
        textfont_color=colour,
        marker={"size": 46, "symbol": "square", "opacity": 0},
        unselected={"marker": {"opacity": 0}, "textfont": {"color": colour}},
        selected={"marker": {"opacity": 0}, "textfont": {"color": colour}},
        customdata=data,
        hovertext=hovers,
        hoverinfo="text",
    )
    shown = [plain(_cut(name)) for name in sets]
    axis = {"tickvals": list(range(len(sets))), "ticktext": shown, "showgrid": False, "zeroline": False}
    end = len(sets) - 0.5
    figure.update_xaxes(**axis, range=[-0.5, end], side="top", title_text=column.format("…"), automargin=True)
    figure.update_yaxes(**axis, range=[end, -0.5], title_text=row.format("…"), automargin=True)
    return figure.update_layout(
        height=70 + 56 * len(sets), margin={"l": 0, "r": 0, "t": 4, "b": 4}, dragmode=False, hovermode="closest"
    )


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
