"""What goes out: the items of a slice with what a label set says of them, in chunks of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analysis.errors import InputError
from analysis.export.options import ExportOptions
from analysis.labels.sets import STATES, LabelSet
from analysis.lens import Lens, frame, metadata_columns
from analysis.results.frames import lens_of
from analysis.review import log as review_log
from analysis.review import state
from analysis.review.reviewed import reviewed
from analysis.slices import Slice
from analysis.slices.saved import named
from analysis.workspace import Workspace

REVIEWED = "reviewed"
CHUNK = 50_000
"""Items that are written at a time."""

OWN = ("item", "key", "path", "bytes", "original", "split", "width", "height", "hash", "problem")
_OURS = frozenset({
    *OWN, *STATES.categories, "scored", "exhaustive", "readers", "panel", "decided", "disputed", "problems", "position",
    "one", "reason", "file", "folder", "image",
})  # fmt: skip
_OF_THE_DATASET = frozenset({"item", "key", "class", "target", "width", "height", "split", "problem", "hash"})
"""Columns of a lens frame that need no run."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Items with their labels. `subset` makes one."""

    workspace: Workspace
    slice: Slice
    lens: Lens
    labels: LabelSet
    items: pl.DataFrame
    """The columns OWN, `original` being a class index, and the dataset's metadata; in the slice's order."""
    total: int
    """Items of the workspace."""
    base: str | None
    """What `reviewed` is based on; None for a published label set."""
    log: pl.DataFrame
    """Of the review log, what was said of these items up to `position`."""
    position: int
    """The position of the review log: what `reviewed` goes up to, else the newest."""

    @property
    def n(self) -> int:
        return self.items.height

    @cached_property
    def metadata(self) -> list[str]:
        """Names of the dataset's own columns; one that a column of ours has is renamed."""
        return [name for name in self.items.columns if name not in OWN]

    def chunks(self, size: int = CHUNK) -> Iterator[pl.DataFrame]:
        """The columns of `items` with valid, unclear, rejected (sorted lists of class indices), scored and exhaustive
        (null: the set does not know the item); of `reviewed` those of `_provenance` too."""
        for part in self.items.iter_slices(size):
            yield self._labelled(part)

    def _labelled(self, part: pl.DataFrame) -> pl.DataFrame:
        said = (
            self.labels.labels.join(part.select("item"), on="item", how="semi")
            .group_by("item")
            .agg(pl.col("class").filter(pl.col("state") == word).sort().alias(word) for word in STATES.categories)
        )
        rows = part.join(said, on="item", how="left", maintain_order="left").join(
            self.labels.items, on="item", how="left", maintain_order="left"
        )
        nothing = pl.lit([], pl.List(pl.UInt32))
        rows = rows.with_columns(pl.col(word).fill_null(nothing) for word in STATES.categories)
        if self.base is None:
            return rows
        told = rows.join(self._provenance, on="item", how="left", maintain_order="left")
        return told.with_columns(
            pl.col("readers", "position").fill_null(0),
            pl.col("panel").fill_null(False),
            pl.col("decided", "disputed").fill_null(nothing),
            pl.col("problems").fill_null(pl.lit([], pl.List(pl.String))),
        )

    @cached_property
    def _provenance(self) -> pl.DataFrame:
        """Who says so: item, readers, panel, decided and disputed (class indices), problems, position (the newest)."""
        kept = state.current(self.log, self.workspace.items())
        verdicts = state.verdicts(kept)
        readers = (
            state.readings(kept, "verdict")
            .group_by("item")
            .agg(readers=pl.col("person").filter(~pl.col("panel")).n_unique().cast(pl.UInt32))
        )
        decided = pl.col("state").is_in(state.DECIDED)
        classes = verdicts.group_by("item").agg(
            panel=pl.col("panel").any(),
            decided=pl.col("class").filter(decided).sort(),
            disputed=pl.col("class").filter(~decided).sort(),
            position=pl.col("position").max(),
        )
        problems = state.problems(kept).group_by("item").agg(problems=pl.col("problem").cast(pl.String).sort())
        return (
            classes.join(readers, on="item", how="left")
            .join(problems, on="item", how="full", coalesce=True)
            .select("item", "readers", "panel", "decided", "disputed", "problems", "position")
        )

    def ids(self, part: pl.DataFrame) -> pl.DataFrame:
        """A chunk with class ids in place of class indices."""
        ids = pl.DataFrame({"index": self.workspace.classes().frame["index"], "id": self.workspace.classes().ids})
        lists = [name for name in ("valid", "unclear", "rejected", "decided", "disputed") if name in part.columns]
        for name in lists:
            part = part.with_columns(_replaced(part[name], ids["id"]))
        return part.with_columns(ids["id"].gather(part["original"]).alias("original"))


