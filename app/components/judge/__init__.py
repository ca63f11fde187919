"""Judging: one image large, its candidate classes beside it, keys for everything, and nothing lost.

The browser holds the readings that the page leases, shows the next image without asking the page, and posts what
was decided to a route of ours in batches. A judgement has an id made in the browser and stays on that computer
until the route has said that it is saved: a closed tab, a sleeping laptop or a killed server loses none, and a
repeat is harmless.

`post_url` takes POST {"judgements": [...]} with the header `Authorization: Bearer TOKEN`; a judgement is
{"id", "reading", "item", "kind", "class"?, "verdict"?, "cause"?, "severity"?, "problem"?, "text"?, "undoes"?,
"seconds", "shown": {"candidates": [class indices in order], "image": hash or null}, "guideline"}, its kind one of
verdict, cause, problem, exhaustive, outside, note, undo. `seconds` count from when the image was shown, without
the time in which the tab was hidden. The answer is 200 {"saved": [ids], "refused": [{"id", "reason"}],
"revealed": {reading: [{"class": index, "sources": ["label" | "decoy" | run, ...]}]}}; 401 asks for a new token;
other 4xx are refusals, {"error": reason}; all else is tried again. `classes_url` answers GET with
[{"index", "id", "name", "synonyms": [...], "hypernyms": [...]}].
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from app.components.shared import ZOOM, Session, Tile, register, triggered, whole

_FOLDER = Path(__file__).parent
_PARTS = [
    ZOOM,
    *(_FOLDER / f"{part}.js" for part in ("posting", "deck", "dialogs", "picker", "view", "deciding", "keys")),
]
_JUDGE = register("judge", _FOLDER, parts=_PARTS)

Verdict = Literal["valid", "wrong", "unsure", "needs_expert"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

CAUSES = {
    "fine_grained": ("fine-grained", "a class close to a valid one"),
    "fine_grained_oov": ("fine-grained, outside the list", "what it is has no class of its own in the list"),
    "spurious_correlation": ("spurious correlation", "something that often stands with the predicted class"),
    "non_prototypical": ("non-prototypical", "an unusual example of its class"),
    "model_failure": ("model failure", "none of these: nothing explains it"),
}
"""Why a prediction is wrong, in the order of their keys 1 to 5: name and explanation."""

SEVERITIES = {"major": "major", "minor": "minor"}

PROBLEMS = {
    "label_wrong": "label wrong",
    "label_unclear": "label unclear",
    "drawing": "drawing or rendering",
    "edited": "edited",
    "inappropriate": "inappropriate",
    "unreadable": "unreadable",
    "duplicate": "duplicate",
}
"""What may be the matter with an item, in the order of their keys 1 to 7."""

MAX_EXEMPLARS = 6


@dataclass(frozen=True)
class Candidate:
    """A class to judge: `index` in the class list, `id` (a wnid, say), and up to six exemplars.

    `decided` is the verdict that this reading already holds (it was left half done). `prefilled` is one to be
    confirmed, in self-paced judging. Where a candidate comes from is not said: the route reveals it afterwards.
    """

    index: int
    id: str
    name: str
    definition: str = ""
    exemplars: Sequence[Tile] = ()
    prefilled: Verdict | None = None
    decided: Verdict | None = None


@dataclass(frozen=True)
class Reading:
    """One item to be judged by one person, with its candidates in the order to show them.

    `id` is opaque. `size` is the image's (width, height) in pixels, where known. An `exhaustive` reading also
    asks for what is missing: a class from the list, or "no further class". `note` is a plain word on it.
    """

    id: str
    tile: Tile
    candidates: Sequence[Candidate]
    size: tuple[int, int] | None = None
    exhaustive: bool = False
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """What the browser is told: nothing that tells label from prediction.

        Keys are paths, which often name the class, so an image with pixels is sent without its key.
        """
        tile = {"item": self.tile.item, "hash": self.tile.hash, "problem": self.tile.problem}
        if not self.tile.hash:
            tile["key"] = self.tile.key
        return {
            "id": self.id,
            "tile": {"key": "", **{name: value for name, value in tile.items() if value is not None}},
            "size": self.size,
            "exhaustive": self.exhaustive,
            "note": self.note,
            "candidates": [
                {
                    "index": one.index,
                    "id": one.id,
                    "name": one.name,
                    "definition": one.definition,
                    "exemplars": [Tile(t.item, "", hash=t.hash, problem=t.problem).to_json() for t in one.exemplars],
                    "prefilled": one.prefilled,
                    "decided": one.decided,
                }
                for one in self.candidates
            ],
        }


@dataclass(frozen=True)
class JudgeEvent:
    """What happened since the last run: so many unjudged readings are left, more are wanted; the token is over."""

    more: int | None
    renew: bool


def judge(
    readings: Sequence[Reading],
    *,
    key: str,
    session: Session,
    post_url: str,
    classes_url: str,
    guideline: str,
    person: str = "",
    search_url: str | None = None,
    on_more: Callable[[int], None] | None = None,
    on_renew: Callable[[], None] | None = None,
) -> JudgeEvent:
    """Show readings to be judged, one after the other.

    `readings` may still hold some that were judged meanwhile: they are not shown again. When fewer than ten are
    left, `on_more` is called once with their number, before the page runs again; pass the longer list then.
    `on_renew` is called when the token was refused; each run of the page brings a new one anyway. `guideline` is
    the version that is judged by. `person` keeps apart what several people on one computer have not yet saved.
    `search_url` is an address of an image search to which a class's name, and never an image, is appended.

    Raises ValueError when two readings share an id, a reading holds a class twice or nothing to decide, or a
    class has more than six exemplars.
    """
    _check(readings)
    result = _JUDGE(
        key=key,
        data={
            "session": {"workspace": session.workspace, "token": session.token},
            "readings": [reading.to_json() for reading in readings],
            "postUrl": post_url,
            "classesUrl": classes_url,
            "guideline": guideline,
            "person": person,
            "searchUrl": search_url,
            "causes": [[cause, *words] for cause, words in CAUSES.items()],
            "severities": list(SEVERITIES.items()),
            "problems": list(PROBLEMS.items()),
        },
        on_more_change=triggered(key, "more", on_more),
        on_renew_change=triggered(key, "renew", None if on_renew is None else lambda _: on_renew()),
    )
    return JudgeEvent(more=whole(result.get("more")), renew=result.get("renew") is not None)


def _check(readings: Sequence[Reading]) -> None:
    twice = [id for id, n in Counter(reading.id for reading in readings).items() if n > 1]
    if twice:
        raise ValueError(f"two readings have the id {twice[0]!r}")
    for reading in readings:
        classes = [candidate.index for candidate in reading.candidates]
        if len(set(classes)) < len(classes):
            raise ValueError(f"reading {reading.id!r} holds a class twice: {classes}")
        if not classes and not reading.exhaustive:
            raise ValueError(f"reading {reading.id!r} has nothing to decide: no candidates, and not exhaustive")
        if any(len(candidate.exemplars) > MAX_EXEMPLARS for candidate in reading.candidates):
            raise ValueError(f"reading {reading.id!r} has a class with more than {MAX_EXEMPLARS} exemplars")
