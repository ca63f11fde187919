"""Pairs of confused classes as a ranked list: both classes with small pictures, and how often it happened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.components.shared import Session, Tile, register, triggered, whole
from app.text import count

_PAIRS = register("pairs", Path(__file__).parent)


@dataclass(frozen=True)
class Pair:
    """Images of one class that were taken for another; names and words are plain text."""

    label: str
    predicted: str
    n: int
    """How many."""
    words: str = ""
    """Words below the number, such as `of 50`."""
    label_tiles: Sequence[Tile] = ()
    predicted_tiles: Sequence[Tile] = ()
    """Exemplars (three fit well); none without pixels."""


@dataclass(frozen=True)
class PairsEvent:
    """What happened in the list since the last run: the place of the pair that was clicked, if one was."""

    chosen: int | None


def pair_list(
    pairs: Sequence[Pair],
    *,
    key: str,
    session: Session,
    largest: int,
    chosen: int | None = None,
    on_choose: Callable[[int], None] | None = None,
) -> PairsEvent:
    """Show pairs one below the other, each a button; its bar is as long as its number is of `largest`.

    `chosen` marks the pair at a place. `on_choose` is called with the clicked one's place before the page runs again.
    """
    result = _PAIRS(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "pairs": [
                {
                    "label": pair.label,
                    "predicted": pair.predicted,
                    "n": pair.n,
                    "shown": count(pair.n),
                    "words": pair.words,
                    "labelTiles": [tile.to_json() for tile in pair.label_tiles],
                    "predictedTiles": [tile.to_json() for tile in pair.predicted_tiles],
                }
                for pair in pairs
            ],
            "largest": largest,
            "chosen": chosen,
        },
        on_choose_change=triggered(key, "choose", on_choose),
    )
    return PairsEvent(chosen=whole(result.get("choose")))
