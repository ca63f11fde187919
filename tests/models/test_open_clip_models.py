"""Zero-shot classification with models of open_clip."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from analysis.errors import InputError
from analysis.models import load
from analysis.models.open_clip_models import TEMPLATES, class_names
from analysis.models.timm_models import imagenet_wnids

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


class Classes:
    """As much of a class list as a family needs."""

    def __init__(self, ids: list[str], names: list[str]) -> None:
        self.ids, self.names, self.name = ids, names, "pets"

    def __len__(self) -> int:
        return len(self.ids)


PETS: Any = Classes(["c", "d", "b"], ["cat", "dog", "guinea_pig"])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*rest: object, **more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 0.9 million random weights as open_clip's `local-dir` has it."""
    path = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear"}
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": preprocess}))
    network = open_clip.model.CLIP(**CONFIG)
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        path / "open_clip_model.safetensors",
    )
    return path


def test_logits_are_those_of_open_clip_s_own_classifier(folder: Path) -> None:
    model = load(f"open_clip:local-dir:{folder}", classes=PETS, device="cpu")
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    network.eval()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    assert torch.equal(model.transform(picture), transform(picture))
    batch = torch.stack([transform(picture), torch.randn(3, 32, 32)])
    text = open_clip.build_zero_shot_classifier(
        network,
        open_clip.get_tokenizer(f"local-dir:{folder}"),
        ["cat", "dog", "guinea pig"],
        open_clip.SIMPLE_IMAGENET_TEMPLATES,
    )
    with torch.inference_mode():
        embedded = network.encode_image(batch)
        expected = network.logit_scale.exp() * functional.normalize(embedded, dim=-1) @ text
    logits, features = model.forward(batch)
    assert logits.shape == (2, 3)
    assert torch.allclose(logits, expected, atol=1e-4)
    assert torch.allclose(features, embedded, atol=1e-5)
    assert (model.outputs, model.dimensions, model.classes) == (3, 16, ("c", "d", "b"))
    assert model.preprocessing.interpolation == "bilinear"
    assert model.details["zero_shot"] == {"templates": "simple", "prompts": 7, "names": "class list pets"}


def test_the_text_classifier_is_kept_in_the_cache_and_used_from_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    reference = f"open_clip:local-dir:{folder}"
    first = load(
        reference, classes=PETS, device="cpu", cache=tmp_path, progress=lambda what, done, total: told.append(done)
    )
    assert told == [0, 3]
    (kept,) = tmp_path.iterdir()
    other = load(reference, classes=PETS, device="cpu", cache=tmp_path, templates="openai")
    assert len(list(tmp_path.iterdir())) == 2, "other prompts are another classifier"
    assert other.weights_hash != first.weights_hash
    build = open_clip.build_zero_shot_classifier
    monkeypatch.setattr(open_clip, "build_zero_shot_classifier", None)
    again = load(reference, classes=PETS, device="cpu", cache=tmp_path)
    assert again.weights_hash == first.weights_hash
    kept.write_bytes(b"damaged")
    monkeypatch.setattr(open_clip, "build_zero_shot_classifier", build)
    assert load(reference, classes=PETS, device="cpu", cache=tmp_path).weights_hash == first.weights_hash


def test_weights_from_a_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny-test.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-test.json")
    weights = folder / "open_clip_model.safetensors"
    model = load(f"open_clip:tiny-test:{weights}", classes=PETS, device="cpu")
    assert model.weights_hash == load(f"open_clip:local-dir:{folder}", classes=PETS, device="cpu").weights_hash
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"damaged\.safetensors"):
        load(f"open_clip:tiny-test:{damaged}", classes=PETS, device="cpu")


def test_imagenet_s_classes_have_curated_names_and_the_80_prompts() -> None:
    ids = imagenet_wnids()
    classes = Classes([ids[134], ids[517]], ["crane", "crane"])
    assert class_names(classes)[1] == ["crane bird", "construction crane"]
    assert class_names(Classes(["n1", ids[1]], ["a_b", "c"]))[1] == ["a b", "c"]
    assert [len(prompts) for prompts in TEMPLATES.values()] == [80, 7]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("open_clip:ViT-B-32:openai", "open_clip:ViT-B-32:openai"),
        ("open_clip:ViT-B-32:nonsense", "laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32", "does not say which weights"),
        ("open_clip:ViT-B-32:/no/such/file.pt", "/no/such/file.pt"),
        ("open_clip:ViT-B-23:openai", "did you mean"),
        ("open_clip:hf-hub:nobody/nothing", "nobody/nothing"),
        ("open_clip:local-dir:/no/such/folder", "/no/such/folder"),
    ],
)
def test_missing_weights_are_an_error_that_names_them(
    reference: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=told):
        load(reference, classes=PETS, device="cpu")


def test_a_folder_without_weights_is_an_error_not_a_random_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    with pytest.raises(InputError, match="holds no weights"):
        load(f"open_clip:local-dir:{tmp_path}", classes=PETS, device="cpu")


def test_without_classes_it_is_an_encoder(folder: Path) -> None:
    encoder = load(f"open_clip:local-dir:{folder}", device="cpu")
    classifier = load(f"open_clip:local-dir:{folder}", classes=PETS, device="cpu")
    batch = torch.randn(2, 3, 32, 32)
    assert encoder.forward(batch)[0].shape == (2, 0)
    assert torch.equal(encoder.forward(batch)[1], classifier.forward(batch)[1])
    assert (encoder.outputs, encoder.dimensions) == (0, 16)
    with pytest.raises(InputError, match="encoder"):
        encoder.class_indices(["c"])


def test_unknown_templates_are_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match="templates"):
        load(f"open_clip:local-dir:{folder}", classes=PETS, device="cpu", templates="shouted")
