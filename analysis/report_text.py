"""A report as text: for a terminal, and as Markdown."""

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.intervals import NOTE


def table(rows: pl.DataFrame, damaged: Mapping[str, str] | None = None) -> str:
    """The report as text for a terminal: percent with one decimal and half the interval's width, or with the unit.

    `damaged` (Workspace.damaged) are artefacts that could not be opened, and why; they are named below.
    """
    lost = [f"{home} could not be opened: {reason}" for home, reason in (damaged or {}).items()]
    if rows.is_empty():
        missing = "no run could be opened" if lost else "no runs"
        return "\n".join(
            [f"Nothing to report: {missing}. Add one with `errata evaluate` or `errata runs import`.", *lost]
        )
    head, lines = _cells(rows)
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    text = [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(head, line, widths, strict=True)
        ).rstrip()
        for line in [head, *lines]
    ]
    return "\n".join([*text, NOTE, *lost])


def markdown(rows: pl.DataFrame) -> str:
    """The report as a table in Markdown; names are escaped, so that they are no markup."""
    head, lines = _cells(rows)
    rule = ["---:" if name in _NUMBERS else "---" for name in head]
    escaped = [[_MARKUP.sub(r"\\\g<0>", cell).replace("\n", " ") for cell in line] for line in lines]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in [head, rule, *escaped]), "", NOTE])


_MARKUP = re.compile(r"[\\`*_\[\]<>|&~!#$]")
_NUMBERS = {"value", "n", "unjudged"}
_UNITS = {"set_nll": " nats", "graded_error": " edges", "brier": ""}
"""Metrics that are no shares, with what is written behind their numbers."""


def _cells(rows: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and lines. Numbers by k are left to CSV and JSON; `group` where there is one."""
    short = rows.filter(
        pl.col("k").is_null() | pl.col("metric").str.starts_with("top"),
        ~pl.col("metric").str.ends_with("_subgroup_mean"),
    )
    grouped = short["group"].null_count() < short.height
    head = ["run", "labels", *(["group"] if grouped else []), "metric", "value", "n", "unjudged", "bounds"]
    lines = []
    for row in short.iter_rows(named=True):
        bounded = row["n_unjudged"] and row["bound_low"] is not None
        lines.append(
            [
                row["run"],
                row["labels"],
                *([row["group"] or "all"] if grouped else []),
                row["metric"],
                _value(row),
                f"{row['n']:,}",
                f"{row['n_unjudged']:,}" if row["n_unjudged"] else "",
                f"{row['bound_low']:.1%} to {row['bound_high']:.1%}" if bounded else "",
            ]
        )
    return head, lines


def _value(row: dict[str, Any]) -> str:
    value, low, high = row["value"], row["low"], row["high"]
    if value is None:
        return "–"
    if row["metric"] not in _UNITS:
        return percent(value, low, high)
    half = "" if low is None or high is None else f" ±{(high - low) / 2:.3f}"
    return f"{value:.3f}{half}{_UNITS[row['metric']]}"


def percent(value: float, low: float | None, high: float | None) -> str:
    """`86.1 ±0.3` in percent: the value and half its interval."""
    if low is None or high is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ±{50 * (high - low):.1f}"
