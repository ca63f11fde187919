"""Build a space step by step: vectors with their index -> projection -> clusters; and texts, where the encoder has a
text tower: the vectors of class names and of words around them.

A step is fresh while the vectors are those that it was made from; `build` skips fresh steps. The files of fresh
steps are carried into the next version by hard link, so nothing is stored twice.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import clustering, projection, search
from analysis.artefacts import file_hash, write_parquet
from analysis.errors import StaleInputError
from analysis.labels.classes import make_class_list
from analysis.labels.hierarchy import hierarchy_of
from analysis.progress import Progress, silent
from analysis.settings import settings
from analysis.vocabulary import NEIGHBOURS as NEAREST
from analysis.vocabulary import vocabulary
from analysis.workspace import Space, Workspace

NEIGHBOURS = 15
SEED = 0
TYPICAL = 9
TEMPLATES = "simple"
"""Prompts of the words around a class list: there are thousands of these, and the 80 of "openai" would take hours."""


def publish_vectors(
    workspace: Workspace,
    encoder: str,
    items: NDArray[np.uint32],
    chunks: Iterable[NDArray[np.float16]],
    dimension: int,
    details: Mapping[str, Any],
    *,
    progress: Progress = silent,
) -> Space:
    """Store the vectors of `items` (n, rising), given as chunks (m, d), as the index of the encoder's space.

    When they are the vectors that the space has already, its projection and clusters stay.
    """
    exact = search.build_exact(chunks, dimension, count=len(items), progress=progress)
    approximate = search.build_approximate(exact, seed=SEED, progress=progress)

    def write(folder: Path) -> dict[str, Any]:
        search.write_index(search.SpaceIndex(exact, items, approximate), folder)
        vectors = file_hash(folder / "index.faiss")
        recall = None if approximate is None else approximate.recall
        return {"vectors": vectors, "dimension": dimension, "recall_at_10": recall, **details}

    return _publish(workspace, encoder, "index", write)


def build(
    workspace: Workspace,
    encoder: str,
    *,
    device: str = "auto",
    anew: bool = False,
    progress: Progress = silent,
) -> tuple[Space, dict[str, str]]:
    """Bring every step of the encoder's space up to date; returns it, and how each step fared in words.

    Raises InputError when the encoder cannot be loaded or the dataset has no pixels.
    """
    done: dict[str, str] = {}
    if anew or not has_fresh_vectors(workspace, encoder):
        from analysis.evaluate import embed

        began = time.perf_counter()
        embed(workspace, encoder, device=device, progress=progress)
        done["index"] = _took(began)
        workspace = workspace.reopened()
    else:
        done["index"] = "fresh"
    steps: dict[str, Callable[[Workspace, Space, Progress], None]] = {"projection": _project, "clusters": _cluster}
    if has_text_tower(encoder) and hierarchy_of(workspace.classes()) is not None:
        steps["texts"] = partial(_embed_texts, device=device)
    for step, make in steps.items():
        space = workspace.space(encoder)
        if step in fresh_steps(workspace, space) and not anew:
            done[step] = "fresh"
            continue
        began = time.perf_counter()
        make(workspace, space, progress)
        done[step] = _took(began)
        workspace = workspace.reopened()
    return workspace.space(encoder), done


def has_fresh_vectors(workspace: Workspace, encoder: str) -> bool:
    """Whether the encoder's vectors are there and of the images as they are now."""
    return encoder in workspace.space_names() and workspace.stale(workspace.space(encoder)) is None


def vectors_of(space: Space) -> str:
    """The hash of the vectors that the space holds."""
    return str(space.manifest["steps"]["index"]["vectors"])


def has_text_tower(encoder: str) -> bool:
    """Whether the encoder, a model reference, puts texts and images into one space."""
    return encoder.partition(":")[0].strip() == "open_clip"


def fresh_steps(workspace: Workspace, space: Space) -> list[str]:
    """The steps that were made from the vectors, and where they name them from the labels and classes, of now."""
    now = workspace.fingerprints
    return [
        step
        for step, made in space.manifest["steps"].items()
        if made["vectors"] == vectors_of(space)
        and all(made.get(name, now[name]) == now[name] for name in ("labels", "classes"))
    ]


def _project(workspace: Workspace, space: Space, progress: Progress) -> None:
    index = search.open_index(space.folder)
    neighbours, distances = search.knn_graph(index, NEIGHBOURS, progress=progress)
    start = projection.principal_plane(index.stored, progress)
    placed = projection.project(neighbours, distances, start, seed=SEED, neighbours=NEIGHBOURS, progress=progress)

    def write(folder: Path) -> dict[str, Any]:
        frame = pl.DataFrame({"item": index.items, "x": placed[:, 0], "y": placed[:, 1]})
        write_parquet(frame, folder / "projection.parquet")
        return {"method": "UMAP", "neighbours": NEIGHBOURS, "seed": SEED, "vectors": vectors_of(space)}

    _publish(workspace, space.name, "projection", write)


