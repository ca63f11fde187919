"""Batches through a model by threads and by processes."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.models import flow
from analysis.models.preprocessing import Pictures, Preprocessing

CPU = torch.device("cpu")
OWN = Preprocessing((4, 4), 1.0, "center", "bilinear", (0.0,) * 3, (1.0,) * 3)
WAYS = [flow._by_threads, flow._by_processes]


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.resize((4, 4)), dtype=np.float32)).permute(2, 0, 1)


def mean(batch: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"mean": batch.mean(dim=(1, 2, 3))}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Twenty grey pictures, the i-th of value 10 i; the eighth and all of the last batch of four are broken."""
    root = tmp_path_factory.mktemp("pictures")
    names = [f"{i}.png" for i in range(20)]
    for i, name in enumerate(names):
        Image.new("RGB", (5, 5), (10 * i,) * 3).save(root / name)
    for i in (7, 16, 17, 18, 19):
        (root / names[i]).write_bytes(b"broken")
    return Pictures(root, names, [None] * 20, to_tensor, OWN)


def batches(size: int = 4) -> list[np.ndarray]:
    return [np.arange(start, start + size) for start in range(0, 20, size)]


@pytest.mark.parametrize("way", WAYS)
def test_outcomes_come_in_order_with_every_problem(way: Callable[..., Any], pictures: Pictures) -> None:
    outcomes = list(way(pictures, batches(), mean, CPU, 2, lambda: None))
    assert [row for outcome in outcomes for row in outcome.rows] == [*range(7), *range(8, 16)]
    assert [row for outcome in outcomes for row, _ in outcome.problems] == [7, 16, 17, 18, 19]
    means = np.concatenate([outcome.arrays["mean"] for outcome in outcomes if outcome.arrays])
    assert means.tolist() == [10.0 * i for i in (*range(7), *range(8, 16))]
    assert outcomes[-1].arrays == {}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_to_do_gives_nothing(way: Callable[..., Any], pictures: Pictures) -> None:
    assert list(way(pictures, [], mean, CPU, 2, lambda: None)) == []


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_model_reaches_the_caller(way: Callable[..., Any], pictures: Pictures) -> None:
    def failing(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        list(way(pictures, batches(), failing, CPU, 2, lambda: None))


def test_every_thread_computes_alone_and_torch_s_setting_survives(pictures: Pictures) -> None:
    before = torch.get_num_threads()
    threads = set()

    def counted(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        threads.add(torch.get_num_threads())
        return mean(batch)

    list(flow.stream(pictures, batches(), counted, CPU, 2, lambda: None))
    assert threads == {1}
    assert torch.get_num_threads() == before


def test_memory_is_bounded_by_a_few_batches_a_worker(pictures: Pictures) -> None:
    started = 0
    lock = threading.Lock()

    def counted(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal started
        with lock:
            started += 1
        return mean(batch)

    outcomes = flow.stream(pictures, batches(1), counted, CPU, 2, lambda: None)
    next(outcomes)
    assert started <= 5  # twice the workers, and the one taken
    outcomes.close()  # and nothing goes on behind the caller's back
    seen = started
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inference")]
    assert started == seen < 19


def test_progress_is_told_while_a_batch_takes_long(pictures: Pictures) -> None:
    told = threading.Event()

    def slow(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        assert told.wait(30), "nobody was told anything"
        return mean(batch)

    list(flow.stream(pictures, [np.arange(2)], slow, CPU, 1, told.set))
