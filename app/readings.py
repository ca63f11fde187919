"""What a person is asked (analysis.results.review.tasks), as the judging component shows it."""

from collections.abc import Sequence
from typing import Any

from analysis.results.review import Asked, Choice
from analysis.workspace import Workspace
from app.components.judge import Candidate, Reading
from app.components.shared import Tile
from app.judgements import reading_id


def to_show(workspace: Workspace, person_id: str, asked: Sequence[Asked]) -> list[Reading]:
    """Readings for `judge(...)`, with the ids that the route knows them by. No source, label or prediction is told."""
    items = workspace.items()
    rows = workspace.classes().frame.select("id", "name", "definition").rows(named=True)

    def tile(item: int) -> Tile:
        row = items.row(item, named=True)
        return Tile(item, row["key"], hash=row["hash"], problem=row["problem"])

    def candidate(choice: Choice) -> Candidate:
        row: dict[str, Any] = rows[choice.index]
        return Candidate(
            choice.index,
            row["id"],
            row["name"],
            row["definition"] or "",
            exemplars=[tile(item) for item in choice.exemplars],
            prefilled=choice.prefilled,
            decided=choice.decided,
        )

    found = []
    for one in asked:
        row = items.row(one.reading.item, named=True)
        size = (row["width"], row["height"]) if row["width"] and row["height"] else None
        id = reading_id(workspace, person_id, one.reading)
        candidates = [candidate(choice) for choice in one.choices]
        found.append(Reading(id, tile(one.reading.item), candidates, size, one.exhaustive))
    return found
