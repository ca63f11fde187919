"""Models over the images of a workspace: one pass gives a run, its dense scores and the vectors of a space."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from analysis import models
from analysis.artefacts import slug, write_parquet
from analysis.errors import InputError, LockedError
from analysis.labels.classes import ClassList
from analysis.models.predictions import Predictions
from analysis.progress import Progress, silent
from analysis.settings import settings
from analysis.spaces import has_fresh_vectors, publish_vectors
from analysis.workspace import Run, Workspace

if TYPE_CHECKING:  # torch is loaded when a model is
    from analysis.inference import InferenceResult
    from analysis.models.loaded import LoadedModel

PRESENT = "present"
DENSE_UP_TO = 200_000
"""Items up to which dense scores are kept by default; 1.28 million x 1,000 in float16 are 2.6 GB a run."""


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate; see `errata evaluate --help`."""

    name: str | None = None
    device: str = "auto"
    precision: str = "auto"
    batch: int | None = None
    scores: Literal["auto", "full", "topk"] = "auto"
    among: Literal["all", "present", "both"] = "all"
    """Which classes compete: all outputs, those of classes that occur as original label, or a run of each."""
    seen: Literal["yes", "no", "unknown"] = "unknown"
    """Whether the model was trained on these items."""
    skip_fresh: bool = False
    """Leave models alone whose runs and vectors are there and fresh."""


def evaluate(
    workspace: Workspace,
    references: Sequence[str],
    options: EvaluateOptions | None = None,
    *,
    progress: Progress = silent,
) -> list[Run]:
    """Run each model over the images and publish its run (or runs) and its space's vectors.

    An interrupted evaluation goes on from its last finished shard. Raises InputError for an unknown model, missing
    weights, or a dataset without pixels; nothing is published for that model then.
    """
    options = options or EvaluateOptions()
    if options.name is not None and len(references) != 1:
        raise InputError(f"--name names one run, and {len(references)} models were given. Leave it out.")
    for reference in references:
        models.resolve(reference)
        name = options.name or reference
        slug(f"{name} (1000000 classes)" if options.among == "both" else name)  # refused before the work, not after
    runs = []
    for reference in references:
        workspace = workspace.reopened()
        if options.skip_fresh and (there := _fresh_runs(workspace, reference, options)):
            runs += there
            continue
        with _alone(workspace, reference) as shards:
            model = _load(workspace, reference, workspace.classes(), options.device, progress)
            if not model.outputs:
                raise InputError(f"{reference} only encodes images; `errata space build` takes it.")
            runs += _evaluate_one(workspace, model, shards, options, progress)
    return runs


def embed(workspace: Workspace, reference: str, *, device: str = "auto", progress: Progress = silent) -> None:
    """Make the vectors of a model's space without publishing a run."""
    from analysis.inference import InferenceOptions, infer

    with _alone(workspace, reference) as shards:
        # Without classes: a zero-shot model need not build its classifier to encode images.
        model = _load(workspace, reference, None, device, progress)
        wanted = InferenceOptions(scores="topk")
        result = infer(model, _readable(workspace), _image_root(workspace), shards, wanted, progress)
        _publish_space(workspace, reference, result, model, progress)
        shutil.rmtree(result.folder, ignore_errors=True)


@contextmanager
def _alone(workspace: Workspace, reference: str) -> Iterator[Path]:
    """The folder for the model's finished shards, which one process at a time works in."""
    folder = workspace.partial / slug(reference)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{folder}.lock", timeout=0):
            yield folder
    except Timeout as error:
        raise LockedError(
            f"Another process is running {reference} over {workspace.name}. Wait for it to end, then try again."
        ) from error


def _evaluate_one(
    workspace: Workspace, model: "LoadedModel", shards: Path, options: EvaluateOptions, progress: Progress
) -> list[Run]:
    from analysis.inference import InferenceOptions, infer

    items = _readable(workspace)
    competing = _competing(workspace, model, options.among)
    dense = options.scores == "full" or (options.scores == "auto" and items.height <= DENSE_UP_TO)
    wanted = InferenceOptions(
        precision=options.precision,  # type: ignore[arg-type]  # checked by InferenceOptions
        batch_size=options.batch,
        scores="full" if dense else "topk",
        masks={name: outputs for name, outputs in competing.items() if outputs is not None},
    )
    result = infer(model, items, _image_root(workspace), shards, wanted, progress)
    index = model.class_indices(workspace.classes().ids)
    name = options.name or model.reference
    runs: list[Run] = []
    for among, outputs in competing.items():
        # Scores among fewer outputs are columns of the same matrix: it is stored once, with the first run.
        keep_dense = dense and not runs
        n_outputs = model.outputs if outputs is None else len(outputs)

        def write(folder: Path, keep_dense: bool = keep_dense) -> None:
            _write_extras(folder, result, index, workspace, keep_dense)

        runs.append(
            workspace.publish_run(
                f"{name} ({n_outputs} classes)" if runs else name,
                _in_class_list(result.predictions(None if outputs is None else among), index),
                inputs=("images", "classes", "labels") if among == PRESENT else ("images", "classes"),
                details={
                    "source": "evaluate",
                    "reference": model.reference,
                    "asked": {"name": options.name, "among": options.among, "scores": options.scores},
                    "competing": "all" if outputs is None else index[outputs].tolist(),
                    "competing_because": among,
                    "dense_scores_of": (runs[0].name if runs else name) if dense else None,
                    "seen_in_training": options.seen,
                    "inference": result.manifest,
                },
                fill=write,
            )
        )
    _publish_space(workspace, model.reference, result, model, progress)
    shutil.rmtree(result.folder, ignore_errors=True)
    return runs


