"""ReaL: the reassessed labels of ImageNet's validation set (Beyer et al., "Are we done with ImageNet?", 2020).

timm ships them as a list of 50,000 lists of class indices, by image number: the first is that of
ILSVRC2012_val_00000001.JPEG, whatever order a folder has.
"""

import json
from functools import cache

import polars as pl

from analysis.errors import InputError, WorkspaceError
from analysis.labels.classes import timm_text
from analysis.labels.sets import LabelSet, label_set

N_IMAGES = 50_000
NOTE = (
    "ReaL: the classes judged valid came from models' predictions, so a class that no model proposed was never "
    "looked at; published and read here as closed (absent = wrong). Images without a valid class are not scored."
)
_KEY = r"^ILSVRC2012_val_(\d{8})\.JPEG$"


def is_imagenet_val(keys: pl.Series) -> bool:
    """Whether every key is that of an image of ImageNet's validation set: ILSVRC2012_val_ + 8 digits + .JPEG."""
    numbers = _image_numbers(keys)
    return len(numbers) > 0 and bool(numbers.is_between(1, N_IMAGES).fill_null(False).all())


def _image_numbers(keys: pl.Series) -> pl.Series:
    return keys.cast(pl.String).str.extract(_KEY, 1).cast(pl.UInt32)


def real_label_set(items: pl.DataFrame) -> LabelSet:
    """The label set `real` for items (columns item, key) of ImageNet's validation set.

    Raises InputError when a key is another one, WorkspaceError when timm does not carry the labels.
    """
    if not is_imagenet_val(items["key"]):
        raise InputError(
            "ReaL labels exist for the images ILSVRC2012_val_00000001.JPEG to ILSVRC2012_val_00050000.JPEG "
            "only, and not every item here is one of them."
        )
    valid = pl.Series(_published(), dtype=pl.List(pl.UInt32))
    numbered = items.select("item", **{"class": valid.gather(_image_numbers(items["key"]) - 1)})
    labels = numbered.explode("class").drop_nulls().with_columns(state=pl.lit("valid"))
    return label_set("real", labels, items.select("item"), absent="wrong", note=NOTE)


@cache
def _published() -> list[list[int]]:
    labels: list[list[int]] = json.loads(timm_text("imagenet_real_labels.json"))
    if len(labels) != N_IMAGES:
        raise WorkspaceError(f"timm's ReaL labels hold {len(labels):,} images, not {N_IMAGES:,}.")
    return labels
