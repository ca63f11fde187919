"""A workspace: one dataset with everything known about it, in one folder.

    errata.toml                    UUID, name, format version
    dataset/VERSION/               items.parquet, classes.parquet, problems.parquet; image root and class list
    labels/SLUG/VERSION/           labels.parquet, items.parquet
    runs/SLUG/VERSION/             run.json, topk.parquet, scores.f16.npy, problems.parquet
    spaces/SLUG/VERSION/           space.json, index.faiss, items.npy, projection.parquet, clusters.parquet, ...
    thumbnails/                    made when first asked for, addressed by content
    partial/                       finished shards of evaluations that were interrupted

Everything but `errata.toml` and `thumbnails/` is a versioned artefact (analysis/artefacts.py). An open workspace
is a snapshot: it keeps to the versions that were current when it was opened.
"""

import contextlib
import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from analysis.artefacts import (
    FORMAT,
    Artefact,
    Manifest,
    current_version,
    explained,
    explaining,
    open_artefact,
    publish,
    slug,
    staging,
    sweep,
    write_parquet,
)
from analysis.errors import InputError, StaleInputError, WorkspaceError
from analysis.labels.classes import ClassList
from analysis.labels.sets import LabelSet, original
from analysis.models.predictions import Predictions

CONFIG = "errata.toml"
LABELS, RUNS, SPACES, DATASET, PARTIAL = "labels", "runs", "spaces", "dataset", "partial"

_WHAT_CHANGED = {
    "keys": "items were added or removed",
    "images": "images were added, removed or changed",
    "labels": "original labels changed",
    "classes": "the class list grew",
}

A = TypeVar("A", bound=Artefact)


class DatasetManifest(Manifest):
    """A dataset's own keys. Those of `fingerprints` may be fewer than are known today: see there."""

    class_list: str
    image_root: str | None
    note: str
    fingerprints: dict[str, str]


class LabelsManifest(Manifest):
    """A label set's own keys."""

    absent: Literal["wrong", "unjudged"]
    note: str
    conflicts: int


class RunManifest(Manifest):
    """A run's own keys."""

    score_kind: Literal["logits", "probabilities", "ranks"]
    n: int


class SpaceManifest(Manifest):
    """A space's own keys: how each of its steps was made."""

    steps: dict[str, dict[str, Any]]


_MANIFESTS: dict[str, type[Manifest]] = {
    "dataset": DatasetManifest,
    "labels": LabelsManifest,
    "run": RunManifest,
    "space": SpaceManifest,
}


_READING_FAILED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


@contextlib.contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file of the workspace is read and understood within, as damage to that file."""
    try:
        yield
    except _READING_FAILED as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise WorkspaceError(f"{path} is damaged ({why}). Restore it from a backup, or make it again.") from error


def _read_parquet(path: Path, rows: int | None = None) -> pl.DataFrame:
    """A table of the workspace, or its first rows. Raises WorkspaceError when it is damaged."""
    with _intact(path):
        return pl.read_parquet(path, n_rows=rows, glob=False)


@dataclass(frozen=True)
class Run(Artefact):
    """One model's predictions on the workspace, with how they were made."""

    @cached_property
    def predictions(self) -> Predictions:
        """Ranked classes and scores of each item that the run covers."""
        path = self.folder / "topk.parquet"
        with _intact(path):
            return Predictions.from_frame(_read_parquet(path), self.manifest["score_kind"])

    def scores(self) -> NDArray[np.float16] | None:
        """Dense scores, (n, C) in the rows of `predictions.items`, memory-mapped; None where not stored."""
        path = self.file("scores.f16.npy")
        if path is None:
            return None
        with _intact(path):
            return np.load(path, mmap_mode="r", allow_pickle=False)


@dataclass(frozen=True)
class Space(Artefact):
    """An encoder's vectors with their index and, once built, projection and clusters."""

    @cached_property
    def items(self) -> NDArray[np.uint32]:
        """Item number of each vector, (n,)."""
        with _intact(self.folder / "items.npy"):
            return np.load(self.folder / "items.npy", allow_pickle=False)

    def frame(self, name: str) -> pl.DataFrame | None:
        """A table of this space (`projection`, `clusters`, `members`), None where that step was not run."""
        path = self.file(f"{name}.parquet")
        return None if path is None else _read_parquet(path)


