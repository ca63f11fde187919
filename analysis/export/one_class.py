"""One class an item, for formats that cannot say more: which one, and why an item has none."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Rule:
    """How the one class is chosen among the valid ones."""

    what: str
    choose: Callable[[], pl.Expr]
    """Of columns original and valid (class indices): the class, null for none."""
    otherwise: str
    """Why an item with valid classes has none."""


def _only() -> pl.Expr:
    return pl.when(pl.col("valid").list.len() == 1).then(pl.col("valid").list.first())


def _original() -> pl.Expr:
    return pl.when(pl.col("valid").list.contains(pl.col("original")).fill_null(False)).then(pl.col("original"))


RULES = {
    "original-first": Rule(
        "the original label where it is valid, else the only valid class",
        lambda: pl.coalesce(_original(), _only()),
        "several valid classes, and the original label is none of them",
    ),
    "only": Rule("the valid class of items that have exactly one", _only, "several valid classes"),
    "original": Rule("the original label where it is valid", _original, "the original label is not valid"),
}
"""By name. Unclear and rejected classes are never chosen; items that the label set does not score have none."""


def chosen(part: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Rows of a Subset's chunk with `one` (class index, null for none) and `reason` (null where there is one)."""
    known = pl.col("scored").fill_null(False)
    return part.with_columns(one=pl.when(known).then(rule.choose())).with_columns(
        reason=pl.when(pl.col("one").is_not_null()).then(pl.lit(None, pl.String))
        .when(pl.col("scored").is_null()).then(pl.lit("the label set says nothing of it"))
        .when(pl.col("valid").list.len() == 0).then(pl.lit("no valid class"))
        .when(~known).then(pl.lit("not scored by the label set"))
        .otherwise(pl.lit(rule.otherwise))
    )  # fmt: skip
