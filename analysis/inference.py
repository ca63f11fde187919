"""Items -> scores and embeddings in one pass: streaming, in shards that survive an interruption."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import ErrataError, InputError, WorkspaceError
from analysis.models.flow import Outcome, default_workers, stream
from analysis.models.loaded import LoadedModel, versions
from analysis.models.precision import PRECISIONS, choose_precision
from analysis.models.predictions import Predictions
from analysis.models.preprocessing import Pictures
from analysis.progress import Progress, silent

CPU_BATCH = 4
"""Small, as each thread has a batch of its own: with 16 a third of the time went to the system, which maps large
buffers anew for every layer."""
GPU_BATCH = 128

_FORMAT = 1  # of the shards


@dataclass(frozen=True)
class InferenceOptions:
    """How to run a model; what is left to "auto" or None is decided by what the machine is and does."""

    device: str = "auto"
    """"auto" leaves the model where it was loaded."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int | None = None
    workers: int | None = None
    """Threads on a CPU (default: its cores), reading processes beside a GPU."""
    k: int = 5
    """Ranks stored."""
    scores: Literal["full", "topk"] = "full"
    """Whether every output's logit is kept too, in float16."""
    shard_items: int = 2048
    masks: Mapping[str, NDArray[np.integer[Any]] | None] = field(default_factory=dict)
    """Sets of outputs among which to rank besides, by name; None means all."""

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise InputError(f"{self.precision!r} is no precision; take auto, {', '.join(PRECISIONS)}.")
        if self.scores not in ("full", "topk"):
            raise InputError(f"scores must be full or topk, not {self.scores!r}.")
        for name in ("batch_size", "workers", "k", "shard_items"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}.")


class Shard(NamedTuple):
    """Some consecutive items' results, n of them."""

    items: NDArray[np.uint32]
    """(n,) sorted."""
    predictions: Predictions
    """Over all outputs; classes are output numbers, scores logits."""
    masked: dict[str, Predictions]
    """The same among the outputs of each mask; classes are output numbers still."""
    logits: NDArray[np.float16] | None
    """(n, C), clipped to float16's range; None with scores="topk"."""
    embeddings: NDArray[np.float16]
    """(n, d) pooled features as the model gives them, not normalised."""
    problems: list[tuple[int, str]]
    """Items without a result, and why."""


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """Finished shards on disk; read one at a time, so that memory stays bounded."""

    folder: Path
    """Holds the shards; the caller removes it once their content is published."""
    count: int
    """How many shards there are."""
    masks: tuple[str, ...]
    manifest: dict[str, Any]
    """How the results were made: model, preprocessing, device, precision and why, versions, timing."""

    def shards(self) -> Iterator[Shard]:
        """In the order of item numbers."""
        for number in range(self.count):
            yield _read_shard(_shard_file(self.folder, number), self.masks)

    def predictions(self, mask: str | None = None) -> Predictions:
        """Of all items, over all outputs or those of a mask; 12 bytes an item and rank."""
        parts = [shard.predictions if mask is None else shard.masked[mask] for shard in self.shards()]
        return Predictions(
            items=np.concatenate([part.items for part in parts]),
            classes=np.concatenate([part.classes for part in parts]),
            scores=np.concatenate([part.scores for part in parts if part.scores is not None]),
            kind="logits",
            logsumexp=np.concatenate([part.logsumexp for part in parts if part.logsumexp is not None]),
        )

    def problems(self) -> pl.DataFrame:
        """item u32, reason str: the items without a result."""
        rows = [problem for shard in self.shards() for problem in shard.problems]
        return pl.DataFrame(rows, schema={"item": pl.UInt32, "reason": pl.String}, orient="row")


