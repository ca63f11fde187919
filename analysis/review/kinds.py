"""What a person can decide about an item, one kind a class, and the judgement that carries it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from analysis.causes import CATEGORIES, FINER_CATEGORIES

VERDICTS = ("valid", "wrong", "unsure", "needs_expert")
PANEL_VERDICTS = ("valid", "wrong", "unclear")
"""A panel ends with a decision: unclear says that it found no consensus."""
CAUSES = (*CATEGORIES, *FINER_CATEGORIES)
PROBLEMS = ("label_wrong", "label_unclear", "drawing", "edited", "inappropriate", "unreadable", "duplicate")


@dataclass(frozen=True)
class Verdict:
    """Whether a class is valid for an item, whoever predicted it; the original label is a class like any other."""

    kind: ClassVar = "verdict"
    item: int
    class_index: int
    verdict: Literal["valid", "wrong", "unsure", "needs_expert", "unclear"]
    """Unclear is a panel's: no consensus."""


@dataclass(frozen=True)
class Cause:
    """Why a prediction is wrong and how badly; for every run that made it. Needs the verdict wrong first."""

    kind: ClassVar = "cause"
    item: int
    class_index: int
    """The predicted class."""
    category: str | None
    """One of CAUSES; None for none told."""
    severity: Literal["major", "minor", "borderline"] | None = None


@dataclass(frozen=True)
class Problem:
    """What is the matter with an item itself: one of PROBLEMS."""

    kind: ClassVar = "problem"
    item: int
    problem: str


@dataclass(frozen=True)
class Exhaustive:
    """No further class of the list is valid for the item."""

    kind: ClassVar = "exhaustive"
    item: int


@dataclass(frozen=True)
class Outside:
    """An object that the image shows and the class list lacks, in the person's words."""

    kind: ClassVar = "outside"
    item: int
    name: str


@dataclass(frozen=True)
class Tag:
    """A word that a person sorts items by."""

    kind: ClassVar = "tag"
    item: int
    tag: str


@dataclass(frozen=True)
class Evidence:
    """What a decision rests on: an address and what it says there."""

    kind: ClassVar = "evidence"
    item: int
    url: str
    quote: str = ""
    class_index: int | None = None


@dataclass(frozen=True)
class Note:
    """Anything else."""

    kind: ClassVar = "note"
    item: int
    text: str
    class_index: int | None = None


@dataclass(frozen=True)
class Undo:
    """Takes back an earlier judgement of the same person on the item; taking back an undo brings it back."""

    kind: ClassVar = "undo"
    item: int
    of: str
    """The id of the judgement that no longer holds."""


Statement = Verdict | Cause | Problem | Exhaustive | Outside | Tag | Evidence | Note | Undo


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A statement with who made it and under which circumstances."""

    says: Statement
    person: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Made by the client. Sent again, it is the same judgement and is answered as before."""
    panel: bool = False
    """The decision of a panel, which `person` recorded; it goes before single readings."""
    blind: bool = False
    """Whether the person saw neither where the candidates came from nor what others said: an independent reading."""
    seconds: float | None = None
    """How long the person looked, by their own clock."""
    shown: Mapping[str, Any] | None = None
    """What was on the screen: candidates in their order, whether their source was hidden, runs."""
    hash: str | None = None
    """Hash of the image that was looked at; None for the item's present one."""
    guideline: str | None = None
    """Which version of the instructions was in force."""
    queue: str | None = None
    stratum: str | None = None
    probability: float | None = None
    """Inclusion probability of the item in its queue, as fixed when the queue was made."""
    supersedes: str | None = None
    """Id of an earlier judgement of the same person that this one replaces."""
