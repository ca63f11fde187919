"""How well inference fills the cores: `python benchmarks/inference.py IMAGES [--model REFERENCE]`.

efficiency = (CPU-seconds of loading alone on one thread + cores x wall of the forward pass alone on all cores)
             / (cores x wall of the whole), over the same batches. On a GPU: rate of the whole / rate of the bare
forward pass. Each round measures all three one after the other, so that a busy machine disturbs them alike; the
medians of the rounds count.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from analysis.datasets.scan import find_files
from analysis.inference import InferenceOptions, infer
from analysis.models import load
from analysis.models.flow import default_workers
from analysis.models.loaded import LoadedModel
from analysis.models.precision import PRECISIONS
from analysis.models.preprocessing import Pictures


def main() -> None:
    """Measure and print one line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", default="efficientnet-lite:0")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = find_files(arguments.images).images[: arguments.items]
    model = load(arguments.model)
    precision = PRECISIONS[arguments.precision]
    pictures = Pictures(arguments.images, paths, [None] * len(paths), model.transform, model.preprocessing)
    starts = range(0, len(paths), arguments.batch)
    rows = [np.arange(start, min(start + arguments.batch, len(paths))) for start in starts]
    cores = default_workers(model.device)
    found = []
    for number in range(arguments.rounds):
        loading, batches = _loading(pictures, rows)
        forward = _forward(model, batches, precision)
        del batches
        whole = _whole(model, arguments.images, paths, arguments.precision, arguments.batch)
        if model.device.type == "cpu":
            efficiency = (loading + cores * forward) / (cores * whole)
        else:
            efficiency = forward / whole
        found.append((loading, forward, whole, efficiency))
        print(f"round {number + 1}: {_told(found[-1], len(paths))}", flush=True)
    middle = tuple(statistics.median(values) for values in zip(*found, strict=True))
    what = f"{arguments.model} {arguments.precision}, batches of {arguments.batch}, {cores} cores"
    print(f"{what}: {_told(middle, len(paths))}")


def _told(figures: tuple[float, ...], count: int) -> str:
    loading, forward, whole, efficiency = figures
    each = 1000 / count
    return (
        f"loading {loading * each:.2f} CPU-ms an image, forward alone {forward * each:.2f} ms, "
        f"whole {whole * each:.2f} ms ({count / whole:.0f} images/s), efficiency {efficiency:.2f}"
    )


def _loading(pictures: Pictures, rows: list[np.ndarray]) -> tuple[float, list[Tensor]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.thread_time()
    batches = [pictures.load(some).tensor for some in rows]
    seconds = time.thread_time() - started
    torch.set_num_threads(threads)
    return seconds, [batch for batch in batches if batch is not None]


def _forward(model: LoadedModel, batches: list[Tensor], precision: torch.dtype) -> float:
    placed = [batch.to(model.device, memory_format=torch.channels_last) for batch in batches]

    def once(some: list[Tensor]) -> None:
        for batch in some:
            logits, _ = model.forward(batch, precision)
        logits.sum().item()  # waits for the device

    once(placed[:2])
    return _wall(lambda: once(placed))


def _whole(model: LoadedModel, root: Path, paths: list[str], precision: str, batch: int) -> float:
    items = pl.DataFrame({"item": range(len(paths)), "path": paths, "hash": [None] * len(paths)}).with_columns(
        pl.col("item").cast(pl.UInt32), pl.col("hash").cast(pl.String)
    )
    options = InferenceOptions(precision=precision, batch_size=batch)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        return _wall(lambda: infer(model, items, root, Path(folder), options))


def _wall(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
