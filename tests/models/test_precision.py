"""Which precision is taken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from analysis.models import precision
from analysis.models.loaded import LoadedModel
from analysis.models.precision import LEAST_FOR_PROBE, choose_precision
from analysis.models.preprocessing import Pictures, Preprocessing

OWN = Preprocessing((4, 4), 1.0, "center", "bilinear", (0.0,) * 3, (1.0,) * 3)


class Toy(nn.Module):
    """Ten classes; `wrong` is the share of inputs whose best class is another under autocast."""

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.wrong = wrong

    def trunk(self, batch: Tensor) -> Tensor:
        value = batch.flatten(1)[:, :1]
        best = (value * 10).long().clamp(0, 9)
        if torch.is_autocast_enabled("cpu"):
            best = torch.where((value * 1000) % 1 < self.wrong, (best + 1) % 10, best)
        return nn.functional.one_hot(best[:, 0], 10).float() * 8

    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return hidden, hidden


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(picture.getpixel((0, 0))[0]))


def toy(wrong: float) -> LoadedModel:
    return LoadedModel("toy:1", Toy(wrong), to_tensor, OWN, 10, 10, None, torch.device("cpu"))


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """600 items of 200 different pictures."""
    for i in range(200):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
    return Pictures(tmp_path, [f"{i % 200}.png" for i in range(600)], [None] * 600, to_tensor, OWN)


def as_fast(monkeypatch: pytest.MonkeyPatch, speedup: float) -> None:
    monkeypatch.setattr(
        precision, "_seconds", lambda model, batch, dtype: 1.0 if dtype == torch.float32 else 1 / speedup
    )


def test_bf16_is_taken_where_it_is_faster_and_agrees(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    as_fast(monkeypatch, 2)
    choice = choose_precision(toy(0), pictures, 8, 2)
    assert choice.precision == "bf16"
    assert choice.probe["items"] == 75
    assert choice.probe["top1_agreement"] == 1


def test_fp32_stays_where_bf16_is_not_faster(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    as_fast(monkeypatch, 1.05)
    choice = choose_precision(toy(0), pictures, 8, 2)
    assert (choice.precision, choice.probe) == ("fp32", {"speedup": 1.05})


def test_fp32_stays_where_bf16_costs_accuracy(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    as_fast(monkeypatch, 2)
    choice = choose_precision(toy(0.2), pictures, 8, 2)
    assert choice.precision == "fp32"
    assert "more than 0.3" in choice.why
    assert choice.probe["expected_top1_loss"] > 0.003


def test_a_wrong_choice_between_equals_costs_nothing(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    as_fast(monkeypatch, 2)
    model = toy(1)
    monkeypatch.setattr(Toy, "head", lambda self, hidden: (hidden * 1e-6, hidden))
    choice = choose_precision(model, pictures, 8, 2)
    assert choice.precision == "bf16"
    assert choice.probe["top1_agreement"] < 1


def test_an_encoder_stays_in_fp32(pictures: Pictures) -> None:
    assert choose_precision(replace(toy(0), outputs=0), pictures, 8, 2).precision == "fp32"


def test_few_items_are_not_worth_a_trial(pictures: Pictures) -> None:
    few = Pictures(pictures.root, pictures.paths[: LEAST_FOR_PROBE - 1], pictures.hashes, to_tensor, OWN)
    assert choose_precision(toy(0), few, 8, 2).precision == "fp32"


def test_pictures_that_cannot_be_read_end_in_fp32(pictures: Pictures) -> None:
    gone = Pictures(pictures.root / "gone", pictures.paths, pictures.hashes, to_tensor, OWN)
    assert choose_precision(toy(0), gone, 8, 2).precision == "fp32"


def test_the_trial_s_clock_runs() -> None:
    assert precision._seconds(toy(0), torch.from_numpy(np.zeros((2, 3, 4, 4), np.float32)), torch.float32) > 0
