"""Label sets: who says which classes are valid for an item.

Per item and class a set says `valid`, `unclear` or `rejected`, or nothing. In a *closed* set (absent = "wrong") a
class of which nothing is said is wrong; in an *open* one (absent = "unjudged") nobody looked at it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError

STATES = pl.Enum(["valid", "unclear", "rejected"])
ABSENT, VALID, UNCLEAR, REJECTED = range(4)  # codes of LabelSet.states; a state's code is its place in STATES + 1

Absent = Literal["wrong", "unjudged"]
Unclear = Literal["lenient", "strict"]

LABELS_SCHEMA = {"item": pl.UInt32(), "class": pl.UInt32(), "state": STATES}
ITEMS_SCHEMA = {"item": pl.UInt32(), "scored": pl.Boolean(), "exhaustive": pl.Boolean()}


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Valid, unclear and rejected classes of items. `label_set` makes one from rows in any order."""

    name: str
    labels: pl.DataFrame
    """item u32, class u32, state STATES: unique (item, class), sorted by them."""
    items: pl.DataFrame
    """item u32 (unique, sorted), scored bool, exhaustive bool: one row for each item that the set knows."""
    absent: Absent
    note: str = ""
    """What a reader of this set's numbers must know."""
    conflicts: int = 0
    """Items of which the source put one class in two states; valid wins over unclear, unclear over rejected."""

    def __post_init__(self) -> None:
        for frame, schema in ((self.labels, LABELS_SCHEMA), (self.items, ITEMS_SCHEMA)):
            if dict(frame.schema) != schema:
                raise ValueError(f"label set {self.name!r}: columns {dict(frame.schema)}, not {schema}")
        for keys in (self._keys, self.items["item"].to_numpy().astype(np.int64)):
            if (np.diff(keys) <= 0).any():
                raise ValueError(f"label set {self.name!r}: rows are not unique and sorted")

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return _key(self.labels["item"].to_numpy(), self.labels["class"].to_numpy())

    @cached_property
    def _codes(self) -> NDArray[np.int8]:
        return self.labels["state"].to_physical().to_numpy().astype(np.int8) + np.int8(1)

    @cached_property
    def _flags(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """scored and exhaustive by item number; the last entry stands for every item beyond the set's own."""
        numbers = self.items["item"].to_numpy()
        size = int(numbers[-1]) + 2 if len(numbers) else 1
        scored, exhaustive = np.zeros(size, bool), np.zeros(size, bool)
        scored[numbers] = self.items["scored"].to_numpy()
        exhaustive[numbers] = self.items["exhaustive"].to_numpy()
        return scored, exhaustive

    def states(self, items: ArrayLike, classes: ArrayLike) -> NDArray[np.int8]:
        """ABSENT, VALID, UNCLEAR or REJECTED for items (n,) and their classes (n,) or (n, k).

        Shaped like `classes`. Class -1 (none) and items that the set does not know are ABSENT.
        """
        items, classes = np.asarray(items), np.asarray(classes)
        wanted = _key(items[:, None] if classes.ndim == 2 else items, classes)
        if not len(self._keys):
            return np.zeros(wanted.shape, np.int8)
        place = np.searchsorted(self._keys, wanted)
        place[place == len(self._keys)] = 0
        return np.where(self._keys[place] == wanted, self._codes[place], np.int8(ABSENT))

    def valid_mask(self, items: ArrayLike, classes: ArrayLike, *, unclear: Unclear = "lenient") -> NDArray[np.bool_]:
        """Whether each class counts as valid, shaped like `classes`. Unclear ones do if lenient."""
        return counts_as_valid(self.states(items, classes), unclear)

    def scored(self, items: ArrayLike) -> NDArray[np.bool_]:
        """Whether predictions on these items (n,) are counted: known to the set, not empty, not problematic."""
        return self._at(items, self._flags[0])

    def exhaustive(self, items: ArrayLike) -> NDArray[np.bool_]:
        """Whether every class of these items (n,) was judged, though the set be open."""
        return self._at(items, self._flags[1])

    def _at(self, items: ArrayLike, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return flags[np.minimum(np.asarray(items), len(flags) - 1)]


def _key(items: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """One sortable number an (item, class); no class index reaches 2**32 - 1, so class -1 meets nothing."""
    return (items.astype(np.int64) << 32) + classes.astype(np.int64)


def counts_as_valid(states: NDArray[np.int8], unclear: Unclear) -> NDArray[np.bool_]:
    """Which codes of LabelSet.states count as valid under the rule for unclear classes."""
    return (states == VALID) | (states == UNCLEAR) if unclear == "lenient" else states == VALID


def resolve_states(labels: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of item, class, state in any order -> (one state a class, sorted; conflicts: item, class, states).

    A class that stands in two states keeps the first of valid, unclear, rejected.
    """
    # An Enum sorts in the order of its words.
    grouped = (
        labels.select(pl.col(name).cast(kind) for name, kind in LABELS_SCHEMA.items())
        .group_by("item", "class")
        .agg(states=pl.col("state").unique().sort())
        .sort("item", "class")
    )
    resolved = grouped.select("item", "class", state=pl.col("states").list.first())
    return resolved, grouped.filter(pl.col("states").list.len() > 1)


def label_set(
    name: str,
    labels: pl.DataFrame,
    items: pl.DataFrame,
    *,
    absent: Absent,
    note: str = "",
) -> LabelSet:
    """A label set from rows in any order.

    `labels` has item, class, state (the same pair may come twice, see `resolve_states`). `items` has one row for
    each item that the set knows, and perhaps `scored` (default true; an item without a valid or unclear class is
    not scored whatever it says) and `exhaustive` (default false). Raises InputError when an item comes twice or is
    labelled without being known.
    """
    resolved, conflicts = resolve_states(labels)
    empty = pl.col("item").is_in(resolved.filter(pl.col("state") != "rejected")["item"].unique().implode()).not_()
    scored = pl.col("scored") if "scored" in items.columns else pl.lit(True)
    exhaustive = pl.col("exhaustive") if "exhaustive" in items.columns else pl.lit(False)
    known = items.select(
        pl.col("item").cast(pl.UInt32), scored=scored & ~empty, exhaustive=exhaustive.cast(pl.Boolean)
    ).sort("item")
    if known["item"].is_duplicated().any():
        twice = known["item"].filter(known["item"].is_duplicated())[0]
        raise InputError(f"Label set {name!r}: item {twice} comes twice.")
    strangers = resolved.join(known, on="item", how="anti")
    if strangers.height:
        raise InputError(f"Label set {name!r}: labels for item {strangers['item'][0]}, which is not one of its items.")
    n_conflicts = conflicts["item"].n_unique()
    if n_conflicts:
        note += (
            f" On {n_conflicts:,} items the source puts a class in two states: valid wins over unclear, unclear "
            f"over rejected."
        )
    return LabelSet(name, resolved, known, absent, note.strip(), n_conflicts)


def original(labels: pl.Series | NDArray) -> LabelSet:
    """The label set `original`: one valid class an item, by item number; null or negative for none.

    Closed and exhaustive: the dataset's own claim is that this class is the one.
    """
    column = pl.Series("class", labels).cast(pl.Int64)
    frame = pl.DataFrame({"class": column}).with_row_index("item")
    labelled = frame.filter(pl.col("class") >= 0).with_columns(state=pl.lit("valid"))
    return label_set("original", labelled, frame.select("item", exhaustive=pl.lit(True)), absent="wrong")
