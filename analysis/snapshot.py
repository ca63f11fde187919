"""What a workspace holds at one moment: an open snapshot keeps to the versions that were current when it was made."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.artefacts import Artefact, open_artefact
from analysis.errors import WorkspaceError
from analysis.folder import CAUSES, DATASET, LABELS, PARTIAL, RUNS, SPACES, current_versions, digest
from analysis.labels.classes import ClassList
from analysis.labels.sets import LabelSet, original
from analysis.manifests import MANIFESTS
from analysis.problems import problems
from analysis.stored import CauseTable, Run, Space, intact, read_parquet

WHAT_CHANGED = {
    "keys": "items were added or removed",
    "images": "images were added, removed or changed",
    "labels": "original labels changed",
    "classes": "the class list grew",
}
"""What it means that a fingerprint of the dataset is another."""

A = TypeVar("A", bound=Artefact)


class Snapshot:
    """A workspace folder as it was when it was opened; read-only, and its frames are shared."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        self.path = path
        self.uuid: str = config["uuid"]
        self.name: str = config["name"]
        self._current, self._damaged = current_versions(path)
        self.version = digest({"uuid": self.uuid, **self._current})
        """Tells workspaces and their states apart: changes whenever anything is published."""
        dataset = self._open(Artefact, DATASET, "dataset")
        if DATASET in self._damaged:
            raise WorkspaceError(self._damaged[DATASET])
        if dataset is None:
            raise WorkspaceError(f"{path} has no items yet: its creation did not finish. Run `errata create` again.")
        self.dataset: Artefact = dataset
        self.note: str = dataset.manifest["note"]

    def _open(self, kind_of: type[A], home: str, kind: str) -> A | None:
        version = self._current.get(home)
        found = open_artefact(self.path / home, kind, version, MANIFESTS[kind]) if version else None
        if found is None:
            return None
        for name in found.manifest["files"]:
            if name.endswith(".parquet"):
                read_parquet(found.folder / name, rows=0)  # the table's own list of contents, which tells most damage
        return kind_of(found.folder, found.manifest)

    def _open_all(self, kind_of: type[A], folder: str, kind: str) -> list[A]:
        """Every artefact of a kind; a damaged one is left out, and listed in `damaged` and the problems."""
        found = []
        for home in self._current:
            if home.startswith(f"{folder}/"):
                try:
                    found.append(self._open(kind_of, home, kind))
                except WorkspaceError as error:
                    self._damaged[home] = str(error)
        return [artefact for artefact in found if artefact is not None]

    @property
    def damaged(self) -> dict[str, str]:
        """The label sets, runs, spaces and causes that cannot be opened: why, by folder (`runs/SLUG`)."""
        self.label_set_names(), self.run_names(), self.space_names(), self.cause_tables()  # opens them
        return dict(self._damaged)

    # ---- the dataset

    @property
    def image_root(self) -> Path | None:
        """Folder that the items' paths start from; None for a dataset without pixels."""
        root = self.dataset.manifest["image_root"]
        return None if root is None else self.path / root

    @property
    def thumbnails(self) -> Path:
        return self.path / "thumbnails"

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of keys, images, labels and classes, which other artefacts name as what they were made from.

        One that an earlier version of Errata did not store is "", which no artefact was made from.
        """
        stored: dict[str, str] = self.dataset.manifest["fingerprints"]
        return {name: stored.get(name, "") for name in WHAT_CHANGED}

    @cached_property
    def _items(self) -> pl.DataFrame:
        return read_parquet(self.dataset.folder / "items.parquet")

    def items(self) -> pl.DataFrame:
        """One row an item, row number = item number; see analysis.items.SCHEMA. Tombstones have `missing`."""
        return self._items

    @cached_property
    def _classes(self) -> ClassList:
        path = self.dataset.folder / "classes.parquet"
        with intact(path):
            return ClassList(self.dataset.manifest["class_list"], read_parquet(path))

    def classes(self) -> ClassList:
        return self._classes

    def problems(self) -> pl.DataFrame:
        """What could not be read, by name: key, item (null for files that are no items), stage, reason."""
        return problems(self)

    # ---- label sets

    @cached_property
    def _label_sets(self) -> dict[str, Artefact]:
        return {artefact.name: artefact for artefact in self._open_all(Artefact, LABELS, "labels")}

    def label_set_names(self) -> list[str]:
        """`original` first, then the others by name."""
        return ["original", *sorted(self._label_sets)]

    def labels(self, name: str) -> LabelSet:
        """A label set by name. Raises WorkspaceError naming those that exist."""
        if name not in self._loaded_labels:
            self._loaded_labels[name] = self._load_labels(name)
        return self._loaded_labels[name]

    @cached_property
    def _loaded_labels(self) -> dict[str, LabelSet]:
        return {}

    def _load_labels(self, name: str) -> LabelSet:
        if name == "original":
            return original(self.original_labels)
        artefact = self.label_artefact(name)
        gone = self.items().filter(pl.col("missing")).select("item")
        known, said = artefact.folder / "items.parquet", artefact.folder / "labels.parquet"
        with intact(said):
            return LabelSet(
                name,
                labels=read_parquet(said).join(gone, on="item", how="anti", maintain_order="left"),
                items=read_parquet(known).join(gone, on="item", how="anti", maintain_order="left"),
                absent=artefact.manifest["absent"],
                note=artefact.manifest["note"],
                conflicts=artefact.manifest["conflicts"],
            )

    def label_artefact(self, name: str) -> Artefact:
        """The published version of a label set other than `original`, which is the items' own column."""
        if name not in self._label_sets:
            raise self._unknown("label set", name, self.label_set_names())
        return self._label_sets[name]

    @cached_property
    def original_labels(self) -> NDArray[np.int32]:
        """Class index of each item's original label by item number, (N,); -1 for none and for tombstones."""
        present = pl.when(~pl.col("missing")).then(pl.col("label").cast(pl.Int32))
        return self.items().select(present.fill_null(-1).alias("label"))["label"].to_numpy()

    # ---- runs and spaces

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {run.name: run for run in self._open_all(Run, RUNS, "run")}

    def runs(self) -> list[Run]:
        return [self._runs[name] for name in self.run_names()]

    def run_names(self) -> list[str]:
        return sorted(self._runs)

    def run(self, name: str) -> Run:
        """A run by name. Raises WorkspaceError naming those that exist."""
        if name not in self._runs:
            raise self._unknown("run", name, self.run_names())
        return self._runs[name]

    @cached_property
    def _spaces(self) -> dict[str, Space]:
        return {space.name: space for space in self._open_all(Space, SPACES, "space")}

    def spaces(self) -> list[Space]:
        return [self._spaces[name] for name in self.space_names()]

    def space_names(self) -> list[str]:
        return sorted(self._spaces)

    def space(self, name: str) -> Space:
        """A space by its encoder's reference. Raises WorkspaceError naming those that exist."""
        if name not in self._spaces:
            raise self._unknown("space", name, self.space_names())
        return self._spaces[name]

    # ---- what tells the causes of mistakes

    @cached_property
    def _causes(self) -> dict[str, CauseTable]:
        return {artefact.name: artefact for artefact in self._open_all(CauseTable, CAUSES, "cause")}

    def cause_tables(self) -> dict[str, CauseTable]:
        """The tables that stand in place of or beside a rule of Errata's own, by rule (analysis/cause_files.py)."""
        return dict(self._causes)

    # ---- freshness

    def stale(self, artefact: Artefact) -> str | None:
        """Why an artefact no longer matches the dataset, in words; None while it is fresh."""
        now = self.fingerprints
        changed = [name for name, value in artefact.inputs.items() if now.get(name, value) != value]
        if not changed:
            return None
        reasons = " and ".join(dict.fromkeys(WHAT_CHANGED[name] for name in changed))
        return f"made {artefact.manifest['created'][:10]}; since then {reasons}"

    @property
    def partial(self) -> Path:
        """Where finished shards of unfinished evaluations are kept."""
        return self.path / PARTIAL

    def _unknown(self, kind: str, name: str, known: list[str]) -> WorkspaceError:
        there = ", ".join(known) if known else "none"
        return WorkspaceError(f"{self.name} has no {kind} {name!r}. It has: {there}.")