class Workspace:
    """A snapshot of a workspace folder."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        self.path = path
        self.uuid: str = config["uuid"]
        self.name: str = config["name"]
        self._current, self._damaged = _current_versions(path)
        self.version = _digest({"uuid": self.uuid, **self._current})
        """Tells workspaces and their states apart: changes whenever anything is published."""
        dataset = self._open(Artefact, DATASET, "dataset")
        if DATASET in self._damaged:
            raise WorkspaceError(self._damaged[DATASET])
        if dataset is None:
            raise WorkspaceError(f"{path} has no items yet: its creation did not finish. Run `errata create` again.")
        self.dataset: Artefact = dataset
        self.note: str = dataset.manifest["note"]

    @staticmethod
    def open(path: str | Path) -> "Workspace":
        """Open the workspace in a folder. Raises WorkspaceError when it is none, or of a newer format."""
        path = Path(path).expanduser().absolute()
        return Workspace(path, read_config(path))

    def reopened(self) -> "Workspace":
        """This snapshot while nothing was published since, else a new one."""
        return self if _current_versions(self.path)[0] == self._current else Workspace.open(self.path)

    def _open(self, kind_of: type[A], home: str, kind: str) -> A | None:
        version = self._current.get(home)
        found = open_artefact(self.path / home, kind, version, _MANIFESTS[kind]) if version else None
        if found is None:
            return None
        for name in found.manifest["files"]:
            if name.endswith(".parquet"):
                _read_parquet(found.folder / name, rows=0)  # the table's own list of contents, which tells most damage
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
        """The label sets, runs and spaces that cannot be opened: why, by folder (`runs/SLUG`)."""
        self.label_set_names(), self.run_names(), self.space_names()  # opens them
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
        return {name: stored.get(name, "") for name in _WHAT_CHANGED}

    @cached_property
    def _items(self) -> pl.DataFrame:
        return _read_parquet(self.dataset.folder / "items.parquet")

    def items(self) -> pl.DataFrame:
        """One row an item, row number = item number; see analysis.items.SCHEMA. Tombstones have `missing`."""
        return self._items

    @cached_property
    def _classes(self) -> ClassList:
        path = self.dataset.folder / "classes.parquet"
        with _intact(path):
            return ClassList(self.dataset.manifest["class_list"], _read_parquet(path))

    def classes(self) -> ClassList:
        return self._classes

    def problems(self) -> pl.DataFrame:
        """What could not be read, by name: key, item (null for files that are no items), stage, reason."""
        columns = pl.Schema({"key": pl.String(), "item": pl.UInt32(), "stage": pl.String(), "reason": pl.String()})
        broken = self.items().filter(pl.col("problem").is_not_null() & ~pl.col("missing"))
        found = [
            _read_parquet(self.dataset.folder / "problems.parquet").select(
                "key", pl.lit(None, pl.UInt32).alias("item"), stage=pl.lit("reading"), reason="reason"
            ),
            broken.select("key", "item", stage=pl.lit("reading"), reason="problem"),
        ]
        for run in self.runs():
            if path := run.file("problems.parquet"):
                failed = _read_parquet(path).join(self.items().select("item", "key"), on="item", how="left")
                found.append(failed.select("key", "item", stage=pl.lit(f"run {run.name}"), reason="reason"))
        if damaged := self.damaged:
            homes, reasons = list(damaged), list(damaged.values())
            found.append(
                pl.DataFrame({"key": homes, "reason": reasons}).select(
                    "key", pl.lit(None, pl.UInt32).alias("item"), stage=pl.lit("opening"), reason="reason"
                )
            )
        listed = pl.concat([frame.cast(columns) for frame in found])
        # A reader lists a row whose image is not there, and the item carries it too: told once.
        return listed.unique(["key", "stage"], keep="last", maintain_order=True)

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
        with _intact(said):
            return LabelSet(
                name,
                labels=_read_parquet(said).join(gone, on="item", how="anti", maintain_order="left"),
                items=_read_parquet(known).join(gone, on="item", how="anti", maintain_order="left"),
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

    def stale(self, artefact: Artefact) -> str | None:
        """Why an artefact no longer matches the dataset, in words; None while it is fresh."""
        now = self.fingerprints
        changed = [name for name, value in artefact.inputs.items() if now.get(name, value) != value]
        if not changed:
            return None
        reasons = " and ".join(dict.fromkeys(_WHAT_CHANGED[name] for name in changed))
        return f"made {artefact.manifest['created'][:10]}; since then {reasons}"

    @property
    def partial(self) -> Path:
        """Where finished shards of unfinished evaluations are kept."""
        return self.path / PARTIAL

    def _unknown(self, kind: str, name: str, known: list[str]) -> WorkspaceError:
        there = ", ".join(known) if known else "none"
        return WorkspaceError(f"{self.name} has no {kind} {name!r}. It has: {there}.")

    # ---- publishing

    def unchanged(self, *fingerprints: str) -> Callable[[], None]:
        """A check that the named fingerprints of the dataset are still those of this snapshot."""

        def check() -> None:
            now = Workspace.open(self.path).fingerprints
            for name in fingerprints:
                if now[name] != self.fingerprints[name]:
                    raise StaleInputError(
                        f"While this was being computed, {_WHAT_CHANGED[name]} in {self.name}. Nothing was "
                        f"published; run the command again."
                    )

        return check

    def publish_labels(
        self,
        labels: LabelSet,
        *,
        details: Mapping[str, Any] | None = None,
        statuses: pl.DataFrame | None = None,
    ) -> Artefact:
        """Store a label set under its name; an older version of it stays on disk and is no longer current.

        `statuses` are what the source says of whole items (item, status, flags), kept beside the labels.
        """
        if labels.name == "original":
            raise InputError("The label set 'original' is the dataset's own; choose another name for this one.")
        home = self.path / LABELS / slug(labels.name)
        with staging(home) as folder:
            write_parquet(labels.labels, folder / "labels.parquet")
            write_parquet(labels.items, folder / "items.parquet")
            if statuses is not None:
                write_parquet(statuses, folder / "statuses.parquet")
            return publish(
                home,
                folder,
                "labels",
                name=labels.name,
                inputs=self._inputs("keys", "classes"),
                details={
                    "absent": labels.absent,
                    "note": labels.note,
                    "conflicts": labels.conflicts,
                    **(details or {}),
                },
                check=self.unchanged("keys", "classes"),
            )

    def publish_run(
        self,
        name: str,
        predictions: Predictions,
        *,
        inputs: tuple[str, ...],
        details: Mapping[str, Any],
        fill: Callable[[Path], None] = lambda folder: None,
    ) -> Run:
        """Store a run under its name. `fill` writes further files (dense scores, problems) into the folder."""
        home = self.path / RUNS / slug(name)
        with staging(home) as folder:
            write_parquet(predictions.to_frame(), folder / "topk.parquet")
            fill(folder)
            published = publish(
                home,
                folder,
                "run",
                name=name,
                inputs=self._inputs(*inputs),
                details={"score_kind": predictions.kind, "n": len(predictions.items), **details},
                check=self.unchanged(*inputs),
            )
        return Run(published.folder, published.manifest)

    def publish_space(self, name: str, fill: Callable[[Path], Mapping[str, Any]]) -> Space:
        """Store a space under its encoder's reference; `fill` writes its files and returns its manifest's keys.

        Refused when the space was published by somebody else since this snapshot was taken: `fill` builds on it.
        """
        home = self.path / SPACES / slug(name)
        images_unchanged = self.unchanged("images")

        def check() -> None:
            images_unchanged()
            if current_version(home) != self._current.get(home.relative_to(self.path).as_posix()):
                raise StaleInputError(
                    f"Another process published the space {name} in the meantime. Nothing was published; run the "
                    f"command again: what is fresh is kept."
                )

        with staging(home) as folder:
            details = fill(folder)
            published = publish(
                home,
                folder,
                "space",
                name=name,
                inputs=self._inputs("images"),
                details={"steps": {}, **details},
                check=check,
            )
        return Space(published.folder, published.manifest)

    def _inputs(self, *names: str) -> dict[str, str]:
        return {name: self.fingerprints[name] for name in names}


def is_workspace(path: Path) -> bool:
    """Whether the folder holds a workspace of any format. Raises ErrataError for a path that cannot be."""
    with explaining(path):
        return (path / CONFIG).is_file()


def read_config(path: Path) -> dict[str, Any]:
    """The workspace's errata.toml. Raises WorkspaceError when there is none, or it is damaged or newer."""
    try:
        config = tomllib.loads((path / CONFIG).read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not a workspace (it has no errata.toml)" if path.exists() else "does not exist"
        raise WorkspaceError(f"{path} {what}. Make one with `errata create {path.name} --images DIR`.") from error
    except OSError as error:
        raise explained(error, path / CONFIG) or error from error
    except (ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path / CONFIG} cannot be read: {error}. Restore it from a backup.") from error
    if isinstance(config.get("format"), int) and config["format"] > FORMAT:
        raise WorkspaceError(
            f"{path} is of workspace format {config['format']}, and this version of Errata reads up to {FORMAT}. "
            f"Upgrade Errata (pip install -U errata)."
        )
    wanted = {"format": int, "uuid": str, "name": str}
    if missing := [key for key, kind in wanted.items() if not isinstance(config.get(key), kind)]:
        raise WorkspaceError(f"{path / CONFIG} lacks {', '.join(missing)}. Restore it from a backup.")
    return config


def sweep_workspace(path: str | Path) -> list[Path]:
    """Remove past versions and what killed writers left, unfinished evaluations included; returns the folders."""
    workspace = Workspace.open(path)
    removed = [folder for home in _homes(workspace.path) for folder in sweep(home)]
    for folder in workspace.partial.glob("*/"):
        with explaining(folder), contextlib.suppress(Timeout), FileLock(f"{folder}.lock", timeout=0):
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


def _homes(path: Path) -> list[Path]:
    """The folder of every artefact, published or not."""
    kinds = (path / folder for folder in (LABELS, RUNS, SPACES))
    with explaining(path):
        named = [entry for kind in kinds if kind.is_dir() for entry in sorted(kind.iterdir()) if entry.is_dir()]
    return [path / DATASET, *named]


def _current_versions(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The current version of every artefact by its home, relative to the workspace; and why of those that lack it."""
    found: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for folder in _homes(path):
        home = folder.relative_to(path).as_posix()
        try:
            if version := current_version(folder):
                found[home] = version
        except WorkspaceError as error:
            damaged[home] = str(error)
    return found, damaged


def _digest(versions: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(versions, sort_keys=True).encode(), digest_size=8).hexdigest()