def _competing(workspace: Workspace, model: "LoadedModel", among: str) -> dict[str, NDArray[np.int64] | None]:
    """The outputs that compete in each run to be made, by the run's kind; None for all of the model's."""
    index = model.class_indices(workspace.classes().ids)
    known = np.flatnonzero(index >= 0)
    labels = workspace.original_labels
    present = np.flatnonzero(np.isin(index, np.unique(labels[labels >= 0])))
    every: dict[str, NDArray[np.int64] | None] = (
        {"all": None} if len(known) == model.outputs else {"known to the class list": known}
    )
    if among == "all" or len(present) == len(known):
        return every
    if not len(present):
        raise InputError("No item has an original label of a class that the model knows; evaluate among all classes.")
    return {PRESENT: present} if among == "present" else {**every, PRESENT: present}


def _in_class_list(predictions: Predictions, index: NDArray[np.int32]) -> Predictions:
    """The same predictions with classes as indices into the workspace's class list."""
    classes = np.where(predictions.classes >= 0, index[predictions.classes], np.int32(-1)).astype(np.int32)
    return Predictions(predictions.items, classes, predictions.scores, predictions.kind, predictions.logsumexp)


def _write_extras(
    folder: Path, result: "InferenceResult", index: NDArray[np.int32], workspace: Workspace, dense: bool
) -> None:
    """Problems, and dense scores (n, C) in the class list's order; -inf where the model has no such output."""
    write_parquet(result.problems(), folder / "problems.parquet")
    if not dense:
        return
    known = index >= 0
    n = sum(len(shard.items) for shard in result.shards())
    with (folder / "scores.f16.npy").open("wb") as file:
        shape = (n, len(workspace.classes()))
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for shard in result.shards():
            rows = np.full((len(shard.items), shape[1]), -np.inf, dtype="<f2")
            if shard.logits is not None:
                rows[:, index[known]] = shard.logits[:, known]
            file.write(rows.tobytes())


def _publish_space(
    workspace: Workspace, reference: str, result: "InferenceResult", model: "LoadedModel", progress: Progress
) -> None:
    items = np.concatenate([shard.items for shard in result.shards()])
    if not len(items):
        return
    vectors: Iterator[NDArray[np.float16]] = (shard.embeddings for shard in result.shards())
    made: dict[str, Any] = {key: result.manifest[key] for key in ("preprocessing", "versions", "weights_hash")}
    publish_vectors(workspace, reference, items, vectors, model.dimensions, made, progress=progress)


def _load(
    workspace: Workspace, reference: str, classes: ClassList | None, device: str, progress: Progress
) -> "LoadedModel":
    if workspace.image_root is None:
        raise InputError(
            f"{workspace.name} has no images, so no model can be run over it. Import predictions with "
            f"`errata runs import`, or create the workspace with --images."
        )
    progress(f"loading {reference}", 0, None)
    return models.load(reference, classes=classes, device=device, cache=settings().cache, progress=progress)


def _fresh_runs(workspace: Workspace, reference: str, options: EvaluateOptions) -> list[Run]:
    """The runs of this model that are there and fresh, empty when one that was asked for is not."""
    asked = {"name": options.name, "among": options.among, "scores": options.scores}
    runs = [
        run
        for run in workspace.runs()
        if run.manifest.get("reference") == reference and run.manifest.get("asked") == asked
    ]
    fresh = all(workspace.stale(run) is None for run in runs)
    return runs if fresh and has_fresh_vectors(workspace, reference) else []


def _readable(workspace: Workspace) -> pl.DataFrame:
    readable = ~pl.col("missing") & pl.col("problem").is_null() & pl.col("path").is_not_null()
    return workspace.items().filter(readable).select("item", "path", "hash")


def _image_root(workspace: Workspace) -> Path:
    assert workspace.image_root is not None  # _load refused otherwise
    return workspace.image_root
