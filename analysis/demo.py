"""The demo workspace: composed scenes, three real classifiers, and the whole truth."""

from pathlib import Path
from typing import Any, Literal

import polars as pl

from analysis.create import scan_listing, write_dataset
from analysis.datasets import Listing, cutouts, imagenette
from analysis.datasets import stamps as stamp_set
from analysis.errors import InputError
from analysis.evaluate import EvaluateOptions, evaluate
from analysis.items import frame
from analysis.labels.sets import LabelSet, label_set
from analysis.progress import Progress, silent
from analysis.settings import settings
from analysis.spaces import build as build_space
from analysis.workspace import DATASET, Workspace, is_workspace

MODELS = ("efficientnet-lite:0", "efficientnet-lite:1", "efficientnet-lite:2")
ENCODER = MODELS[2]
TRUTH = "truth"
TRUTH_NOTE = "Every object that was placed in the scene; complete by construction."


def build(
    path: Path,
    *,
    dataset: Literal["cutouts", "imagenette"] = "cutouts",
    stamps: Path | None = None,
    scenes: int = 1500,
    seed: int = 0,
    progress: Progress = silent,
) -> Workspace:
    """Build the demo at `path`, or finish one that was interrupted; what is there and fresh is kept.

    `stamps` is a folder that holds Tux Paint's stamps; None fetches them. Raises InputError when the pictures can
    neither be found nor fetched (and says what to do), or when another demo is at `path`.
    """
    path = path.expanduser().absolute()
    recipe: dict[str, Any] = {"dataset": dataset}
    if dataset == "cutouts":
        recipe |= {"scenes": scenes, "seed": seed}
    if not _is_there(path, recipe):
        if dataset == "imagenette":
            listing, note = imagenette.read(settings().cache, progress=progress), imagenette.SOURCE_NOTE
            _write(path, listing, note, recipe, progress)
        else:
            composed = _compose(path, stamps, scenes, seed, progress)
            workspace = _write(path, composed.listing, stamp_set.SOURCE_NOTE, recipe, progress)
            workspace.publish_labels(_truth(workspace, composed.truth))
    options = EvaluateOptions(
        among="both" if dataset == "cutouts" else "all",
        seen="no" if dataset == "cutouts" else "unknown",
        skip_fresh=True,
    )
    evaluate(Workspace.open(path), MODELS, options, progress=progress)
    build_space(Workspace.open(path), ENCODER, progress=progress)
    return Workspace.open(path)


def _is_there(path: Path, recipe: dict[str, Any]) -> bool:
    """Whether the dataset of this recipe is complete at `path`. Raises InputError when it is another one."""
    if not is_workspace(path) or not (path / DATASET / "current").is_file():
        return False
    workspace = Workspace.open(path)
    there = workspace.dataset.manifest.get("recipe")
    if there != recipe:
        what = ", ".join(f"{key} {value}" for key, value in (there or {}).items()) or "no demo"
        raise InputError(f"{path} holds another workspace ({what}). Give the demo another path.")
    return recipe["dataset"] == "imagenette" or TRUTH in workspace.label_set_names()


def _compose(path: Path, stamps: Path | None, scenes: int, seed: int, progress: Progress) -> cutouts.Scenes:
    folder = stamps or stamp_set.fetch(settings().cache, progress)
    return cutouts.compose(stamp_set.find(folder), path / ".images", scenes=scenes, seed=seed, progress=progress)


def _write(path: Path, listing: Listing, note: str, recipe: dict[str, Any], progress: Progress) -> Workspace:
    items = frame(listing.records, scan_listing(listing, False, progress))
    workspace, _ = write_dataset(
        path,
        items,
        listing.classes,
        listing.problems,
        image_root=listing.root,
        name="Demo",
        note=note,
        details={"layout": listing.layout, "recipe": recipe},
    )
    return workspace


def _truth(workspace: Workspace, truth: cutouts.Truth) -> LabelSet:
    """The truth by item number."""
    numbers = workspace.items().select("key", "item")
    labels = truth.labels.join(numbers, on="key").select("item", "class", state=pl.lit("valid"))
    items = truth.items.join(numbers, on="key").select("item", "scored", "exhaustive")
    return label_set(TRUTH, labels, items, absent="wrong", note=TRUTH_NOTE)
