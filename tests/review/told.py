"""Logs for tests, made without a database."""

from typing import Any

import polars as pl

from analysis.review.log import SCHEMA

PANEL = "panel"


def told(*rows: dict[str, Any]) -> pl.DataFrame:
    """A log of these rows, at positions from 1; who is PANEL speaks for the panel."""
    full = []
    for position, row in enumerate(rows, 1):
        base = {
            "position": position,
            "id": f"j{position}",
            "person": "ann",
            "item": 0,
            "key": f"{row.get('item', 0)}.jpg",
        }
        full.append(base | {"panel": row.get("person") == PANEL, "blind": True} | row)
    frame = pl.DataFrame(full, schema_overrides=SCHEMA, infer_schema_length=None)
    missing = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def verdict(person: str, class_index: int, value: str, item: int = 0, **more: Any) -> dict[str, Any]:
    return {"kind": "verdict", "person": person, "class": class_index, "value": value, "item": item, **more}


def cause(person: str, class_index: int, category: str | None, severity: str | None = None) -> dict[str, Any]:
    return {"kind": "cause", "person": person, "class": class_index, "value": category, "severity": severity}


def of_item(kind: str, person: str, item: int, value: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "person": person, "item": item, "value": value, **more}


def undo(position: int, person: str = "ann", item: int = 0) -> dict[str, Any]:
    return {"kind": "undo", "person": person, "supersedes": position, "item": item}
