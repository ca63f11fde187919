"""Sampling designs of review queues: which items are drawn, in which order, with which inclusion probability.

Strata, draws and decoys are pure functions of their seed; `analysis.review.queues` keeps what they give.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError

DECOY = "decoy"


@dataclass(frozen=True, eq=False)
class Stratum:
    """Items that are drawn alike."""

    name: str
    items: NDArray[np.int64]
    """(n,) item numbers; of a certainty stratum in the order of serving."""
    draw: int
    """How many of them are served."""
    random: bool = True
    """Drawn and served in random order; else the first ones in the given order, which stand for no others."""


def complete(items: ArrayLike) -> list[Stratum]:
    """Every item, in random order: at any time those read are a random sample."""
    found = np.asarray(items, np.int64)
    return [Stratum("all", found, len(found))]


def simple_random(items: ArrayLike, n: int) -> list[Stratum]:
    """n of the items at random."""
    return [Stratum("all", np.asarray(items, np.int64), n)]


def stratified(strata: Mapping[str, ArrayLike], n: Mapping[str, int]) -> list[Stratum]:
    """n[name] of each stratum at random. A control stratum is one of predictions that are counted as right."""
    return [Stratum(name, np.asarray(items, np.int64), n[name]) for name, items in strata.items()]


def confidence_ordered(items: ArrayLike, confidence: ArrayLike, n: int | None = None) -> list[Stratum]:
    """The n items of the highest confidence, the highest first; equal ones in the given order. A certainty stratum.

    Its readings say nothing of other items: they count in an estimate once all n are read, for these n alone.
    """
    found, score = np.asarray(items, np.int64), np.asarray(confidence, np.float64)
    chosen = found[np.argsort(-score, kind="stable")][:n]
    return [Stratum("most confident", chosen, len(chosen), random=False)]


def draw(strata: Sequence[Stratum], seed: int) -> pl.DataFrame:
    """Every item of the strata: item, stratum (its number), probability, place (null: not drawn); by item.

    Random strata are mixed in random order, certainty strata follow in their own. The probability is draw / size; of
    a certainty stratum 1. Raises InputError for an item in two strata and for a draw that cannot be.
    """
    rng = np.random.default_rng(seed)
    frames, served = [], []
    for number, stratum in enumerate(strata):
        size = len(stratum.items)
        if not 0 <= stratum.draw <= size or (stratum.draw < size and not stratum.random):
            raise InputError(f"Stratum {stratum.name!r} has {size:,} items: {stratum.draw:,} of them cannot be drawn.")
        probability = stratum.draw / size if size else 0.0
        frames.append(pl.DataFrame({"item": stratum.items}).with_columns(stratum=number, probability=probability))
        chosen = rng.permutation(stratum.items)[: stratum.draw] if stratum.random else stratum.items
        served.append(chosen)
    mixed = [items for items, stratum in zip(served, strata, strict=True) if stratum.random]
    ordered = [items for items, stratum in zip(served, strata, strict=True) if not stratum.random]
    order = np.concatenate([rng.permutation(np.concatenate([np.zeros(0, np.int64), *mixed])), *ordered])
    if not len(order):
        raise InputError("No item is drawn.")
    every = pl.concat(frames)
    if every["item"].is_duplicated().any():
        twice = every["item"].filter(every["item"].is_duplicated())[0]
        raise InputError(f"Item {twice} is in two strata, or twice in one.")
    places = pl.DataFrame({"item": order}).with_row_index("place").select("item", pl.col("place").cast(pl.Int64))
    return every.join(places, on="item", how="left").sort("item")


def with_decoys(
    candidates: pl.DataFrame, near: Callable[[int], Sequence[int]], seed: int, share: float = 0.1
) -> pl.DataFrame:
    """Candidates with at least `share` decoys among them: item, class, source; unique (item, class), sorted.

    `candidates` has item, class, source; a class that several sources name keeps the first. A decoy is a class near
    (`near(class)`, the nearest first) one of the item's candidates and none of them. Items are chosen at random; none
    gets a second decoy before all have one. Where the near classes run out there are fewer.
    """
    rng = np.random.default_rng(seed)
    unique = candidates.select("item", "class", "source").unique(["item", "class"], keep="first", maintain_order=True)
    taken = {item: list(found) for item, found in unique.group_by("item", maintain_order=True).agg("class").iter_rows()}
    wanted = int(np.ceil(share / (1 - share) * unique.height - 1e-9))
    added: list[tuple[int, int, str]] = []
    waiting = np.array(sorted(taken))
    while len(added) < wanted and len(waiting):
        still = []
        for item in rng.permutation(waiting).tolist():
            if len(added) == wanted:
                break
            own = taken[item]
            decoy = next((c for base in rng.permutation(own).tolist() for c in near(base) if c not in own), None)
            if decoy is not None:
                own.append(decoy)
                added.append((item, decoy, DECOY))
                still.append(item)
        waiting = np.array(still)
    decoys = pl.DataFrame(added, schema=["item", "class", "source"], orient="row", schema_overrides=unique.schema)
    return pl.concat([unique, decoys]).sort("item", "class")


def nearest(distances: NDArray, k: int = 5) -> Callable[[int], list[int]]:
    """The k nearest other classes of a class by distances (C, C), such as those of the hierarchy; the nearest first."""

    def near(index: int) -> list[int]:
        order = np.argsort(distances[index], kind="stable")
        return [int(other) for other in order[: k + 1] if other != index][:k]

    return near
