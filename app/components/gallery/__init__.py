"""A grid of tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.components.shared import Session, Tile, register, triggered, whole

_GALLERY = register("gallery", Path(__file__).parent)


@dataclass(frozen=True)
class GalleryEvent:
    """What happened in the gallery since the last run: the number of the item that was opened, if one was."""

    opened: int | None


def gallery(
    tiles: Sequence[Tile],
    *,
    key: str,
    session: Session,
    tile_size: int = 160,
    compact: bool = False,
    selected: int | None = None,
    first: int = 0,
    total: int | None = None,
    empty: str = "No items here.",
    on_open: Callable[[int], None] | None = None,
) -> GalleryEvent:
    """Show tiles in a grid that fills the width; a click or Enter opens one.

    `tiles` are the window of the items that is shown: `first` is the place of its first one and `total` the
    number of all. `tile_size` is a tile's least width in pixels. `compact` leaves one line of words a tile, for
    exemplars and neighbours. `selected` marks an item. `empty` is said, as plain text, when there are no tiles.
    `on_open` is called with the item's number before the page runs again (set the URL there); the event also
    tells it afterwards.
    """
    result = _GALLERY(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "tiles": [tile.to_json() for tile in tiles],
            "tileSize": tile_size,
            "compact": compact,
            "selected": selected,
            "first": first,
            "total": len(tiles) if total is None else total,
            "empty": empty,
        },
        on_open_change=triggered(key, "open", on_open),
    )
    return GalleryEvent(opened=whole(result.get("open")))
