"""Mistakes as rows: the image, beside examples of its label and of the class that was predicted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.components.shared import Session, Tile, register, triggered, whole

_ROWS = register("rows", Path(__file__).parent)


@dataclass(frozen=True)
class ClassExamples:
    """A class and its exemplars (three fit well); `text` is a plain word on it, such as its score.

    `none` is said where there are no exemplars.
    """

    name: str
    tiles: Sequence[Tile]
    text: str = ""
    none: str = "no other item of this class"


@dataclass(frozen=True)
class MistakeRow:
    """One mistake. The tile's outcome signs the prediction; `evidence` are plain sentences.

    `severity` is a word, empty where nobody said one. `said_by` is who or what says so: a panel, a rule.
    """

    tile: Tile
    label: ClassExamples
    predicted: ClassExamples
    evidence: Sequence[str] = ()
    severity: str = ""
    said_by: str = ""
    role: str = "predicted"
    """What the other class is to the image."""


@dataclass(frozen=True)
class RowsEvent:
    """What happened in the rows since the last run: the number of the item that was opened, if one was."""

    opened: int | None


def mistake_rows(
    rows: Sequence[MistakeRow],
    *,
    key: str,
    session: Session,
    selected: int | None = None,
    empty: str = "No mistakes here.",
    on_open: Callable[[int], None] | None = None,
) -> RowsEvent:
    """Show mistakes one below the other; a click on the image or on an exemplar opens it.

    `selected` marks an item. `on_open` is called with the item's number before the page runs again.
    """

    def examples(shown: ClassExamples) -> dict[str, object]:
        return {
            "name": shown.name,
            "text": shown.text,
            "none": shown.none,
            "tiles": [tile.to_json() for tile in shown.tiles],
        }

    result = _ROWS(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "rows": [
                {
                    "tile": row.tile.to_json(),
                    "label": examples(row.label),
                    "predicted": examples(row.predicted),
                    "evidence": list(row.evidence),
                    "severity": row.severity,
                    "role": row.role,
                    "saidBy": row.said_by,
                }
                for row in rows
            ],
            "selected": selected,
            "empty": empty,
        },
        on_open_change=triggered(key, "open", on_open),
    )
    return RowsEvent(opened=whole(result.get("open")))
