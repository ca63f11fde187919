"""Slices: which items a page shows, an export takes, a queue is made of.

A slice is conditions, perhaps a sample and an order, and one readable line that parses and prints back exactly:

    class in (n02099601, "a, b") & confidence >= 0.5 and < 0.9 & not split=train | sample 100 seed 7 | order by key

Conditions on different columns are combined. Several `column=value` on one column are alternatives:
`outcome=mistake & outcome=correct` is either. A null (or NaN) fulfils no condition but `is null`; `not` is the
plain complement. A column of lists fulfils a condition where one of an item's values does. The sample is drawn from
what the conditions leave; the order comes last.

The line is parsed (`parsing`) into typed parts (`clauses`), and these are compiled to polars expressions
(`compiling`) over a lens frame (analysis/lens.py): nothing that a person types is executed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from analysis.errors import InputError
from analysis.slices.clauses import (
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
    clause_column,
)
from analysis.slices.compiling import compiled, dtype_of
from analysis.slices.parsing import Parser, Tails, parse_clause, parse_part

__all__ = [
    "MAX_VALUES", "Bound", "Clause", "Condition", "Contains", "IsNull", "Items", "Not", "OneOf", "Order", "Range",
    "Sample", "Slice", "clause_column", "facets", "parse_clause",
]  # fmt: skip

MAX_VALUES = 60
"""A metadata column with more different values than this is no facet: a list of them would help nobody."""


@dataclass(frozen=True)
class Slice:
    """Conditions in the order in which they were given, a sample of what they leave, and an order."""

    conditions: tuple[Clause, ...] = ()
    sample: Sample | None = None
    order: tuple[Order, ...] = ()

    @staticmethod
    def parse(texts: str | Iterable[str]) -> "Slice":
        """A slice from its line, or from its parts as `texts` gives them. Raises InputError with the place."""
        if isinstance(texts, str):
            conditions, tails = Parser(texts).line()
            return Slice(conditions, tails.sample, tails.order)
        parts = map(parse_part, texts)
        return Slice.joined(
            Slice((), part.sample, part.order) if isinstance(part, Tails) else Slice((part,)) for part in parts
        )

    @staticmethod
    def joined(parts: Iterable["Slice"]) -> "Slice":
        """The parts as one slice, as if they stood in one line; of several samples or orders the last one counts."""
        conditions: dict[Clause, None] = {}
        whole = Slice()
        for part in parts:
            conditions |= dict.fromkeys(part.conditions)
            whole = Slice((), part.sample or whole.sample, part.order or whole.order)
        return replace(whole, conditions=tuple(conditions))

    def parts(self) -> list["Slice"]:
        """Its conditions, its sample and its order, each alone."""
        alone = [Slice((clause,)) for clause in self.conditions]
        alone += [Slice(sample=self.sample)] if self.sample is not None else []
        return alone + ([Slice(order=self.order)] if self.order else [])

    def texts(self) -> list[str]:
        """Its parts, each as text that `parse` takes in a list."""
        return [*map(str, self.conditions), *self._tails()]

    def __str__(self) -> str:
        tails = self._tails()
        conditions = " & ".join(map(str, self.conditions)) or ("all" if tails else "")
        return " | ".join([conditions, *tails])

    def _tails(self) -> list[str]:
        order = [f"order by {', '.join(map(str, self.order))}"] if self.order else []
        return ([str(self.sample)] if self.sample else []) + order

    def columns(self) -> tuple[str, ...]:
        """The columns that its conditions and its order name, each once."""
        asked = [clause_column(clause) for clause in self.conditions] + [order.column for order in self.order]
        return tuple(dict.fromkeys(column for column in asked if column is not None))

    def narrowed(self, by: "Slice") -> "Slice":
        """The slice of what `by` holds of this one's items, in its order and then this one's.

        Raises InputError where this one has a sample and `by` has conditions or one too: a sample comes last.
        """
        if self.sample is not None and (by.conditions or by.sample is not None):
            raise InputError(f"{str(self.sample)!r} comes after all conditions; nothing narrows it further.")
        # Alternatives stay among themselves: "a=1 & a=2" narrowed by "a=2" is "a in (1, 2) & a=2".
        asked_twice = {c.column for c in self.conditions if isinstance(c, Condition)}
        asked_twice &= {c.column for c in by.conditions if isinstance(c, Condition)}
        kept: dict[Clause, None] = {}
        for clause in self.conditions:
            if isinstance(clause, Condition) and clause.column in asked_twice:
                same = [c for c in self.conditions if isinstance(c, Condition) and c.column == clause.column]
                clause = OneOf(clause.column, tuple(c.value for c in same))
            kept[clause] = None
        conditions = tuple(dict.fromkeys((*kept, *by.conditions)))
        return Slice(conditions, self.sample or by.sample, self.order_after(by.order))

    def order_after(self, first: tuple[Order, ...]) -> tuple[Order, ...]:
        """This order for what `first` leaves equal."""
        sorted_by = {order.column for order in first}
        return (*first, *(order for order in self.order if order.column not in sorted_by))

    def predicate(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """The conditions as a boolean expression, never null, over a lens frame with these columns.

        Raises InputError naming the condition whose column, operator or value does not fit.
        """
        alternatives: dict[str, pl.Expr] = {}
        tests = []
        for clause in self.conditions:
            test = compiled(clause, schema)
            if isinstance(clause, Condition):
                known = alternatives.get(clause.column)
                alternatives[clause.column] = test if known is None else known | test
            else:
                tests.append(test)
        tests += alternatives.values()
        return pl.all_horizontal(tests) if tests else pl.lit(True)

    def check(self, schema: Mapping[str, pl.DataType]) -> None:
        """Raises InputError naming the part that does not fit a lens frame with these columns."""
        self.predicate(schema)
        if self.sample is not None:
            dtype_of("item", schema, self.sample)
        for order in self.order:
            if dtype_of(order.column, schema, f"order by {order}").is_nested():
                raise InputError(f"In 'order by {order}': {order.column} holds lists, which have no order.")

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a lens frame that the slice holds, in its order or else the frame's."""
        self.check(frame.schema)
        chosen = frame.filter(self.predicate(frame.schema))
        if self.sample is not None:
            chosen = chosen.filter(self.sample.draw(chosen["item"]))
        if self.order:
            columns, descending = [o.column for o in self.order], [o.descending for o in self.order]
            chosen = chosen.sort(columns, descending=descending, nulls_last=True, maintain_order=True)
        return chosen


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