def _replaced(lists: pl.Series, ids: pl.Series) -> pl.Series:
    """Lists of class indices as lists of ids."""
    flat = pl.DataFrame({"row": range(len(lists)), "class": lists}).explode("class").drop_nulls("class")
    named = flat.select("row", id=ids.gather(flat["class"])).group_by("row", maintain_order=True).agg("id")
    rows = pl.DataFrame({"row": range(len(lists))}).join(named, on="row", how="left", maintain_order="left")
    return rows["id"].fill_null(pl.Series([[]], dtype=pl.List(pl.String))).alias(lists.name)


def subset(workspace: Workspace, options: ExportOptions) -> Subset:
    """What these options choose.

    Raises InputError for a slice, base or position that cannot be, WorkspaceError for a name that does not exist.
    """
    labels, base, log, position = _labels(workspace, options)
    line = options.slice.strip()
    asked = Slice.parse(named(workspace, line[1:]).text if line.startswith("@") else line)
    metadata = metadata_columns(workspace)
    judged_by = options.lens or base or labels.name
    needs_run = not set(asked.columns()) <= {*_OF_THE_DATASET, *metadata}
    if needs_run or options.run is not None:
        lens = lens_of(workspace, options.run, judged_by)
    else:
        workspace.labels(judged_by)
        lens = Lens(None, judged_by)
    rows = frame(workspace, lens, also=asked.columns())
    items = asked.apply(rows).select(
        "item",
        "key",
        *[pl.lit(workspace.items()[name]).gather(pl.col("item")).alias(name) for name in ("path", "bytes")],
        pl.col("target").cast(pl.UInt32).alias("original"),
        *OWN[5:],
        *[pl.col(name).alias(_free(name, metadata)) for name in metadata],
    )
    mine = log.join(items.select("item"), on="item", how="semi", maintain_order="left")
    return Subset(workspace, asked, lens, labels, items, rows.height, base, mine, position)


def _free(name: str, metadata: list[str]) -> str:
    """The name of a metadata column, with `_` behind it where one of ours has it."""
    free = name
    while free in _OURS or (free != name and free in metadata):
        free += "_"
    return free


def _labels(workspace: Workspace, options: ExportOptions) -> tuple[LabelSet, str | None, pl.DataFrame, int]:
    """The label set, what it is based on, the log up to the position, and the position."""
    log = review_log.read(workspace)
    newest = int(log["position"][-1]) if log.height else 0
    own = options.labels == REVIEWED and (options.base is not None or REVIEWED not in workspace.label_set_names())
    if not own:
        if options.base is not None or options.position is not None:
            raise InputError(f"A base and a position are for {REVIEWED!r}; {options.labels!r} is what it is.")
        return workspace.labels(options.labels), None, log, newest
    position = newest if options.position is None else options.position
    if not 0 <= position <= newest:
        raise InputError(f"The review log of {workspace.name} goes from 0 to {newest:,}; {position:,} is not in it.")
    base = options.base or "original"
    log = log.filter(pl.col("position") <= position)
    return reviewed(log, workspace.labels(base), workspace.items()), base, log, position
