"""A model with its weights, ready to be shown pictures: what every family returns."""

import hashlib
import platform
import socket
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.models.preprocessing import Preprocessing
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.labels.classes import ClassList


@dataclass(frozen=True)
class Request:
    """What `analysis.models.load` asks of a family."""

    reference: str
    classes: "ClassList | None"
    device: torch.device
    preprocessing: Mapping[str, Any]
    templates: str = "auto"
    cache: Path | None = None
    progress: Progress = silent


class Classifier(Protocol):
    """The network of a LoadedModel, an nn.Module in two parts."""

    def trunk(self, batch: Tensor) -> Tensor:
        """(n, 3, h, w) -> what the head takes; may run in a reduced precision."""

    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Always in float32, as logits of 8 bits are full of ties: -> logits (n, C), features (n, d)."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, its weights on a device, and all that a manifest says of it."""

    reference: str
    module: nn.Module
    """A `Classifier` in evaluation mode."""
    transform: Callable[[Image.Image], Tensor]
    """An RGB picture -> (3, h, w) float32; can be pickled."""
    preprocessing: Preprocessing
    outputs: int
    """C, how many classes have a logit; 0: an encoder, good for embeddings alone."""
    dimensions: int
    """d, the length of the pooled features before the classifier."""
    classes: tuple[str, ...] | None
    """The id of each output, a wnid for ImageNet's; None where nobody says."""
    device: torch.device
    licence: str | None = None
    """Of the weights, where known."""
    seen_in_training: Literal["yes", "no", "unknown"] = "unknown"
    """Whether it was trained on the items at hand; whoever evaluates knows better."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the family tells: where the weights come from, the prompts of a zero-shot classifier."""

    def forward(self, batch: Tensor, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """One pass over (n, 3, h, w) on the model's device -> logits (n, C) and pooled features (n, d), float32.

        In a reduced precision all but the classifier runs under autocast.
        """
        classifier = cast(Classifier, self.module)
        with torch.inference_mode():
            with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
                hidden = classifier.trunk(batch)
            logits, features = classifier.head(hidden.float())
            return logits.float(), features.float()

    def to(self, device: str) -> "LoadedModel":
        """The same on another device; "auto" leaves it where it is."""
        chosen = self.device if device == "auto" else choose_device(device)
        if chosen == self.device:
            return self
        return replace(self, module=_placed(self.module, chosen), device=chosen)

    def class_indices(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """(C,) for each output the index of its class in `ids`, a workspace's class list; -1 where it has none.

        InputError: the outputs' classes are not known, or none of them is in the list.
        """
        if self.outputs == 0:
            raise InputError(f"{self.reference} is an encoder without classes; it gives embeddings alone.")
        if self.classes is None:
            raise InputError(
                f"{self.reference} does not say which classes its {self.outputs} outputs are; "
                "name them in the checkpoint's JSON file under label_names."
            )
        place = {class_id: index for index, class_id in enumerate(ids)}
        indices = np.array([place.get(class_id, -1) for class_id in self.classes], dtype=np.int32)
        if (indices < 0).all():
            raise InputError(
                f"{self.reference} knows none of the workspace's classes: its first is {self.classes[0]!r}, "
                f"the workspace's is {ids[0]!r}."
            )
        return indices

    @cached_property
    def weights_hash(self) -> str:
        """BLAKE2b of 128 bits over every parameter and buffer: which weights these are, wherever from."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @cached_property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def to_dict(self) -> dict[str, Any]:
        """For a manifest: plain values."""
        return {
            "model": self.reference,
            "weights_hash": self.weights_hash,
            "parameters": self.parameters,
            "outputs": self.outputs,
            "output_classes": None if self.classes is None else list(self.classes),
            "dimensions": self.dimensions,
            "preprocessing": self.preprocessing.to_dict(),
            "licence": self.licence,
            "seen_in_training": self.seen_in_training,
            "versions": versions(),
            **self.details,
        }


def finished(
    request: Request,
    module: nn.Module,
    *,
    transform: Callable[[Image.Image], Tensor],
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    licence: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """What a family ends with: the module placed, frozen and tried once on an empty picture."""
    module = _placed(module.eval().requires_grad_(False), request.device)
    model = LoadedModel(
        reference=request.reference,
        module=module,
        transform=transform,
        preprocessing=preprocessing,
        outputs=0,
        dimensions=0,
        classes=None if classes is None else tuple(classes),
        device=request.device,
        licence=licence,
        details=details or {},
    )
    logits, features = model.forward(torch.zeros(1, 3, *preprocessing.size, device=request.device))
    if logits.ndim != 2 or features.ndim != 2:
        raise InputError(
            f"{request.reference} cannot be used: for one picture it gives logits of the shape "
            f"{tuple(logits.shape[1:])} and features of the shape {tuple(features.shape[1:])}, not two lists."
        )
    if model.classes is not None and len(model.classes) != logits.shape[1]:
        raise InputError(
            f"{request.reference} has {logits.shape[1]} outputs, but {len(model.classes)} class names are given."
        )
    return replace(model, outputs=logits.shape[1], dimensions=features.shape[1])


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA, else MPS, else the CPU. InputError where it is missing."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and torch.cuda.is_available():
            device = torch.device("cuda", torch.cuda.current_device())
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"The device {name!r} cannot be used here; take auto, cpu, cuda or mps.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"The device {name!r} is not supported; take auto, cpu, cuda or mps.")
    return device


def _placed(module: nn.Module, device: torch.device) -> nn.Module:
    # Convolutions are about twice as fast with channels last, on the CPU and on CUDA; MPS gains nothing.
    return module.to(device) if device.type == "mps" else module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def versions() -> dict[str, str]:
    """The versions that decide what numbers come out."""
    names = {
        "torch": "torch",
        "timm": "timm",
        "open_clip": "open_clip_torch",
        "pillow": "pillow",
        "numpy": "numpy",
    }
    return {"python": platform.python_version(), **{name: version(package) for name, package in names.items()}}


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within: where the model hub's name does not even resolve, only its cache is asked, at once.

    The hub's client otherwise tries again for most of a minute before it says so.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    host = urlsplit(constants.ENDPOINT).hostname
    if not before and not urllib.request.getproxies():
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
