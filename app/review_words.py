"""A queue in words: how its items were drawn, how they are read, what its numbers are worth."""

from collections.abc import Mapping
from typing import Any

from analysis.results.review import CONTROL, Design
from analysis.review.queues import Protocol, Queue
from app.components.judge import CAUSES, PROBLEMS
from app.components.outcomes import Outcome
from app.outcome_words import WORDS
from app.text import count, plural

DESIGNS: dict[Design, tuple[str, str]] = {
    "complete": (
        "Complete",
        "Every item, in random order. Counts fully at the end; on the way what was read is a random sample, so there "
        "are estimates with intervals from the first readings on.",
    ),
    "random": (
        "Simple random",
        "n items at random. Estimates with intervals, for the items of this slice: take it where complete is too much.",
    ),
    "stratified": (
        "Stratified, with control",
        "n items, some of each outcome, and some that are counted as right, from all items: the estimate speaks of "
        "the whole dataset, and a score can also fall.",
    ),
    "confident": (
        "Most confident first",
        "The items of which the run is surest. The quickest way to label errors; it says nothing of other items, so "
        "scores get bounds, and the items count once all of them are read.",
    ),
}
"""Each design's name and what its numbers will be worth."""

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}

VERDICTS: dict[str, tuple[str, Outcome]] = {
    "valid": ("valid", "right"),
    "wrong": ("wrong", "wrong"),
    "unsure": ("unsure", "unclear"),
    "needs_expert": ("needs an expert", "unjudged"),
    "unclear": ("unclear", "unclear"),
    "disputed": ("disputed", "unclear"),
}
"""Verdicts and states of the consensus: their words, and how they are coloured and signed."""


def design_words(queue: Queue) -> str:
    """How a queue was drawn and how it is read: "simple random 200 of 1,932, two blind readings", as plain text."""
    return f"{drawn_words(queue)}, {readings_words(queue.protocol)}"


def drawn_words(queue: Queue) -> str:
    """How a queue's items were drawn."""
    strata = queue.strata
    if len(strata) == 1:
        (one,) = strata
        if not one["random"]:
            return f"{plural(one['draw'], 'item')}, the most confident first"
        if one["draw"] == one["size"]:
            return "one item" if one["size"] == 1 else f"complete, all {count(one['size'])} items"
        return f"simple random {count(one['draw'])} of {count(one['size'])} items"
    wrong = [one for one in strata if one["name"] != CONTROL]
    control = [one for one in strata if one["name"] == CONTROL]
    text = f"stratified by outcome, {_of(wrong)} items"
    return f"{text} and {_of(control)} counted as right" if control else text


def _of(strata: list[dict[str, Any]]) -> str:
    return f"{count(sum(one['draw'] for one in strata))} of {count(sum(one['size'] for one in strata))}"


def readings_words(protocol: Protocol) -> str:
    """How often each item is read and what the readers see."""
    n = NUMBERS.get(protocol.readings, str(protocol.readings))
    noun = "reading" if protocol.readings == 1 else "readings"
    text = f"{n} blind {noun}" if protocol.blind else f"{n} self-paced {noun}"
    return f"{text}, further classes asked for" if protocol.exhaustive else text


def statement_words(row: Mapping[str, object], class_names: list[str]) -> tuple[str, Outcome | None]:
    """What a row of the log says, as plain text, with the sign of a verdict."""
    kind, value = str(row["kind"]), str(row["value"] or "")
    index = row["class"]
    name = "" if index is None else class_names[int(str(index))]
    if kind == "verdict":
        words, sign = VERDICTS.get(value, (value, None))
        return f"{name}: {words}", sign
    if kind == "cause":
        cause = CAUSES[value][0] if value in CAUSES else WORDS.get(value, value)
        return f"{name}: {', '.join(part for part in (cause, str(row['severity'] or '')) if part)}", None
    if kind == "problem":
        return PROBLEMS.get(value, value), None
    if kind == "evidence":
        return f"evidence: {row['url']} {value}".strip(), None
    about = f" on {name}" if name else ""
    told = {
        "exhaustive": "no further class",
        "outside": f"outside the list: {value}",
        "tag": f"tag: {value}",
        "note": f"note{about}: {value}",
        "undo": "takes back",
    }
    return told.get(kind, f"{kind} {value}".strip()), None


def moment(time: object) -> str:
    """A time in UTC as people read it."""
    return f"{time:%Y-%m-%d %H:%M}"
