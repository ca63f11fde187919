"""Models by reference: `FAMILY:REST` names any model that Errata can run.

Importing this costs nothing: torch and the model libraries are imported when a model is loaded.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.labels.classes import ClassList
    from analysis.models.loaded import LoadedModel

FAMILIES = {
    "timm": "analysis.models.timm_models",
    "open_clip": "analysis.models.open_clip_models",
    "checkpoint": "analysis.models.checkpoint",
    "efficientnet-lite": "analysis.models.efficientnet_lite",
}
"""A family's name -> its module, which has `FORM` (what a reference looks like) and `load(argument, request)`."""


def resolve(reference: str) -> tuple[str, str]:
    """Split a reference into its family and the rest; InputError names the families if it is of none."""
    family, _, argument = reference.strip().partition(":")
    if family not in FAMILIES or not argument:
        raise InputError(
            f"{reference!r} is no model reference: write FAMILY:NAME, where FAMILY is one of "
            f"{', '.join(FAMILIES)}; for example efficientnet-lite:0 or timm:resnet50.a1_in1k."
        )
    return family, argument


def load(
    reference: str,
    *,
    classes: "ClassList | None" = None,
    device: str = "auto",
    preprocessing: Mapping[str, Any] | None = None,
    templates: str = "auto",
    cache: Path | None = None,
    progress: Progress = silent,
) -> "LoadedModel":
    """The model behind a reference, with its weights, on a device ("auto": CUDA before MPS before the CPU).

    `classes` are what zero-shot models are to choose from (without, they are encoders alone), and what a
    checkpoint without class names is taken to know. `preprocessing` changes parts of the model's own (keys of
    `Preprocessing`) and warns. `templates` are the prompts of zero-shot models: "auto", "openai" (80) or "simple"
    (7). `cache` is a folder that keeps zero-shot classifiers, which take long to build.
    InputError: an unknown model, or weights that cannot be had. A model is never returned with random weights.
    """
    family, argument = resolve(reference)
    module = importlib.import_module(FAMILIES[family])
    from analysis.models.loaded import Request, choose_device  # imports torch
    from analysis.models.preprocessing import checked

    request = Request(
        reference=reference.strip(),
        classes=classes,
        device=choose_device(device),
        preprocessing=checked(preprocessing or {}),
        templates=templates,
        cache=cache,
        progress=progress,
    )
    model: LoadedModel = module.load(argument, request)
    return model
