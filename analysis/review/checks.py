"""Whether a judgement can be: checked in full before anything is written. Every complaint names the item."""

import json
import math
from collections.abc import Mapping
from typing import Any

from analysis.causes import SEVERITIES
from analysis.errors import InputError
from analysis.review.kinds import (
    CAUSES,
    PANEL_VERDICTS,
    PROBLEMS,
    VERDICTS,
    Cause,
    Evidence,
    Exhaustive,
    Judgement,
    Note,
    Outside,
    Problem,
    Statement,
    Tag,
    Undo,
    Verdict,
)
from analysis.workspace import Workspace

LONGEST = {"id": 64, "person": 200, "guideline": 200, "queue": 200, "stratum": 200, "supersedes": 64}
LONGEST_WORD = 200
LONGEST_TEXT = 10_000
LONGEST_SHOWN = 100_000


def as_row(workspace: Workspace, judgement: Judgement) -> dict[str, Any]:
    """A judgement as a row of the log, without its position, time and what it supersedes.

    Raises InputError naming the item when anything about it cannot be.
    """
    says = judgement.says
    items = workspace.items()
    if not isinstance(says.item, int) or not 0 <= says.item < items.height:
        raise InputError(f"Item {says.item} is not in {workspace.name}, which has {items.height:,} items.")
    item = items.row(says.item, named=True)
    where = f"Item {says.item} ({item['key']!r})"
    if item["missing"]:
        raise InputError(f"{where} is no longer in the dataset.")
    _refuse_text(judgement, where)
    _refuse_number(where, "the seconds", judgement.seconds, low=0, high=math.inf)
    if judgement.probability == 0:
        raise InputError(f"{where}: an item that was drawn has an inclusion probability above 0.")
    _refuse_number(where, "the inclusion probability", judgement.probability, low=0, high=1)
    return {
        "workspace": workspace.uuid,
        "id": judgement.id,
        "person": judgement.person,
        "panel": judgement.panel,
        "blind": judgement.blind,
        "kind": says.kind,
        "item": says.item,
        "key": item["key"],
        "hash": item["hash"] if judgement.hash is None else judgement.hash,
        "class": None,
        "value": None,
        "severity": None,
        "url": None,
        "seconds": judgement.seconds,
        "shown": _json(judgement.shown, where),
        "guideline": judgement.guideline,
        "queue": judgement.queue,
        "stratum": judgement.stratum,
        "probability": judgement.probability,
        **_columns(says, judgement.panel, where, len(workspace.classes())),
    }


def _columns(says: Statement, panel: bool, where: str, n_classes: int) -> dict[str, Any]:
    """What the statement itself says: class, value, severity, url."""
    match says:
        case Verdict():
            words = PANEL_VERDICTS if panel else VERDICTS
            _refuse_word(where, "a panel's verdict" if panel else "a verdict", says.verdict, words)
            return {"class": _known_class(says.class_index, n_classes, where), "value": says.verdict}
        case Cause():
            if says.category is None and says.severity is None:
                raise InputError(f"{where}: a cause needs a category or a severity.")
            if says.category is not None:
                _refuse_word(where, "a category", says.category, CAUSES)
            if says.severity is not None:
                _refuse_word(where, "a severity", says.severity, tuple(SEVERITIES.categories))
            known = _known_class(says.class_index, n_classes, where)
            return {"class": known, "value": says.category, "severity": says.severity}
        case Problem():
            _refuse_word(where, "a problem", says.problem, PROBLEMS)
            return {"value": says.problem}
        case Exhaustive() | Undo():
            return {}
        case Outside():
            return {"value": _text(where, "the object's name", says.name, LONGEST_WORD)}
        case Tag():
            return {"value": _text(where, "the tag", says.tag, LONGEST_WORD)}
        case Note():
            about = None if says.class_index is None else _known_class(says.class_index, n_classes, where)
            return {"class": about, "value": _text(where, "the note", says.text, LONGEST_TEXT)}
        case Evidence():
            about = None if says.class_index is None else _known_class(says.class_index, n_classes, where)
            url = _text(where, "the address", says.url, LONGEST_TEXT)
            if not url.startswith(("https://", "http://")):
                raise InputError(f"{where}: the evidence's address {url[:80]!r} does not begin with https://.")
            quote = _text(where, "the quote", says.quote, LONGEST_TEXT) if says.quote else None
            return {"class": about, "url": url, "value": quote}


def _refuse_word(where: str, what: str, word: object, known: tuple[str, ...]) -> None:
    if word not in known:
        raise InputError(f"{where}: {word!r} is not {what}. Known are {', '.join(known)}.")


def _known_class(index: object, n_classes: int, where: str) -> int:
    if not isinstance(index, int) or not 0 <= index < n_classes:
        raise InputError(f"{where}: there is no class {index!r}; the classes are 0 to {n_classes - 1}.")
    return index


def _refuse_number(where: str, what: str, number: float | None, *, low: float, high: float) -> None:
    if number is not None and not (math.isfinite(number) and low <= number <= high):
        raise InputError(f"{where}: {what} cannot be {number}.")


def _text(where: str, what: str, text: object, longest: int) -> str:
    """Text that every database can keep: PostgreSQL refuses NUL, and nobody can encode half a surrogate pair."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: {what} is empty.")
    if len(text) > longest:
        raise InputError(f"{where}: {what} has {len(text):,} characters; at most {longest:,} are kept.")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{where}: {what} contains characters that are no text.")
    return text


def _refuse_text(judgement: Judgement, where: str) -> None:
    for name, longest in LONGEST.items():
        text = getattr(judgement, name)
        if text is not None:
            _text(where, f"the judgement's {name}", text, longest)
    if judgement.hash is not None:
        _text(where, "the image's hash", judgement.hash, 200)


def _json(shown: Mapping[str, Any] | None, where: str) -> str | None:
    if shown is None:
        return None
    try:
        text = json.dumps(dict(shown), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: what was shown cannot be kept as JSON: {error}.") from error
    if len(text) > LONGEST_SHOWN:
        raise InputError(f"{where}: what was shown has {len(text):,} characters; at most {LONGEST_SHOWN:,} are kept.")
    return text
