"""The label set `reviewed`: a base with the team's decisions in its place."""

from collections.abc import Collection

import polars as pl

from analysis.labels.sets import LabelSet, label_set
from analysis.review import state

EXCLUDING = ("drawing", "edited", "inappropriate", "unreadable", "duplicate")
"""Problems for which an item is not scored. A wrong or unclear label is what the verdicts are about."""

_AS_LABEL = {"valid": "valid", "wrong": "rejected", "unclear": "unclear"}


def reviewed(
    log: pl.DataFrame,
    base: LabelSet,
    items: pl.DataFrame,
    *,
    upto: int | None = None,
    excluding: Collection[str] = EXCLUDING,
    name: str = "reviewed",
) -> LabelSet:
    """The base with the consensus at a position: valid, wrong (rejected) and unclear replace what the base says.

    What is disputed or undecided stays as in the base. An item that the base scores not for lack of a valid class is
    scored once it has one; one with a problem of `excluding` is not scored. `items` are the workspace's: judgements
    of an image that changed since, or is gone, are left out. As open or closed as the base.
    """
    told = log if upto is None else log.filter(pl.col("position") <= upto)
    old = state.stale(told, items)
    kept = state.without(told, old)
    consensus = state.verdicts(kept)
    decided = consensus.filter(pl.col("state").is_in(state.DECIDED))
    said = decided.select("item", "class", state=pl.col("state").cast(pl.String).replace(_AS_LABEL))
    rest = base.labels.join(said, on=["item", "class"], how="anti").with_columns(pl.col("state").cast(pl.String))
    labels = pl.concat([rest, said], how="vertical_relaxed")

    with_label = base.labels.filter(pl.col("state") != "rejected")["item"].unique()
    excluded = state.problems(kept).filter(pl.col("problem").is_in(list(excluding)))["item"].unique()
    complete = state.exhaustive(kept)
    known = (
        base.items.join(said.select("item").unique(), on="item", how="full", coalesce=True)
        .with_columns(
            # Of a base that lists the item without any label, only the label was missing.
            scored=(pl.col("scored").fill_null(True) | ~pl.col("item").is_in(with_label.implode()))
            & ~pl.col("item").is_in(excluded.implode()),
            exhaustive=pl.col("exhaustive").fill_null(False) | pl.col("item").is_in(complete.implode()),
        )
        .select("item", "scored", "exhaustive")
    )
    return label_set(name, labels, known, absent=base.absent, note=_note(base, told, consensus, decided.height, old))


def _note(base: LabelSet, told: pl.DataFrame, consensus: pl.DataFrame, decided: int, old: pl.DataFrame) -> str:
    position = int(told["position"][-1]) if told.height else 0
    note = f"{base.name} with {decided:,} decisions of reviewers, as of position {position:,} of the review log"
    if undecided := consensus.height - decided:
        note += f"; {undecided:,} further readings are disputed or undecided and change nothing"
    if old.height:
        note += f"; {old.height:,} judgements of images that changed since are left out"
    return f"{note}. {base.note}".strip()
