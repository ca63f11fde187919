"""Parsing the text of slices: words to the types of `clauses`, and an InputError with the place for all else.

    LINE      [all | CLAUSE {& CLAUSE}] {| TAIL}
    CLAUSE    not CLAUSE | items (3, 10-20) | COLUMN=VALUE | COLUMN != VALUE | COLUMN in (VALUE, ...)
              | COLUMN >= BOUND [and < BOUND] | COLUMN is null | COLUMN contains VALUE
    TAIL      sample N [seed S] | order by COLUMN [asc | desc] {, COLUMN [asc | desc]}

Columns, values and bounds are words, or quoted as in JSON. Alone (not in a line), all behind `COLUMN=` is the
value.
"""

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from analysis.errors import InputError
from analysis.slices.clauses import (
    SPECIAL,
    Bound,
    Clause,
    Condition,
    Contains,
    IsNull,
    Items,
    Not,
    OneOf,
    Order,
    Range,
    Sample,
)

MAX_ITEMS = 10_000_000
"""A run of item numbers longer than this in one line is a slip of the pen."""


@dataclass(frozen=True)
class Tails:
    """What stands behind the conditions."""

    sample: Sample | None = None
    order: tuple[Order, ...] = ()


_TOKEN = re.compile(rf'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign><=|>=|!=|[=<>(),&|])|(?P<word>[^{SPECIAL}]+))')
_LEGACY = re.compile(r"([\w ()/.+%~@:-]+)=(.*)", re.DOTALL)  # names percent-encoded, values as they are


def parse_clause(text: str) -> Clause:
    """One condition from its text; all behind `column=` is the value, unless it is quoted."""
    part = parse_part(text)
    if isinstance(part, Tails):
        raise InputError(f"{text!r} is no condition.")
    return part


def parse_part(text: str) -> Clause | Tails:
    """One part of a slice: a condition, a sample or an order."""
    legacy = _LEGACY.fullmatch(text)
    if legacy and not legacy[2].startswith('"') and not legacy[1].startswith("not "):
        return Condition(unquote(legacy[1]), legacy[2])
    parser = Parser(text)
    if parser.peek() in ("sample", "order") and parser.peek(1) not in ("=", "<", ">", "<=", ">="):
        return parser.tails()
    clause = parser.clause()
    parser.end()
    return clause


