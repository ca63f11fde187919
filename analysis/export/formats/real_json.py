"""ReaL's JSON: the valid class indices of each of ImageNet's 50,000 validation images, by image number.

Images outside the slice, or not scored, have an empty list: readers leave them out. Unclear classes are no labels.
"""

from pathlib import Path

import polars as pl

from analysis.errors import InputError
from analysis.export.formats.base import NOTHING_LEFT_OUT, Format, Written, told
from analysis.export.formats.coco import write_array
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.labels.classes import imagenet_1k
from analysis.labels.real import N_IMAGES, is_imagenet_val
from analysis.progress import Progress


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Raises InputError where items or classes are not those of ImageNet's validation set."""
    workspace = subset.workspace
    if not is_imagenet_val(subset.items["key"]) or workspace.classes().ids != imagenet_1k().ids:
        raise InputError(
            "ReaL's JSON lists ImageNet's validation images by number and its 1,000 classes by index; not every item "
            "or class here is one of them. Take multilabel-json, which names both."
        )
    entries: list[list[int]] = [[] for _ in range(N_IMAGES)]
    lost, unclear = [NOTHING_LEFT_OUT], 0
    for part in told(subset.chunks(), "Writing", subset.n, progress):
        numbered = part.with_columns(number=pl.col("key").str.extract(r"(\d{8})\.").cast(pl.UInt32) - 1)
        said = pl.col("scored").fill_null(False) & (pl.col("valid").list.len() > 0)
        for number, valid in numbered.filter(said).select("number", "valid").iter_rows():
            entries[number] = valid
        unclear += int(part["unclear"].list.len().sum())
        reason = pl.lit("not scored, or without a valid class: an empty list").alias("reason")
        lost.append(part.filter(~said).select("item", "key", reason))
    with (folder / "real.json").open("w", encoding="utf-8") as file:
        write_array(file, entries)
        file.write("\n")
    left = pl.concat(lost)
    return Written(subset.n - left.height, left, {"unclear_labels_left_out": unclear})


FORMAT = Format("real-json", "ReaL's JSON, for ImageNet's validation images", write)
