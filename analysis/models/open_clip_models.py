"""`open_clip:...`: contrastive image-text models as zero-shot classifiers.

    open_clip:ViT-B-32:openai          an architecture of open_clip with a tag of its published weights
    open_clip:ViT-B-32:/path/file.pt   ... with weights from a file
    open_clip:local-dir:/path          a folder with open_clip_config.json and weights
    open_clip:hf-hub:ORG/REPO          a repository of the model hub

The classes are those of the workspace. ImageNet's go by open_clip's curated names and the 80 prompts of CLIP's
authors, others by their own names and the 7 simple prompts; each class is the mean of its prompts' embeddings.
"""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from analysis.errors import InputError
from analysis.models.loaded import LoadedModel, Request, finished, hub_or_cache
from analysis.models.preprocessing import Preprocessing
from analysis.models.timm_models import imagenet_wnids
from analysis.progress import Progress

FORM = "open_clip:ARCH:TAG | open_clip:ARCH:PATH | open_clip:local-dir:PATH | open_clip:hf-hub:ORG/REPO"
TEMPLATES: dict[str, Sequence[Callable[[str], str]]] = {
    "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
    "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
}

_CLASSES_AT_ONCE = 4  # 320 prompts of 80 a class: some seconds on a CPU, so that progress is told


class ZeroShotClassifier(nn.Module):
    """The image tower of a CLIP model, with its text tower's embeddings of the classes as last layer."""

    text: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, clip: nn.Module, text: Tensor) -> None:
        """`text` is (d, C), a unit vector a class."""
        super().__init__()
        model: Any = clip
        self.visual = model.visual
        self.register_buffer("text", text.detach().float())
        self.register_buffer("scale", model.logit_scale.detach().float().exp())
        bias = getattr(model, "logit_bias", None)
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().float())

    def trunk(self, batch: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d) image embeddings, not normalised."""
        embedded = self.visual(batch)
        return embedded[0] if isinstance(embedded, tuple) else embedded  # CoCa gives its tokens too

    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled cosines with the classes, and the embeddings as they are."""
        return self.scale * functional.normalize(hidden, dim=-1) @ self.text + self.bias, hidden


def load(argument: str, request: Request) -> LoadedModel:
    """The zero-shot classifier over `request.classes`, an encoder alone without them.

    InputError where the weights are missing or cannot be loaded.
    """
    name, pretrained = _source(argument, request.reference)
    sized = {"force_image_size": request.preprocessing["size"]} if "size" in request.preprocessing else {}
    try:
        with hub_or_cache():
            clip = open_clip.create_model(
                name,
                pretrained=pretrained,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
                **sized,
            )
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # the hub's client, torch, safetensors and open_clip raise all sorts
        told = " ".join(str(error).split())[:300]
        raise InputError(
            f"The weights of {request.reference} cannot be loaded ({told}). Connect to the network, or name a "
            "file or folder: open_clip:ARCH:/path/to/file or open_clip:local-dir:/path."
        ) from error
    used, transform = _preprocessing(clip, request)
    clip = clip.eval().requires_grad_(False).to(request.device)
    source = {"architecture": name, "source": pretrained or name}
    if request.classes is None:
        none = torch.empty(clip.visual.output_dim, 0, device=request.device)
        encoder = ZeroShotClassifier(clip, none)
        return finished(request, encoder, transform=transform, preprocessing=used, classes=None, details=source)
    ids, names, named_by = class_names(request.classes)
    templates = request.templates
    if templates == "auto":
        templates = "openai" if set(ids) <= set(imagenet_wnids()) else "simple"
    if templates not in TEMPLATES:
        raise InputError(f"There are no templates {templates!r}; take auto, {' or '.join(TEMPLATES)}.")
    text = _text_classifier(clip, tokenizer, names, templates, request)
    return finished(
        request,
        ZeroShotClassifier(clip, text),
        transform=transform,
        preprocessing=used,
        classes=ids,
        details={
            **source,
            "zero_shot": {"templates": templates, "prompts": len(TEMPLATES[templates]), "names": named_by},
        },
    )


def class_names(classes: Any) -> tuple[list[str], list[str], str]:
    """Ids, the names for prompts, and whose these are: open_clip's for ImageNet's wnids, else the class list's."""
    curated = dict(zip(imagenet_wnids(), open_clip.IMAGENET_CLASSNAMES, strict=True))
    ids = list(classes.ids)
    if all(class_id in curated for class_id in ids):
        return ids, [curated[class_id] for class_id in ids], "open_clip's names for ImageNet"
    return ids, [re.sub(r"[_\s]+", " ", name).strip() for name in classes.names], f"class list {classes.name}"


