"""One item with everything known about it: the content of the drawer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.components.outcomes import Outcome
from app.components.shared import ZOOM, Session, Tile, register, triggered, whole

_ITEM = register("item", Path(__file__).parent, parts=[ZOOM])


@dataclass(frozen=True)
class LabelChip:
    """A class that a label set speaks about: valid, unclear or rejected."""

    name: str
    state: Literal["valid", "unclear", "rejected"] = "valid"


@dataclass(frozen=True)
class LabelRow:
    """What one label set says about the item. `note` is said where it says nothing ("not judged")."""

    name: str
    chips: Sequence[LabelChip]
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """One of a run's top predictions: `text` is its score as people read it ("61.2 %", or "1st" for ranks);
    `share` (0 to 1) is the length of its bar, None for no bar. `outcome` is its validity under the lens."""

    name: str
    text: str
    share: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class RunRow:
    """A run's predictions, best first; `current` marks the lens's run."""

    name: str
    candidates: Sequence[Candidate]
    current: bool = False
    note: str = ""


@dataclass(frozen=True)
class JudgementRow:
    """What a person said of the item: `who`, `when` and `what` as people read them.

    `sign` colours and signs a verdict; `note` tells more (a queue, a rationale). `stands` is false for what was taken
    back or replaced.
    """

    who: str
    when: str
    what: str
    sign: Outcome | None = None
    note: str = ""
    stands: bool = True


@dataclass(frozen=True)
class ItemCard:
    """Everything that the drawer shows; all texts are plain. `place` is like "12 of 1,240" in the slice."""

    tile: Tile
    sentence: str = ""
    outcome: Outcome | None = None
    place: str = ""
    labels: Sequence[LabelRow] = ()
    runs: Sequence[RunRow] = ()
    judgements: Sequence[JudgementRow] = ()
    judgements_note: str = ""
    metadata: Sequence[tuple[str, str]] = ()
    neighbours: Sequence[Tile] = ()
    neighbours_note: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ItemEvent:
    """What happened since the last run: an item to open (a neighbour), so many steps on in the slice (or back),
    or a wish to see everything like this item, or to judge it (its number)."""

    opened: int | None
    step: int | None
    similar: int | None
    judge: int | None


def item_card(
    card: ItemCard,
    *,
    key: str,
    session: Session,
    has_previous: bool = True,
    has_next: bool = True,
    on_open: Callable[[int], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_similar: Callable[[int], None] | None = None,
    on_judge: Callable[[int], None] | None = None,
) -> ItemEvent:
    """Show an item. The arrow keys step through the slice (not while a text field has the focus).

    The callbacks are called before the page runs again, with a neighbour's number, the steps to take (below 0:
    back), and the item's own number. "Similar" is offered when there are neighbours, "Judge" when `on_judge` is
    given.
    """
    result = _ITEM(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "tile": card.tile.to_json(),
            "sentence": card.sentence,
            "outcome": card.outcome,
            "place": card.place,
            "labels": [
                {
                    "name": row.name,
                    "note": row.note,
                    "chips": [{"name": chip.name, "state": chip.state} for chip in row.chips],
                }
                for row in card.labels
            ],
            "runs": [
                {
                    "name": run.name,
                    "note": run.note,
                    "current": run.current,
                    "candidates": [
                        {"name": c.name, "text": c.text, "share": c.share, "outcome": c.outcome} for c in run.candidates
                    ],
                }
                for run in card.runs
            ],
            "judgements": [
                {"who": j.who, "when": j.when, "what": j.what, "sign": j.sign, "note": j.note, "stands": j.stands}
                for j in card.judgements
            ],
            "judgementsNote": card.judgements_note,
            "canJudge": on_judge is not None,
            "metadata": [[name, value] for name, value in card.metadata],
            "neighbours": [tile.to_json() for tile in card.neighbours],
            "neighboursNote": card.neighbours_note,
            "size": card.size,
            "hasPrevious": has_previous,
            "hasNext": has_next,
        },
        on_open_change=triggered(key, "open", on_open),
        on_step_change=triggered(key, "step", on_step),
        on_similar_change=triggered(key, "similar", on_similar),
        on_judge_change=triggered(key, "judge", on_judge),
    )
    return ItemEvent(
        opened=whole(result.get("open")),
        step=whole(result.get("step")),
        similar=whole(result.get("similar")),
        judge=whole(result.get("judge")),
    )
