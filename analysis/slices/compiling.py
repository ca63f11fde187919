"""Clauses as polars expressions over a lens frame: values are compared, nothing is executed."""

import datetime as dt
from collections.abc import Mapping
from functools import reduce
from operator import or_

import polars as pl

from analysis.errors import InputError
from analysis.slices.clauses import Bound, Clause, Condition, Contains, IsNull, Items, Not, OneOf, Range, bound_text

_READERS = {
    pl.Date: dt.date.fromisoformat,
    pl.Datetime: dt.datetime.fromisoformat,
    pl.Time: dt.time.fromisoformat,
}  # fmt: skip


def dtype_of(column: str, schema: Mapping[str, pl.DataType], where: object) -> pl.DataType:
    if column not in schema:
        raise InputError(f"In {str(where)!r}: there is no column {column!r} here. There are: {', '.join(schema)}.")
    return schema[column]


def compiled(clause: Clause, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """A clause as a boolean expression that is never null."""
    if isinstance(clause, Not):
        return ~compiled(clause.clause, schema)
    if isinstance(clause, Items):
        dtype_of("item", schema, clause)
        return pl.col("item").is_in(pl.Series(clause.ids, dtype=pl.Int64).implode())
    dtype = dtype_of(clause.column, schema, clause)
    column = pl.col(clause.column)
    if isinstance(clause, IsNull):
        return column.is_null() | column.is_nan().fill_null(False) if dtype.is_float() else column.is_null()
    if isinstance(dtype, pl.List):
        held = _test(clause, pl.element(), dtype.inner)  # type: ignore[arg-type]
        return column.list.eval(held).list.any().fill_null(False)
    return _test(clause, column, dtype)


def _test(clause: Condition | OneOf | Range | Contains, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether values of a column, or of a list in one, are what the clause asks for."""
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise InputError(f"In {str(clause)!r}: {clause.column} holds {dtype}, of which only 'is null' can be asked.")
    if isinstance(clause, Contains):
        if not _is_text(dtype):
            raise InputError(f"In {str(clause)!r}: {clause.column} is no text; compare it by =, < or >.")
        test = column.cast(pl.String).str.to_lowercase().str.contains(clause.text.lower(), literal=True)
    elif isinstance(clause, Range):
        test = _between(clause, column, dtype)
    else:
        values = clause.values if isinstance(clause, OneOf) else (clause.value,)
        test = reduce(or_, [_equals(column, value, dtype, clause) for value in values], pl.lit(False))
        if _is_text(dtype):
            test = column.cast(pl.String).is_in(list(values))
    return test.fill_null(False)


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Enum | pl.Categorical)


def _equals(column: pl.Expr, value: str, dtype: pl.DataType, clause: Clause) -> pl.Expr:
    if _is_text(dtype):
        return column.cast(pl.String) == value
    if dtype.is_float() and value.strip().lower() == "nan":
        return column.is_nan()
    return column == _literal(value, dtype, clause)


def _between(clause: Range, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Enum | pl.Categorical | pl.Boolean):
        raise InputError(f"In {str(clause)!r}: {clause.column} has no order; name its values by = or in (...).")
    test = ~column.is_nan() if dtype.is_float() else pl.lit(True)  # polars holds NaN to be above every number
    if clause.low is not None:
        low = _literal(clause.low, dtype, clause)
        test &= column >= low if clause.includes_low else column > low
    if clause.high is not None:
        high = _literal(clause.high, dtype, clause)
        test &= column <= high if clause.includes_high else column < high
    return test


def _literal(value: Bound, dtype: pl.DataType, clause: Clause) -> pl.Expr:
    """A value to compare a column of this type with; InputError where it is of another kind."""
    try:
        if isinstance(dtype, pl.Null):
            return pl.lit(None)
        if isinstance(dtype, pl.String) and isinstance(value, str):
            return pl.lit(value)
        if isinstance(dtype, pl.Boolean):
            return pl.lit({"true": True, "false": False}[str(value).strip().lower()])
        if dtype.is_integer():
            # Any number may be asked for, also one that the column's type cannot hold.
            whole = int(value) if isinstance(value, str) else value
            return pl.lit(whole, dtype=pl.Int128) if isinstance(whole, int) else pl.lit(whole)
        if dtype.is_float() or dtype.is_decimal():
            return pl.lit(float(value)).cast(dtype)  # 0.9 is what a float32 prints as 0.9
        if dtype.is_temporal() and isinstance(value, str):
            return pl.lit(_READERS[type(dtype)](value), dtype=dtype)
    except (KeyError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    wanted = "a number" if dtype.is_numeric() else "true or false" if isinstance(dtype, pl.Boolean) else "text"
    wanted = "a date or time such as 2020-01-31" if dtype.is_temporal() else wanted
    shown = bound_text(value)
    raise InputError(f"In {str(clause)!r}: the column holds {dtype}; {shown} does not compare with it, {wanted} does.")