def infer(
    model: LoadedModel,
    items: pl.DataFrame,
    root: Path,
    shards: Path,
    options: InferenceOptions | None = None,
    progress: Progress = silent,
) -> InferenceResult:
    """Run a model over items (item, path relative to `root`, hash of the content or null).

    Shards are written below `shards`, in a folder named by a fingerprint of the weights, the preprocessing, the
    items and the options: called again after an interruption, with the same of all of them, it goes on after the
    last finished shard and ends with the same numbers. A picture that cannot be read is reported and skipped.
    InputError: no items, none that can be read, or masks that do not fit the model. ErrataError: the model gave
    numbers that are not finite. WorkspaceError: a shard cannot be written.
    """
    options = options or InferenceOptions()
    model = model.to(options.device)
    masks = _checked_masks(options.masks, model)
    items = items.select("item", "path", "hash").sort("item")
    if items.is_empty():
        raise InputError("There are no items to run the model on.")
    numbers = items["item"].to_numpy()
    pictures = Pictures(root, items["path"].to_list(), items["hash"].to_list(), model.transform, model.preprocessing)
    folder = shards / _fingerprint(model, items, options, masks)
    folder.mkdir(parents=True, exist_ok=True)
    workers = options.workers or default_workers(model.device)
    started = time.perf_counter()
    decided = _decided(folder, model, pictures, options, workers, progress)
    batches = _batches(len(numbers), options.shard_items, decided["batch_size"])
    missing = [number for number in range(len(batches)) if not _shard_file(folder, number).is_file()]
    done = resumed = len(numbers) - sum(len(rows) for number in missing for rows in batches[number])

    def tick() -> None:
        progress(f"running {model.reference}", done, len(numbers))

    tick()
    reduction = _Reduction(model, PRECISIONS[decided["precision"]], options, masks)
    todo = [rows for number in missing for rows in batches[number]]
    with closing(stream(pictures, todo, reduction, model.device, workers, tick)) as outcomes:
        for number in missing:
            parts = []
            for rows in batches[number]:
                parts.append(next(outcomes))
                _check_finite(parts[-1], items, model)
                done += len(rows)
                tick()
            _write_shard(_shard_file(folder, number), parts, numbers, reduction.empty())
    seconds = time.perf_counter() - started
    result = InferenceResult(folder, len(batches), tuple(masks), {})
    problems = result.problems()
    if problems.height == len(numbers):
        raise InputError(
            f"None of the {len(numbers)} pictures below {root} could be read; the first: {problems['reason'][0]}."
        )
    result.manifest.update(
        model.to_dict(),
        **decided,
        device=str(model.device),
        workers=workers,
        k=options.k,
        scores=options.scores,
        masks={name: len(mask) for name, mask in masks.items()},
        items=len(numbers),
        problems=problems.height,
        resumed_items=resumed,
        seconds=round(seconds, 3),
        images_per_second=round((len(numbers) - resumed) / seconds, 2),
    )
    return result


def _checked_masks(
    masks: Mapping[str, NDArray[np.integer[Any]] | None], model: LoadedModel
) -> dict[str, NDArray[np.int64]]:
    """By name, sorted, so that among equal scores the first output comes first."""
    checked = {}
    for name, mask in masks.items():
        outputs = np.arange(model.outputs) if mask is None else np.asarray(mask)
        if outputs.ndim != 1 or outputs.dtype.kind not in "iu" or len(outputs) == 0:
            raise InputError(f"The mask {name!r} must be a list of output numbers, at least one.")
        if outputs.min() < 0 or outputs.max() >= model.outputs:
            raise InputError(f"The mask {name!r} names outputs that {model.reference} has not: it has {model.outputs}.")
        if len(np.unique(outputs)) < len(outputs):
            raise InputError(f"The mask {name!r} names an output twice.")
        checked[name] = np.sort(outputs).astype(np.int64)
    return checked


def _fingerprint(
    model: LoadedModel, items: pl.DataFrame, options: InferenceOptions, masks: Mapping[str, NDArray[np.int64]]
) -> str:
    """What a shard's content depends on. Workers are not in it: they change nothing."""
    asked = [options.precision, options.batch_size, options.k, options.scores, options.shard_items]
    preprocessing = model.preprocessing.to_dict()
    stated = [model.reference, model.weights_hash, model.device.type, preprocessing, versions(), asked, _FORMAT]
    digest = hashlib.blake2b(json.dumps(stated, sort_keys=True).encode(), digest_size=16)
    for name, mask in masks.items():
        digest.update(json.dumps(name).encode() + mask.tobytes())
    for column in ("item", "path", "hash"):
        digest.update(json.dumps(items[column].to_list()).encode())
    return digest.hexdigest()


def _batches(count: int, shard_items: int, batch_size: int) -> list[list[NDArray[np.int64]]]:
    """Row numbers by shard and batch; no batch reaches over a shard's end, so that a resumed run has the same."""
    rows = np.arange(count)
    shards = [rows[start : start + shard_items] for start in range(0, count, shard_items)]
    return [[shard[start : start + batch_size] for start in range(0, len(shard), batch_size)] for shard in shards]


def _decided(
    folder: Path,
    model: LoadedModel,
    pictures: Pictures,
    options: InferenceOptions,
    workers: int,
    progress: Progress,
) -> dict[str, Any]:
    """Batch size, precision and why; as decided when the run began, where it is resumed."""
    file = folder / "decided.json"
    if file.is_file():
        decided: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return decided
    decided = {"batch_size": options.batch_size or (CPU_BATCH if model.device.type == "cpu" else GPU_BATCH)}
    if options.precision == "auto":
        decided |= choose_precision(model, pictures, decided["batch_size"], workers, progress)._asdict()
    else:
        decided |= {"precision": options.precision, "why": "asked for", "probe": {}}
    _write_atomically(file, lambda path: path.write_text(json.dumps(decided), encoding="utf-8"))
    return decided


