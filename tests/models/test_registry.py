"""The registry of model families."""

import subprocess
import sys

import pytest

from analysis.errors import InputError
from analysis.models import FAMILIES, load, resolve


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        ("timm:resnet50.a1_in1k", ("timm", "resnet50.a1_in1k")),
        ("open_clip:ViT-B-32:/some/path.pt", ("open_clip", "ViT-B-32:/some/path.pt")),
        ("open_clip:hf-hub:org/repo", ("open_clip", "hf-hub:org/repo")),
        ("checkpoint:a/b.safetensors?arch=resnet18", ("checkpoint", "a/b.safetensors?arch=resnet18")),
        (" efficientnet-lite:0 ", ("efficientnet-lite", "0")),
    ],
)
def test_a_reference_is_a_family_and_the_rest(reference: str, resolved: tuple[str, str]) -> None:
    assert resolve(reference) == resolved


@pytest.mark.parametrize("reference", ["", "resnet50", "keras:resnet50", "timm:", ":x", "os.system:x"])
def test_an_unknown_family_is_an_error_that_lists_those_known(reference: str) -> None:
    with pytest.raises(InputError) as caught:
        load(reference)
    assert all(family in str(caught.value) for family in FAMILIES)


def test_the_registry_does_not_import_torch() -> None:
    code = "import sys, analysis.models; assert not {'torch', 'timm', 'open_clip'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_device_or_preprocessing_is_an_error() -> None:
    with pytest.raises(InputError, match="abacus"):
        load("efficientnet-lite:0", device="abacus")
    with pytest.raises(InputError, match="colour"):
        load("efficientnet-lite:0", preprocessing={"colour": 1})
    with pytest.raises(InputError, match="size"):
        load("efficientnet-lite:0", preprocessing={"size": -3})
