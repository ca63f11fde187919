"""The map: all items of a space as points, drawn by the browser from one binary array."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.components.outcomes import Outcome
from app.components.shared import Session, packed, register, triggered, whole

_MAP = register("map", Path(__file__).parent)

MOST_ENTRIES = 255


@dataclass(frozen=True)
class LegendEntry:
    """What one colour means. An `outcome` brings its own colour and sign; else `color` is #rrggbb, or, when
    None, the next of the theme's categorical colours."""

    name: str
    count: int
    outcome: Outcome | None = None
    color: str | None = None


@dataclass(frozen=True)
class ClusterName:
    """A name to write on the map at (x, y) in the projection's units; larger ones win where two collide."""

    name: str
    x: float
    y: float
    size: int


@dataclass(frozen=True)
class MapEvent:
    """What happened on the map since the last run: the number of the item that was opened, if one was."""

    opened: int | None


def embedding_map(
    points_url: str,
    *,
    key: str,
    session: Session,
    colors: NDArray[np.uint8],
    legend: Sequence[LegendEntry],
    visible: NDArray[np.bool_] | None = None,
    highlighted: int | None = None,
    clusters: Sequence[ClusterName] = (),
    height: int = 520,
    on_open: Callable[[int], None] | None = None,
) -> MapEvent:
    """Show every item of a space as a point; a click (or Enter, on the point nearest the centre) opens one.

    `points_url` is app.routes.points_url(workspace id, space): the browser fetches it once a version.
    `colors` (N,) holds for each item of the workspace the index of its legend entry. `visible` (N,) is the
    slice: other points fade and cannot be clicked. `highlighted` rings an item. Drag pans; wheel, pinch, + and
    - zoom; arrow keys pan; double click or 0 shows everything.
    """
    if len(legend) > MOST_ENTRIES:
        raise ValueError(f"a map takes at most {MOST_ENTRIES} legend entries, not {len(legend)}")
    if visible is not None and visible.shape != colors.shape:
        raise ValueError(f"visible has the shape {visible.shape} and colors {colors.shape}")
    if len(colors) and int(colors.max()) >= len(legend):
        raise ValueError(f"colour {int(colors.max())} has no legend entry; there are {len(legend)}")
    result = _MAP(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "pointsUrl": points_url,
            "colors": packed(colors),
            "visible": None if visible is None else packed(visible),
            "legend": [
                {"name": entry.name, "count": entry.count, "outcome": entry.outcome, "color": entry.color}
                for entry in legend
            ],
            "highlighted": highlighted,
            "clusters": [
                {"name": cluster.name, "x": float(cluster.x), "y": float(cluster.y), "size": int(cluster.size)}
                for cluster in clusters
            ],
            "height": height,
        },
        on_open_change=triggered(key, "open", on_open),
    )
    return MapEvent(opened=whole(result.get("open")))