class Parser:
    """Recursive descent over the tokens of one line; each error says where it stands."""

    def __init__(self, line: str) -> None:
        self.written, self.at = line, 0
        self.tokens: list[tuple[str, str, int]] = []  # kind, as written, where
        place = 0
        while place < len(line.rstrip()):
            match = _TOKEN.match(line, place)
            if match is None:
                rest = line[place:].lstrip()
                what = "a quote that is never closed" if rest.startswith('"') else f"the sign {rest[0]!r}"
                raise self._error(f"{what} cannot be read", len(line) - len(rest))
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind], match.start(kind)))
            place = match.end()

    def _error(self, what: str, place: int | None = None) -> InputError:
        if place is None:
            place = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.written)
        return InputError(f"In the slice {self.written!r}, at character {place + 1}: {what}.")

    def peek(self, ahead: int = 0) -> str:
        """The next token as written; "" at the end."""
        return self.tokens[self.at + ahead][1] if self.at + ahead < len(self.tokens) else ""

    def take(self, *wanted: str) -> bool:
        if self.peek() in wanted and self.peek():
            self.at += 1
            return True
        return False

    def need(self, *wanted: str) -> None:
        if not self.take(*wanted):
            raise self._error(f"{' or '.join(map(repr, wanted))} is missing")

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self._error(f"{self.peek()!r} is one too many")

    # The parts of a line, from the whole to its words.

    def line(self) -> tuple[tuple[Clause, ...], Tails]:
        clauses: list[Clause] = []
        if self.peek() == "all" and self.peek(1) in ("", "|"):
            self.at += 1
        elif self.tokens:
            clauses.append(self.clause())
            while self.take("&"):
                clauses.append(self.clause())
        tails = Tails()
        if self.take("|"):
            tails = self.tails()
        self.end()
        return tuple(dict.fromkeys(clauses)), tails

    def tails(self) -> Tails:
        found = Tails()
        while True:
            if found.sample is None and self.take("sample"):
                n = self.number("a number of items")
                found = replace(found, sample=Sample(n, self.number("a seed") if self.take("seed") else 0))
            elif not found.order and self.take("order"):
                self.need("by")
                order = [self.order()]
                while self.take(","):
                    order.append(self.order())
                found = replace(found, order=tuple(order))
            else:
                raise self._error("'sample N seed S' or 'order by COLUMN' is missing")
            if not self.take("|"):
                self.end()
                return found

    def order(self) -> Order:
        column = self.column()
        return Order(column, self.take("desc") or (self.take("asc") and False))

    def clause(self) -> Clause:
        if self.peek() == "not" and self.peek(1) != "=":
            self.at += 1
            return Not(self.clause())
        if self.peek() == "items" and self.peek(1) == "(":
            return self.items()
        column = self.column()
        if self.take("="):
            return Condition(column, self.value())
        if self.take("!="):
            return Not(Condition(column, self.value()))
        if self.take("in"):
            return OneOf(column, self.values())
        if self.take("is"):
            self.need("null")
            return IsNull(column)
        if self.take("contains"):
            return Contains(column, self.value())
        if self.peek() in ("<", "<=", ">", ">="):
            return self.range(column)
        raise self._error("one of =, !=, <, <=, >, >=, in (...), is null, contains is missing")

    def range(self, column: str) -> Range:
        found: dict[str, Any] = {}
        while True:
            sign = self.peek()
            end = "low" if sign.startswith(">") else "high"
            if sign not in ("<", "<=", ">", ">=") or end in found:
                raise self._error("a lower bound (> or >=) and an upper bound (< or <=) are what a range may have")
            self.at += 1
            found |= {end: self.bound(), f"includes_{end}": sign.endswith("=")}
            if not self.take("and"):
                return Range(column, **found)

    def items(self) -> Items:
        self.at += 2
        ids: list[int] = []
        while not self.take(")"):
            match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", self.peek())
            if match is None or int(match[2] or match[1]) - int(match[1]) > MAX_ITEMS:
                raise self._error("item numbers such as 3 or 10-20 are missing")
            ids += range(int(match[1]), int(match[2] or match[1]) + 1)
            self.at += 1
            if self.peek() != ")":
                self.need(",")
        return Items(tuple(ids))

    def values(self) -> tuple[str, ...]:
        self.need("(")
        values: list[str] = []
        while not self.take(")"):
            values.append(self.value())
            if self.peek() != ")":
                self.need(",")
        return tuple(values)

    def column(self) -> str:
        kind, written, _ = self.token("a column")
        return self.unquoted(written) if kind == "text" else unquote(written)

    def value(self) -> str:
        """Quoted text, or words up to the next sign."""
        kind, written, start = self.token("a value")
        if kind == "text":
            return self.unquoted(written)
        end = start + len(written)
        while self.at < len(self.tokens) and self.tokens[self.at][0] == "word":
            _, word, place = self.tokens[self.at]
            end, self.at = place + len(word), self.at + 1
        return self.written[start:end]

    def bound(self) -> Bound:
        kind, written, _ = self.token("a bound")
        if kind == "text":
            return self.unquoted(written)
        for number in (int, float):
            try:
                found = number(written)
            except ValueError:
                continue
            if math.isfinite(found):
                return found
        return written

    def number(self, what: str) -> int:
        _, written, _ = self.token(what)
        if not re.fullmatch(r"\d{1,18}", written):
            self.at -= 1
            raise self._error(f"{what} is missing")
        return int(written)

    def token(self, what: str) -> tuple[str, str, int]:
        """The next word or text, passed."""
        if self.at == len(self.tokens) or self.tokens[self.at][0] == "sign":
            raise self._error(f"{what} is missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def unquoted(self, written: str) -> str:
        try:
            return json.loads(written, strict=False)
        except ValueError as error:
            self.at -= 1
            raise self._error(f"{written} is no text: {error}") from error
