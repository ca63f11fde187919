"""Batches of pictures through a model, with reading, transforming and computing under way at the same time.

On a CPU every thread reads a batch, transforms it and runs it through the model by itself, with one torch thread:
no core waits for another, and a batch's numbers do not depend on how many threads there are. On CUDA and MPS
processes read and transform while the device computes.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from analysis.models.preprocessing import Batch, Pictures


class Outcome(NamedTuple):
    """What became of a batch."""

    rows: list[int]
    arrays: dict[str, NDArray[Any]]
    """Empty where no picture could be read."""
    problems: list[tuple[int, str]]
    """Row and reason."""


Compute = Callable[[Tensor], dict[str, Tensor]]
"""From a batch on the device to named arrays with a row a picture."""


def stream(
    pictures: Pictures,
    rows: Sequence[NDArray[np.int64]],
    compute: Compute,
    device: torch.device,
    workers: int,
    tick: Callable[[], None],
) -> Generator[Outcome]:
    """Each batch's outcome in order, a bounded number of batches in memory; `tick` is called while waiting."""
    flow = _by_threads if device.type == "cpu" else _by_processes
    return flow(pictures, rows, compute, device, workers, tick)


def _by_threads(
    pictures: Pictures,
    rows: Sequence[NDArray[np.int64]],
    compute: Compute,
    device: torch.device,
    workers: int,
    tick: Callable[[], None],
) -> Generator[Outcome]:
    def work(some: NDArray[np.int64]) -> Outcome:
        return _arrived(batch := pictures.load(some), _computed(batch, compute, device))

    torch_threads = torch.get_num_threads()
    waiting: deque[Future[Outcome]] = deque()
    pool = ThreadPoolExecutor(workers, "inference", initializer=torch.set_num_threads, initargs=(1,))
    try:
        for some in rows:
            waiting.append(pool.submit(work, some))
            if len(waiting) > 2 * workers:
                yield _awaited(waiting.popleft(), tick)
        while waiting:
            yield _awaited(waiting.popleft(), tick)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)  # the threads' own setting also became that of threads to come


def _awaited(future: "Future[Outcome]", tick: Callable[[], None]) -> Outcome:
    while not wait([future], timeout=0.5).done:
        tick()
    return future.result()


def _by_processes(
    pictures: Pictures,
    rows: Sequence[NDArray[np.int64]],
    compute: Compute,
    device: torch.device,
    workers: int,
    tick: Callable[[], None],
) -> Generator[Outcome]:
    loader = DataLoader(
        _BatchDataset(pictures, rows), batch_size=None, num_workers=workers, pin_memory=device.type == "cuda"
    )
    told = time.monotonic()
    before: tuple[Batch, dict[str, Tensor]] | None = None
    for batch in loader:
        # The device is given its next batch before the last one's results are waited for.
        now = batch, _computed(batch, compute, device)
        if before is not None:
            yield _arrived(*before)
        before = now
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            tick()
    if before is not None:
        yield _arrived(*before)


def _computed(batch: Batch, compute: Compute, device: torch.device) -> dict[str, Tensor]:
    if batch.tensor is None:
        return {}
    layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
    return compute(batch.tensor.to(device, non_blocking=True, memory_format=layout))


def _arrived(batch: Batch, tensors: Mapping[str, Tensor]) -> Outcome:
    return Outcome(batch.rows, {name: tensor.cpu().numpy() for name, tensor in tensors.items()}, batch.problems)


class _BatchDataset(Dataset[Batch]):
    """What a reading process of torch's DataLoader is given."""

    def __init__(self, pictures: Pictures, rows: Sequence[NDArray[np.int64]]) -> None:
        self.pictures = pictures
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Batch:
        return self.pictures.load(self.rows[number])


def default_workers(device: torch.device) -> int:
    """A thread a core on a CPU; beside a GPU a reading process a core but one, at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if device.type == "cpu" else max(1, min(cores - 1, 16))