class _Reduction:
    """From a batch to what is kept of it; ranks come before any cast."""

    def __init__(
        self,
        model: LoadedModel,
        precision: torch.dtype,
        options: InferenceOptions,
        masks: Mapping[str, NDArray[np.int64]],
    ) -> None:
        self.model = model
        self.precision = precision
        self.k = options.k
        self.full = options.scores == "full"
        self.masks = masks
        self.at_once: int | None = None  # how many pictures the device's memory holds, once that is known

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """The arrays of a shard, on the model's device; `finite` says which rows' numbers are."""
        logits, features = self._forward(batch)
        with torch.inference_mode():
            finite = torch.isfinite(logits).all(dim=1) & torch.isfinite(features).all(dim=1)
            kept = {"finite": finite, "embeddings": _half(features), **_ranked(logits, self.k, "")}
            for place, mask in enumerate(self.masks.values()):
                outputs = torch.from_numpy(mask).to(logits.device)
                ranked = _ranked(logits[:, outputs], self.k, f"mask{place}_")
                classes = ranked[f"mask{place}_classes"]
                ranked[f"mask{place}_classes"] = torch.where(classes < 0, classes, outputs[classes])
                kept |= ranked
            if self.full:
                kept["logits"] = _half(logits)
        return kept

    def _forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        while True:
            at_once = self.at_once or len(batch)
            try:
                parts = [self.model.forward(part, self.precision) for part in batch.split(at_once)]
                return torch.cat([logits for logits, _ in parts]), torch.cat([features for _, features in parts])
            except torch.cuda.OutOfMemoryError as error:
                if at_once == 1:
                    raise ErrataError(
                        f"The memory of {self.model.device} does not hold {self.model.reference} and one picture; "
                        "use another device."
                    ) from error
            self.at_once = min(at_once, len(batch)) // 2 or 1
            torch.cuda.empty_cache()
            warnings.warn(
                f"{self.model.device} is out of memory; taking {self.at_once} pictures at once.", stacklevel=2
            )

    def empty(self) -> dict[str, NDArray[Any]]:
        """The arrays of a shard without one readable picture."""
        shapes: dict[str, tuple[tuple[int, ...], type]] = {"embeddings": ((0, self.model.dimensions), np.float16)}
        for prefix in ("", *(f"mask{place}_" for place in range(len(self.masks)))):
            shapes[f"{prefix}classes"] = ((0, self.k), np.int32)
            shapes[f"{prefix}scores"] = ((0, self.k), np.float32)
            shapes[f"{prefix}logsumexp"] = ((0,), np.float32)
        if self.full:
            shapes["logits"] = ((0, self.model.outputs), np.float16)
        return {name: np.empty(shape, dtype) for name, (shape, dtype) in shapes.items()}


def _ranked(logits: Tensor, k: int, prefix: str) -> dict[str, Tensor]:
    # topk is not stable, and equal scores keep the order of their columns
    scores, classes = logits.sort(dim=1, descending=True, stable=True)
    scores, classes = scores[:, :k], classes[:, :k]
    if (short := k - scores.shape[1]) > 0:
        scores = torch.nn.functional.pad(scores, (0, short), value=float("nan"))
        classes = torch.nn.functional.pad(classes, (0, short), value=-1)
    return {
        f"{prefix}classes": classes,
        f"{prefix}scores": scores,
        f"{prefix}logsumexp": torch.logsumexp(logits, dim=1),
    }


def _half(values: Tensor) -> Tensor:
    top = torch.finfo(torch.float16).max
    return values.clamp(-top, top).half()


# Shards on disk


def _shard_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"


def _check_finite(part: Outcome, items: pl.DataFrame, model: LoadedModel) -> None:
    if part.arrays and not part.arrays["finite"].all():
        row = part.rows[int(np.argmin(part.arrays["finite"]))]
        raise ErrataError(
            f"{model.reference} gives numbers that are not finite for item {items['item'][row]} "
            f"({items['path'][row]}): its weights are damaged, or the precision does not suit it; try fp32."
        )


def _write_shard(
    path: Path, parts: Sequence[Outcome], numbers: NDArray[np.uint32], empty: Mapping[str, NDArray[Any]]
) -> None:
    read = [part for part in parts if part.arrays]
    arrays = {
        name: np.concatenate([none, *(part.arrays[name].astype(none.dtype, copy=False) for part in read)])
        for name, none in empty.items()
    }
    problems = [problem for part in parts for problem in part.problems]
    arrays["items"] = numbers[[row for part in parts for row in part.rows]]
    arrays["problem_items"] = numbers[[row for row, _ in problems]]
    arrays["problem_reasons"] = np.array([reason.replace("\0", " ") for _, reason in problems], dtype=np.str_)

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    _write_atomically(path, write)


def _read_shard(path: Path, masks: Sequence[str]) -> Shard:
    with np.load(path, allow_pickle=False) as arrays:
        items = arrays["items"]

        def predictions(prefix: str) -> Predictions:
            return Predictions(
                items=items,
                classes=arrays[f"{prefix}classes"],
                scores=arrays[f"{prefix}scores"],
                kind="logits",
                logsumexp=arrays[f"{prefix}logsumexp"],
            )

        return Shard(
            items=items,
            predictions=predictions(""),
            masked={name: predictions(f"mask{place}_") for place, name in enumerate(masks)},
            logits=arrays.get("logits"),
            embeddings=arrays["embeddings"],
            problems=list(zip(arrays["problem_items"].tolist(), arrays["problem_reasons"].tolist(), strict=True)),
        )


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        told = error.strerror or error
        raise WorkspaceError(
            f"{path} cannot be written ({told}). Finished shards are kept: make room and run again."
        ) from error