def _cluster(workspace: Workspace, space: Space, progress: Progress) -> None:
    index = search.open_index(space.folder)
    tree = clustering.build_tree(index.stored, seed=SEED, progress=progress)
    shown = clustering.frontier(tree, clustering.suggested_cut(tree)) if len(index.items) else np.zeros(0, np.uint32)
    described = clustering.describe(
        tree, shown, index.stored, workspace.original_labels[index.items], k=TYPICAL, progress=progress
    )
    members = pl.DataFrame(
        {"item": index.items, "leaf": tree.leaf_of, "cluster": clustering.assign(tree, shown).astype(np.uint32)}
    )

    def write(folder: Path) -> dict[str, Any]:
        write_parquet(tree.nodes, folder / "clusters.parquet")
        write_parquet(members, folder / "members.parquet")
        items = pl.Series(index.items)
        named = described.with_columns(
            *[
                pl.Series(name, [items.gather(rows).to_list() for rows in described[name]], dtype=pl.List(pl.UInt32))
                for name in ("typical", "atypical")
            ]
        )
        write_parquet(named, folder / "cut.parquet")
        made = {"method": "k-means and Ward", "clusters": len(shown), "seed": SEED}
        return {**made, "vectors": vectors_of(space), "labels": workspace.fingerprints["labels"]}

    _publish(workspace, space.name, "clusters", write)


def _embed_texts(workspace: Workspace, space: Space, progress: Progress, *, device: str = "auto") -> None:
    """Vectors of class names and of the words around them, and the labelled images nearest to each image.

    So that pages can ask whether another word fits better (analysis/vocabulary.py) without a text encoder.
    """
    from analysis import models
    from analysis.models import open_clip_models  # loads torch

    classes = workspace.classes()
    hierarchy = hierarchy_of(classes)
    assert hierarchy is not None  # build asked
    words = vocabulary(classes, hierarchy).frame
    # Classes by the names that a zero-shot classifier gives them; the other words stand behind them.
    names = [*open_clip_models.class_names(classes)[1], *words["name"][len(classes) :]]
    texts = make_class_list("words", words["id"].to_list(), names=names)
    model = models.load(
        space.name, classes=texts, device=device, templates=TEMPLATES, cache=settings().cache, progress=progress
    )
    vectors = np.asarray(model.module.text.cpu(), np.float16).T
    index = search.open_index(space.folder)
    labelled = np.flatnonzero(workspace.original_labels >= 0)
    nearest = np.full((len(index.items), NEAREST), search.NO_ITEM, np.uint32)
    for start in range(0, len(index.items), search.QUERY_BLOCK):
        progress("nearest labelled images", start, len(index.items))
        rows = np.arange(start, min(start + search.QUERY_BLOCK, len(index.items)))
        nearest[rows] = index.neighbours(index.vectors(rows), NEAREST, within=labelled, exclude=index.items[rows])[0]
    progress("nearest labelled images", len(index.items), len(index.items))

    def write(folder: Path) -> dict[str, Any]:
        write_parquet(words.with_columns(name=pl.Series(names)), folder / "texts.parquet")
        for name, array in (("texts.f16.npy", vectors), ("nearest.npy", nearest)):
            with (folder / name).open("wb") as file:
                np.save(file, array)
        now = workspace.fingerprints
        prompts = [prompt("{}") for prompt in open_clip_models.TEMPLATES[TEMPLATES]]
        made = {"words": words.height, "prompts": prompts, "neighbours": NEAREST}
        return {**made, "vectors": vectors_of(space), "labels": now["labels"], "classes": now["classes"]}

    _publish(workspace, space.name, "texts", write)


_FILES = {
    "index": ("index.faiss", "items.npy", "approximate.faiss", "approximate.json"),
    "projection": ("projection.parquet",),
    "clusters": ("clusters.parquet", "members.parquet", "cut.parquet"),
    "texts": ("texts.parquet", "texts.f16.npy", "nearest.npy"),
}


def _publish(workspace: Workspace, encoder: str, step: str, write: Callable[[Path], dict[str, Any]]) -> Space:
    """Publish a version with this step made anew; the other steps of the same vectors are carried over.

    Raises StaleInputError when the vectors are no longer those that the step was made from.
    """
    workspace = workspace.reopened()  # another step may have been published since this one began
    before = workspace.space(encoder) if encoder in workspace.space_names() else None

    def fill(folder: Path) -> dict[str, Any]:
        made = write(folder)
        if step != "index" and (before is None or vectors_of(before) != made["vectors"]):
            raise StaleInputError(
                f"The vectors of {encoder} were made anew while its {step} was computed. Nothing was published; "
                f"run the command again."
            )
        steps = {} if before is None else before.manifest["steps"]
        kept = {name: of for name, of in steps.items() if name != step and of["vectors"] == made["vectors"]}
        for name in kept:
            _carry(before, _FILES[name], folder)
        return {"steps": {**kept, step: made}}

    return workspace.publish_space(encoder, fill)


def _carry(before: Space | None, names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        source = before.file(name) if before else None
        if source is None:
            continue
        try:
            os.link(source, folder / name)
        except OSError:  # a file system without hard links
            shutil.copy2(source, folder / name)


def _took(began: float) -> str:
    return f"{time.perf_counter() - began:.1f} s"
