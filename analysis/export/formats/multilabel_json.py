"""imagenet2012_multilabel's JSON: correct, wrong and unclear class ids of each image by its key.

An item that the label set does not score though it has a valid or unclear class is problematic. Whether the set is
open, and which items are exhaustive, the layout cannot say; the receipt does.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from analysis.export.formats.base import NOTHING_LEFT_OUT, Format, Written, told
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress

WORDS = {"correct": "valid", "wrong": "rejected", "unclear": "unclear"}


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Items of which the label set says nothing are left out."""
    problematic: list[str] = []
    lost = [NOTHING_LEFT_OUT]

    def annotations() -> Iterator[tuple[str, dict[str, list[str]]]]:
        for part in told(subset.chunks(), "Writing", subset.n, progress):
            known = pl.col("scored").is_not_null()
            reason = pl.lit("the label set says nothing of it").alias("reason")
            lost.append(part.filter(~known).select("item", "key", reason))
            kept = subset.ids(part.filter(known))
            labelled = (pl.col("valid").list.len() + pl.col("unclear").list.len()) > 0
            problematic.extend(kept.filter(~pl.col("scored") & labelled)["key"])
            for key, *states in kept.select("key", *WORDS.values()).iter_rows():
                yield key, dict(zip(WORDS, states, strict=True))

    with (folder / "labels.json").open("w", encoding="utf-8") as file:
        file.write('{"initial_annots": {')
        for number, (key, entry) in enumerate(annotations()):
            file.write(f"{',' if number else ''}\n{json.dumps(key)}: {json.dumps(entry)}")
        # An object and a list, as readers of the published file expect them; no item is known to be of ImageNet-M.
        file.write(
            f'\n}},\n"problematic_images": {json.dumps({key: {} for key in problematic})},\n"imagenet_m": []}}\n'
        )
    left = pl.concat(lost)
    details = {"absent": subset.labels.absent, "problematic": len(problematic)}
    return Written(subset.n - left.height, left, details)


FORMAT = Format("multilabel-json", "imagenet2012_multilabel's JSON; loses no state", write)
