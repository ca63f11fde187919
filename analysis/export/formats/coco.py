"""COCO's JSON layout with labels of whole images: annotations without boxes.

Only valid classes are annotations, as every reader of COCO takes an annotation for true. What else is known stands
with the image: `neg_category_ids` (rejected) as in LVIS, `unclear_category_ids`, `scored`. A category's id is the
class's index.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from analysis.artefacts import code_version, now
from analysis.export.formats.base import Format, Written, told
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Two passes over the items, images first, so that neither list is ever whole in memory."""
    with (folder / "annotations.json").open("w", encoding="utf-8") as file:
        info = {
            "description": f"{subset.workspace.name}, labels {subset.labels.name}",
            "version": code_version(),
            "date_created": now(),
        }
        file.write(f'{{"info": {json.dumps(info)}, "licenses": [],\n"images": ')
        write_array(file, _images(subset, progress))
        file.write(',\n"annotations": ')
        write_array(file, _annotations(subset, progress))
        file.write(',\n"categories": ')
        write_array(file, _categories(subset))
        file.write("}\n")
    return Written(subset.n, details={"category_ids": "class indices", "annotations": "valid classes, without boxes"})


def write_array(file: TextIO, entries: Iterable[Any], text: Callable[[Any], str] = json.dumps) -> None:
    """A JSON array, one entry a line, each written as it comes."""
    file.write("[")
    for number, entry in enumerate(entries):
        file.write((",\n" if number else "\n") + text(entry))
    file.write("\n]")


def _images(subset: Subset, progress: Progress) -> Iterator[dict[str, Any]]:
    for part in told(subset.chunks(), "Images", subset.n, progress):
        for row in part.iter_rows(named=True):
            image = {
                "id": row["item"],
                "file_name": row["key"] if row["path"] is None else row["path"],
                "width": row["width"],
                "height": row["height"],
                "key": row["key"],
                "original_category_id": row["original"],
                "scored": row["scored"],
                "exhaustive": row["exhaustive"],
            }
            image = {name: value for name, value in image.items() if value is not None}
            yield image | {"neg_category_ids": row["rejected"], "unclear_category_ids": row["unclear"]}


def _annotations(subset: Subset, progress: Progress) -> Iterator[dict[str, int]]:
    number = 0
    for part in told(subset.chunks(), "Annotations", subset.n, progress):
        for item, valid in part.select("item", "valid").iter_rows():
            for index in valid:
                number += 1  # from 1: some tools take 0 for none
                yield {"id": number, "image_id": item, "category_id": index, "iscrowd": 0}


def _categories(subset: Subset) -> Iterator[dict[str, Any]]:
    for row in subset.workspace.classes().frame.iter_rows(named=True):
        yield {
            "id": row["index"],
            "name": row["id"],
            "label": row["name"],
            "supercategory": row["parent"] or "none",
        }


FORMAT = Format("coco", "COCO's JSON with labels of whole images", write)
