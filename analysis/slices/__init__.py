"""Slices: which items a page shows, an export takes, a queue is made of.

A slice is conditions, perhaps a sample and an order, and one readable line that parses and prints back exactly:

    class in (n02099601, "a, b") & confidence >= 0.5 and < 0.9 & not split=train | sample 100 seed 7 | order by key

Conditions on different columns are combined. Several `column=value` on one column are alternatives:
`outcome=mistake & outcome=correct` is either. A null (or NaN) fulfils no condition but `is null`; `not` is the
plain complement. The sample is drawn from what the conditions leave; the order comes last.

The line is parsed (`parsing`) into typed parts (`clauses`), and these are compiled to polars expressions
(`compiling`) over a lens frame (analysis/lens.py): nothing that a person types is executed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

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
)
from analysis.slices.compiling import compiled, dtype_of
from analysis.slices.parsing import Parser, Tails, parse_clause, parse_part

__all__ = [
    "MAX_VALUES", "Bound", "Clause", "Condition", "Contains", "IsNull", "Items", "Not", "OneOf", "Order", "Range",
    "Sample", "Slice", "facets", "parse_clause",
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
        found = Slice()
        for text in texts:
            part = parse_part(text)
            if isinstance(part, Tails):
                found = replace(found, sample=part.sample or found.sample, order=part.order or found.order)
            elif part not in found.conditions:
                found = replace(found, conditions=(*found.conditions, part))
        return found

    def texts(self) -> list[str]:
        """Its parts, each as text."""
        return [*map(str, self.conditions), *self._tails()]

    def __str__(self) -> str:
        tails = self._tails()
        conditions = " & ".join(map(str, self.conditions)) or ("all" if tails else "")
        return " | ".join([conditions, *tails])

    def _tails(self) -> list[str]:
        order = [f"order by {', '.join(map(str, self.order))}"] if self.order else []
        return ([str(self.sample)] if self.sample else []) + order

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

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a lens frame that the slice holds, in its order or else the frame's."""
        chosen = frame.filter(self.predicate(frame.schema))
        if self.sample is not None:
            dtype_of("item", frame.schema, self.sample)
            chosen = chosen.filter(self.sample.draw(chosen["item"]))
        if self.order:
            for order in self.order:
                dtype_of(order.column, frame.schema, f"order by {order}")
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