def _source(argument: str, reference: str) -> tuple[str, str | None]:
    """open_clip's `model_name` and `pretrained`, checked as far as that needs no network."""
    schema, _, rest = argument.partition(":")
    if schema == "hf-hub" and rest:
        return argument, None
    if schema == "local-dir" and rest:
        folder = Path(rest).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(f"{reference}: {folder} has no open_clip_config.json, which a local-dir model needs.")
        if not any(file.suffix in (".safetensors", ".bin", ".pth") for file in folder.iterdir()):
            raise InputError(f"{reference}: {folder} holds no weights (.safetensors, .bin or .pth).")
        return f"local-dir:{folder}", None
    architectures = open_clip.list_models()
    if schema not in architectures:
        near = difflib.get_close_matches(schema, architectures, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"references look like {FORM}."
        raise InputError(f"open_clip has no architecture {schema!r}; {hint}")
    tags = open_clip.list_pretrained_tags_by_model(schema)
    path = Path(rest).expanduser()
    if rest and path.is_file():
        return schema, str(path)
    if rest not in tags:
        known = f"its tags are {', '.join(tags)}" if tags else "it has no published weights"
        raise InputError(
            f"{reference}: {rest!r} is neither a tag of {schema} nor a file with weights; {known}."
            if rest
            else f"{reference} does not say which weights; write open_clip:{schema}:TAG_OR_FILE ({known})."
        )
    return schema, rest


def _preprocessing(clip: Any, request: Request) -> tuple[Preprocessing, Callable[..., Tensor]]:
    config = PreprocessCfg(**clip.visual.preprocess_cfg)
    size = (config.size, config.size) if isinstance(config.size, int) else tuple(config.size)
    own = Preprocessing(
        size=size,
        crop=1.0,
        mode=config.resize_mode,
        interpolation=config.interpolation,
        mean=tuple(config.mean),
        std=tuple(config.std),
        fill=config.fill_color,
    )
    used = own.altered(request.preprocessing, request.reference)
    if used.mode not in ("shortest", "longest", "squash") or used.crop != 1:
        raise InputError(
            f"{request.reference} scales a picture by mode shortest, longest or squash with crop 1; "
            f"not by {used.mode!r} with crop {used.crop}."
        )
    if used.interpolation not in ("bicubic", "bilinear"):
        raise InputError(f"{request.reference} interpolates bicubic or bilinear, not {used.interpolation!r}.")
    transform = image_transform_v2(
        PreprocessCfg(
            size=used.size[0] if used.size[0] == used.size[1] else used.size,
            mean=used.mean,
            std=used.std,
            interpolation=used.interpolation,
            resize_mode=used.mode,
            fill_color=used.fill,
        ),
        is_train=False,
    )
    return used, transform


def _text_classifier(clip: Any, tokenizer: Any, names: Sequence[str], templates: str, request: Request) -> Tensor:
    """(d, C), from the cache where it holds the very same: model weights, names and prompts."""
    prompts = TEMPLATES[templates]
    kept = None
    if request.cache is not None:
        kept = request.cache / f"zero-shot-{_text_hash(clip, names, prompts)}.safetensors"
        if kept.is_file():
            try:
                return load_file(kept, device=str(request.device))["text"]
            except Exception:  # a damaged cache is built anew; the library's error derives from Exception itself
                kept.unlink(missing_ok=True)
    text = _built(clip, tokenizer, names, prompts, request.device, request.progress)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f".{kept.name}.{os.getpid()}")
        save_file({"text": text.cpu().contiguous()}, partial)
        partial.replace(kept)
    return text


def _built(
    clip: Any,
    tokenizer: Any,
    names: Sequence[str],
    prompts: Sequence[Callable[[str], str]],
    device: torch.device,
    progress: Progress,
) -> Tensor:
    parts = []
    progress("encoding class names", 0, len(names))
    for start in range(0, len(names), _CLASSES_AT_ONCE):
        some = names[start : start + _CLASSES_AT_ONCE]
        parts.append(open_clip.build_zero_shot_classifier(clip, tokenizer, some, prompts, None, device))
        progress("encoding class names", start + len(some), len(names))
    return torch.cat(parts, dim=1).float()


def _text_hash(clip: Any, names: Sequence[str], prompts: Sequence[Callable[[str], str]]) -> str:
    texts = [prompt("{}") for prompt in prompts]
    digest = hashlib.blake2b(json.dumps([list(names), texts]).encode(), digest_size=16)
    for key, tensor in sorted(clip.state_dict().items()):
        if not key.startswith("visual."):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
