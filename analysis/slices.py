"""Slices: which items a page shows, an export takes, a queue is made of.

A slice is a set of conditions `column=value`. Values of one column are alternatives, columns are combined: it
reads "class is goldfish or tench, and outcome is mistake". It is evaluated on the frame of a lens
(analysis/lens.py) by comparison alone: nothing that a person types is executed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import polars as pl

from analysis.errors import InputError

MAX_VALUES = 60
"""A metadata column with more different values than this is no facet: a list of them would help nobody."""


@dataclass(frozen=True, order=True)
class Condition:
    """A column and one value that it may have; the value as text."""

    column: str
    value: str

    def __str__(self) -> str:
        return f"{quote(self.column, safe=' ()/.-+')}={self.value}"

    @staticmethod
    def parse(text: str) -> "Condition":
        """The condition that prints as `text`. Raises InputError when it is none."""
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise InputError(f"{text!r} is no condition. Write column=value, such as outcome=mistake.")
        return Condition(unquote(column), value)


@dataclass(frozen=True)
class Slice:
    """Conditions, in the order in which they were given."""

    conditions: tuple[Condition, ...] = ()

    @staticmethod
    def parse(texts: Iterable[str]) -> "Slice":
        return Slice(tuple(dict.fromkeys(Condition.parse(text) for text in texts)))

    def __str__(self) -> str:
        return " & ".join(str(condition) for condition in self.conditions)

    def predicate(self, columns: Sequence[str]) -> pl.Expr:
        """A boolean expression over a lens frame with these columns.

        Raises InputError naming the column when there is none of that name.
        """
        by_column: dict[str, list[str]] = {}
        for condition in self.conditions:
            if condition.column not in columns:
                raise InputError(
                    f"There is no column {condition.column!r} to filter by here. There are: {', '.join(columns)}."
                )
            by_column.setdefault(condition.column, []).append(condition.value)
        tests = [pl.col(column).cast(pl.String).is_in(values) for column, values in by_column.items()]
        return pl.all_horizontal(tests).fill_null(False) if tests else pl.lit(True)

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a lens frame that fulfil every condition, in the frame's order."""
        return frame.filter(self.predicate(frame.columns))


def facets(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The conditions that `columns` offer: column, value (text), n; the most frequent value first.

    Of further columns than `class` and `predicted` only those with at most MAX_VALUES different values count.
    """
    found = []
    for column in columns:
        counts = (
            frame.select(pl.col(column).cast(pl.String).alias("value"))
            .drop_nulls()
            .group_by("value")
            .agg(n=pl.len())
            .sort("n", "value", descending=[True, False])
        )
        if counts.height <= MAX_VALUES or column in ("class", "predicted"):
            found.append(counts.select(pl.lit(column).alias("column"), "value", "n"))
    schema = {"column": pl.String, "value": pl.String, "n": pl.UInt32}
    return pl.concat(found).cast(schema) if found else pl.DataFrame(schema=schema)  # type: ignore[arg-type]
