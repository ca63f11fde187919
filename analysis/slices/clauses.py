"""What a slice is made of, and how each part prints: as text that parses to the same part again."""

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from analysis.errors import InputError

Bound = int | float | str
KEYWORDS = {"not", "all", "items", "sample", "order"}
PLAIN_NAME = re.compile(r"[^\W\d][\w./@:-]*")
SPECIAL = r'\s"=<>!(),&|'  # none of these stands in a word, within a character class
_PLAIN_TEXT = re.compile(rf"[^{SPECIAL}]+( [^{SPECIAL}]+)*")


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def name_text(column: str) -> str:
    return column if PLAIN_NAME.fullmatch(column) and column not in KEYWORDS else quoted(column)


def value_text(value: str) -> str:
    return value if value.isprintable() and _PLAIN_TEXT.fullmatch(value) else quoted(value)


def bound_text(bound: Bound) -> str:
    return quoted(bound) if isinstance(bound, str) else repr(bound)


@dataclass(frozen=True, order=True)
class Condition:
    """A column and one value that it may have; the value as text."""

    column: str
    value: str

    def __str__(self) -> str:
        return f"{name_text(self.column)}={value_text(self.value)}"

    @staticmethod
    def parse(text: str) -> "Condition":
        """The condition that prints as `text`. Raises InputError when it is none."""
        from analysis.slices.parsing import parse_clause  # which makes these types

        clause = parse_clause(text)
        if not isinstance(clause, Condition):
            raise InputError(f"{text!r} is no condition of the form column=value, such as outcome=mistake.")
        return clause


@dataclass(frozen=True)
class OneOf:
    """A column and the values that it may have, as text."""

    column: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{name_text(self.column)} in ({', '.join(map(value_text, self.values))})"


@dataclass(frozen=True)
class Range:
    """A column between bounds: numbers, or text for text and dates. None: no bound; at least one is given."""

    column: str
    low: Bound | None = None
    high: Bound | None = None
    includes_low: bool = True
    includes_high: bool = True

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise InputError(f"A range of {self.column!r} needs a bound.")
        for bound in (self.low, self.high):
            if isinstance(bound, float) and not math.isfinite(bound):
                raise InputError(f"A range of {self.column!r} ends at a number, not at {bound}.")

    def __str__(self) -> str:
        ends = [(">", self.low, self.includes_low), ("<", self.high, self.includes_high)]
        said = [f"{sign}{'=' * included} {bound_text(end)}" for sign, end, included in ends if end is not None]
        return f"{name_text(self.column)} {' and '.join(said)}"


@dataclass(frozen=True)
class IsNull:
    """A column without a value."""

    column: str

    def __str__(self) -> str:
        return f"{name_text(self.column)} is null"


@dataclass(frozen=True)
class Contains:
    """A text column that holds this text, in upper or lower case."""

    column: str
    text: str

    def __str__(self) -> str:
        return f"{name_text(self.column)} contains {value_text(self.text)}"


@dataclass(frozen=True)
class Items:
    """These items, by number; sorted and unique."""

    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(sorted(set(self.ids))))

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        ids = np.array(self.ids, np.int64)
        gaps = np.flatnonzero(np.diff(ids) > 1)
        first, last = ids[np.append(0, gaps + 1)] if len(ids) else ids, ids[np.append(gaps, -1)] if len(ids) else ids
        runs = zip(first.tolist(), last.tolist(), strict=True)
        return f"items ({', '.join(str(low) if low == high else f'{low}-{high}' for low, high in runs)})"


@dataclass(frozen=True)
class Not:
    """Every item that does not fulfil a condition, those without a value included."""

    clause: "Clause"

    def __str__(self) -> str:
        return f"not {self.clause}"


Clause = Condition | OneOf | Range | IsNull | Contains | Items | Not


def clause_column(clause: Clause) -> str | None:
    """The column that a clause is on; None for a list of items."""
    if isinstance(clause, Not):
        return clause_column(clause.clause)
    return None if isinstance(clause, Items) else clause.column


@dataclass(frozen=True)
class Sample:
    """A random sample of n items, the same for the same seed whatever the order of the rows.

    Each item has its own number in the draw, so a narrower slice keeps those of its items that a wider one drew.
    """

    n: int
    seed: int = 0

    def __str__(self) -> str:
        return f"sample {self.n} seed {self.seed}"

    def draw(self, items: pl.Series) -> pl.Series:
        """Which of the items (n,) are drawn, as booleans."""
        # SplitMix64 (Steele, Lea, Flood 2014): a library's own hash may change with its version.
        with np.errstate(over="ignore"):
            state = items.to_numpy().astype(np.uint64) + np.uint64(self.seed % 2**64) * np.uint64(0xD1342543DE82EF95)
            mixed = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        drawn = np.zeros(len(items), bool)
        drawn[np.lexsort((items.to_numpy(), mixed))[: self.n]] = True
        return pl.Series(drawn)


@dataclass(frozen=True)
class Order:
    """Sorted by a column; items without a value come last."""

    column: str
    descending: bool = False

    def __str__(self) -> str:
        return f"{name_text(self.column)}{' desc' * self.descending}"
