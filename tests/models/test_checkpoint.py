"""One's own weights from a file."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from analysis.errors import InputError
from analysis.models import load
from analysis.models.preprocessing import PreprocessingWarning

ARCHITECTURE = "test_resnet"
IDS = ["cat", "dog", "owl"]


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return timm.create_model(ARCHITECTURE, pretrained=False, num_classes=len(IDS)).eval()


class Classes:
    """As much of a class list as a family needs."""

    name = "folders"

    def __init__(self, ids: list[str]) -> None:
        self.ids = self.names = ids

    def __len__(self) -> int:
        return len(self.ids)


def tensors(network: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def test_one_pass_gives_the_model_s_logits_and_pooled_features(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(tensors(network), path)
    model = load(f"checkpoint:{path}?arch={ARCHITECTURE}", device="cpu")
    batch = torch.randn(2, 3, *model.preprocessing.size)
    logits, features = model.forward(batch)
    with torch.inference_mode():
        assert torch.allclose(logits, network(batch), atol=1e-5)
        pooled = network.forward_head(network.forward_features(batch), pre_logits=True)
    assert torch.allclose(features, pooled, atol=1e-5)
    assert (model.outputs, model.dimensions) == (3, features.shape[1])
    assert logits.dtype == features.dtype == torch.float32
    assert model.classes is None
    with pytest.raises(InputError, match="label_names"):
        model.class_indices(IDS)


def test_the_architecture_and_classes_may_stand_in_a_json_file_beside_it(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(tensors(network), path)
    config = {
        "architecture": ARCHITECTURE,
        "label_names": IDS,
        "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 0.5, "license": "mit"},
    }
    path.with_suffix(".json").write_text(json.dumps(config))
    model = load(f"checkpoint:{path}", device="cpu")
    assert model.classes == tuple(IDS)
    assert (model.preprocessing.size, model.preprocessing.crop, model.licence) == ((96, 96), 0.5, "mit")
    assert model.class_indices(["owl", "newt", "cat"]).tolist() == [2, -1, 0]
    with pytest.raises(InputError, match="none of the workspace's classes"):
        model.class_indices(["newt"])


def test_the_architecture_may_stand_in_the_metadata(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(tensors(network), path, {"architecture": ARCHITECTURE, "label_names": json.dumps(IDS)})
    assert load(f"checkpoint:{path}", device="cpu").classes == tuple(IDS)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_torch_file_of_tensors_is_read(network: Any, wrapped: bool, tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    plain = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"arch": ARCHITECTURE, "state_dict": plain} if wrapped else plain, path)
    reference = f"checkpoint:{path}" + ("" if wrapped else f"?arch={ARCHITECTURE}")
    model = load(reference, device="cpu", classes=Classes(IDS))  # type: ignore[arg-type]
    assert model.classes == tuple(IDS)
    assert model.details["classes_from"].startswith("assumed")


def test_the_same_weights_have_the_same_hash_whatever_the_file(network: Any, tmp_path: Path) -> None:
    save_file(tensors(network), tmp_path / "a.safetensors")
    torch.save(network.state_dict(), tmp_path / "b.pth")
    changed = {name: tensor + 1 if name == "fc.bias" else tensor for name, tensor in tensors(network).items()}
    save_file(changed, tmp_path / "c.safetensors")
    a, b, c = (
        load(f"checkpoint:{tmp_path / name}?arch={ARCHITECTURE}", device="cpu").weights_hash
        for name in ("a.safetensors", "b.pth", "c.safetensors")
    )
    assert a == b != c


def test_another_preprocessing_warns_and_is_used(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(tensors(network), path)
    with pytest.warns(PreprocessingWarning, match="crop"):
        model = load(f"checkpoint:{path}?arch={ARCHITECTURE}", device="cpu", preprocessing={"crop": 0.5})
    assert not model.preprocessing.own
    assert model.to_dict()["preprocessing"]["changed"] == ("crop",)
    assert "size=320" in str(model.transform)  # 160 / 0.5


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_is_refused_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "zip.pth")
    (tmp_path / "raw.pkl").write_bytes(pickle.dumps(Evil()))
    for name in ("zip.pth", "raw.pkl"):
        with pytest.raises(InputError, match="refused"):
            load(f"checkpoint:{tmp_path / name}?arch={ARCHITECTURE}", device="cpu")
    assert not Path("executed").exists()


def test_what_cannot_be_loaded_says_why(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(tensors(network), path)
    half = tmp_path / "half.safetensors"
    half.write_bytes(path.read_bytes()[:1000])
    missing = {name: tensor for name, tensor in tensors(network).items() if name != "fc.weight"}
    save_file(missing, tmp_path / "missing.safetensors")
    for reference, told in {
        f"checkpoint:{tmp_path / 'gone.pth'}": "gone.pth",
        f"checkpoint:{path}": "which architecture",
        f"checkpoint:{path}?arch=resnet999": "resnet999",
        f"checkpoint:{path}?arch=test_vit": "do not fit",
        f"checkpoint:{tmp_path / 'missing.safetensors'}?arch={ARCHITECTURE}": "do not fit",
        f"checkpoint:{half}?arch={ARCHITECTURE}": "half.safetensors",
    }.items():
        with pytest.raises(InputError, match=told):
            load(reference, device="cpu")
