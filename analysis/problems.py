"""What of a workspace could not be read, by name."""

from typing import TYPE_CHECKING

import polars as pl

from analysis.stored import read_parquet

if TYPE_CHECKING:  # it lists its own problems
    from analysis.snapshot import Snapshot

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "item": pl.UInt32(),  # null for files that are no items
        "stage": pl.String(),  # reading, run NAME or opening
        "reason": pl.String(),
    }
)


def problems(workspace: "Snapshot") -> pl.DataFrame:
    """Files that are no items, broken pictures, what runs did not get, damaged artefacts; in the columns of SCHEMA."""
    broken = workspace.items().filter(pl.col("problem").is_not_null() & ~pl.col("missing"))
    found = [
        read_parquet(workspace.dataset.folder / "problems.parquet").select(
            "key", pl.lit(None, pl.UInt32).alias("item"), stage=pl.lit("reading"), reason="reason"
        ),
        broken.select("key", "item", stage=pl.lit("reading"), reason="problem"),
    ]
    for run in workspace.runs():
        if path := run.file("problems.parquet"):
            failed = read_parquet(path).join(workspace.items().select("item", "key"), on="item", how="left")
            found.append(failed.select("key", "item", stage=pl.lit(f"run {run.name}"), reason="reason"))
    if damaged := workspace.damaged:
        found.append(
            pl.DataFrame({"key": list(damaged), "reason": list(damaged.values())}).select(
                "key", pl.lit(None, pl.UInt32).alias("item"), stage=pl.lit("opening"), reason="reason"
            )
        )
    listed = pl.concat([frame.cast(SCHEMA) for frame in found])
    # A reader lists a row whose image is not there, and the item carries it too: told once.
    return listed.unique(["key", "stage"], keep="last", maintain_order=True)
