"""`timm:NAME[.TAG]`: any image classifier or encoder of timm with its pretrained weights."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import timm
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_data_config
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.models.loaded import LoadedModel, Request, finished, hub_or_cache
from analysis.models.preprocessing import Preprocessing

FORM = "timm:NAME[.TAG]"


class TimmClassifier(nn.Module):
    """A timm model as trunk and head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def trunk(self, batch: Tensor) -> Tensor:
        """(n, 3, h, w) -> the last feature map, unpooled."""
        hidden: Tensor = self.model.forward_features(batch)
        return hidden

    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and what the last layer makes them of; pooling twice costs nothing beside the trunk."""
        logits = self.model.forward_head(hidden)
        features = self.model.forward_head(hidden, pre_logits=True)
        return (logits, features) if self.model.num_classes else (features[:, :0], features)


def load(argument: str, request: Request) -> LoadedModel:
    """The timm model of that name; InputError where timm has no such name or tag, or its weights cannot be had."""
    from_elsewhere = argument.startswith(("hf-hub:", "hf_hub:", "local-dir:"))
    if not from_elsewhere and not timm.is_model_pretrained(argument):
        raise InputError(_unknown(argument))
    try:
        with hub_or_cache():
            model = timm.create_model(argument, pretrained=True, **_sized(request))
    except Exception as error:  # the hub's client and the loaders raise all sorts
        raise InputError(
            f"The weights of {request.reference} cannot be had ({_first_line(error)}). Connect to the network, "
            "or load a file with checkpoint:PATH."
        ) from error
    config = pretrained_config(model)
    source = config.get("hf_hub_id") or config.get("url") or argument
    return classifier(
        request, model, config, _imagenet_ids(model), details={"architecture": argument, "source": str(source)}
    )


def classifier(
    request: Request,
    model: nn.Module,
    config: Mapping[str, Any],
    classes: Sequence[str] | None,
    *,
    details: Mapping[str, Any],
) -> LoadedModel:
    """Any timm model as a LoadedModel; its preprocessing is what its pretrained `config` says."""
    data = resolve_data_config(pretrained_cfg=dict(config), model=model)
    height, width = data["input_size"][1:]
    own = Preprocessing(
        size=(height, width),
        crop=float(data["crop_pct"]),
        mode=data["crop_mode"],
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )
    used = own.altered(request.preprocessing, request.reference)
    if used.mode not in ("center", "squash", "border"):
        raise InputError(f"{request.reference} scales a picture by mode center, squash or border, not {used.mode!r}.")
    if used.fill != own.fill:
        raise InputError(f"{request.reference} fills nothing; leave `fill` out of its preprocessing.")
    transform = create_transform(
        input_size=(3, *used.size),
        crop_pct=used.crop,
        crop_mode=used.mode,
        interpolation=used.interpolation,
        mean=used.mean,
        std=used.std,
    )
    return finished(
        request,
        TimmClassifier(model),
        transform=transform,
        preprocessing=used,
        classes=classes,
        licence=config.get("license"),
        details=details,
    )


def pretrained_config(model: Any) -> dict[str, Any]:
    """What timm knows of a model's published weights."""
    return dict(model.pretrained_cfg)


def imagenet_wnids() -> list[str]:
    """The 1,000 wnids in the order of ImageNet-1k's outputs."""
    return list(ImageNetInfo("imagenet-1k").label_names())


def _imagenet_ids(model: nn.Module) -> list[str] | None:
    names = getattr(model, "pretrained_cfg", {}).get("label_names")
    if names:
        return [str(name) for name in names]
    subset = infer_imagenet_subset(model)
    return list(ImageNetInfo(subset).label_names()) if subset else None


def _sized(request: Request) -> dict[str, Any]:
    """Models of a fixed size (most transformers) must be built for another one."""
    size = request.preprocessing.get("size")
    if size is None:
        return {}
    name = request.reference.partition(":")[2]
    fixed = timm.get_pretrained_cfg_value(name, "fixed_input_size") if timm.is_model(name) else False
    return {"img_size": size} if fixed else {}


def _unknown(name: str) -> str:
    architecture = name.partition(".")[0]
    tags = timm.list_pretrained(f"{architecture}.*") if timm.is_model(architecture) else []
    if tags:
        return f"timm has no weights {name!r}; for {architecture} it has {', '.join(tags)}."
    if timm.is_model(architecture):
        own = f"checkpoint:PATH?arch={architecture}"
        return f"timm has no pretrained weights for {architecture!r}; load your own with {own}."
    near = difflib.get_close_matches(architecture, timm.list_models(pretrained=True), 3, 0.5)
    return f"timm has no model {architecture!r}" + (f"; did you mean {' or '.join(near)}?" if near else ".")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}".rstrip(": ")
