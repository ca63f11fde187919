"""`checkpoint:PATH[?arch=NAME]`: one's own weights for an architecture of timm, from safetensors or a torch file.

The architecture is said by the first of: `?arch=NAME`; a JSON file beside the weights (`PATH` with the suffix
`.json`, or `config.json` in the same folder); the metadata of the safetensors file; the entry `arch` of a
checkpoint written by timm's `train.py`. The JSON file is the one that timm saves with a model, of which are read:

    {"architecture": "resnet18", "num_classes": 3, "label_names": ["cat", "dog", "owl"], "model_args": {},
     "pretrained_cfg": {"input_size": [3, 224, 224], "mean": [...], "std": [...], "crop_pct": 0.95,
                        "interpolation": "bicubic", "license": "mit"}}

`label_names` are the ids of the outputs' classes in order. Torch files are read with `weights_only`, so that
nothing in them is executed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import safe_open
from timm.models import load_state_dict
from torch import Tensor

from analysis.errors import InputError
from analysis.models.loaded import LoadedModel, Request
from analysis.models.timm_models import classifier, imagenet_wnids, pretrained_config

FORM = "checkpoint:PATH[?arch=NAME]"


def load(argument: str, request: Request) -> LoadedModel:
    """The model of a file; InputError where it is missing, unsafe, of unknown architecture, or does not fit it."""
    name, _, arch = argument.partition("?arch=")
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"There is no file {path} to load weights from.")
    config = _config(path)
    state = _weights(path)
    architecture = arch or config.get("architecture") or config.get("arch")
    if not architecture:
        raise InputError(
            f"{path} does not say which architecture its weights are for; write checkpoint:{path}?arch=NAME with "
            f'a name of timm\'s, or {{"architecture": "NAME"}} into {path.with_suffix(".json")}.'
        )
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise InputError(f"timm has no architecture {architecture!r}, which {path} is said to hold.")
    labels = _label_names(config, path)
    model = _fitting(architecture, config, state, len(labels) if labels else None, path)
    pretrained = {**pretrained_config(model), **_mapping(config.get("pretrained_cfg"), "pretrained_cfg", path)}
    if not config.get("pretrained_cfg") or "license" not in config["pretrained_cfg"]:
        pretrained["license"] = None  # timm's own weights' licence says nothing of these
    classes, assumed = _classes(labels, model.num_classes, request)
    return classifier(
        request,
        model,
        pretrained,
        classes,
        details={"architecture": architecture, "source": str(path), "classes_from": assumed},
    )


def _config(path: Path) -> dict[str, Any]:
    for beside in (path.with_suffix(".json"), path.with_name("config.json")):
        if beside.is_file():
            try:
                return _mapping(json.loads(beside.read_text(encoding="utf-8")), "content", beside)
            except (OSError, ValueError) as error:
                raise InputError(f"{beside} cannot be read as JSON: {error}.") from error
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return dict(file.metadata() or {})
        except Exception as error:  # the library's error derives from Exception itself
            raise InputError(f"{path} is no whole safetensors file: {error}.") from error
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # _weights reads it again and tells what is wrong
        return {}
    arch = checkpoint.get("arch") if isinstance(checkpoint, Mapping) else None
    return {"architecture": arch} if isinstance(arch, str) else {}


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # unpickling, zip, safetensors errors
        raise InputError(
            f"The weights in {path} cannot be loaded ({type(error).__name__}): it must be a safetensors file or a "
            "torch file of tensors alone. Files that need code to be run are refused."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no plain state dict, names with tensors; save `model.state_dict()`.")
    return dict(state)


def _fitting(
    architecture: str, config: Mapping[str, Any], state: Mapping[str, Tensor], labels: int | None, path: Path
) -> Any:
    known = _mapping(config.get("pretrained_cfg"), "pretrained_cfg", path)
    layer = timm.get_pretrained_cfg_value(architecture, "classifier")
    last = state.get(f"{layer}.weight") if isinstance(layer, str) else None
    count = labels or (last.shape[0] if last is not None else None)
    count = count or config.get("num_classes") or known.get("num_classes") or 1000
    arguments = _mapping(config.get("model_args"), "model_args", path)
    try:
        model = timm.create_model(architecture, pretrained=False, num_classes=int(count), **arguments)
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, ValueError) as error:
        told = str(error).strip().splitlines()
        raise InputError(
            f"The weights in {path} do not fit {architecture} with {count} classes: {' '.join(told[:2])[:300]}"
        ) from error
    return model


def _classes(labels: Sequence[str] | None, outputs: int, request: Request) -> tuple[Sequence[str] | None, str]:
    if labels is not None:
        return labels, "label_names of the checkpoint"
    if request.classes is not None and len(request.classes) == outputs:
        return request.classes.ids, "assumed: the workspace's classes in their order"
    if outputs == 1000:
        return imagenet_wnids(), "assumed: ImageNet's 1,000 in their usual order"
    return None, "unknown"


def _label_names(config: Mapping[str, Any], path: Path) -> list[str] | None:
    names = config.get("label_names") or _mapping(config.get("pretrained_cfg"), "pretrained_cfg", path).get(
        "label_names"
    )
    if names is None:
        return None
    if isinstance(names, str):  # metadata of safetensors holds strings alone
        try:
            names = json.loads(names)
        except ValueError:
            names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InputError(f"label_names of {path} must be a list of different class ids.")
    return names


def _mapping(value: Any, what: str, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"The {what} of {path} must be a JSON object.")
    return value
