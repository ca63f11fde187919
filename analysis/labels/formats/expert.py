"""Expert multi-labels of ImageNet (imagenet2012_multilabel), as a table or in the JSON file of their authors.

Table: one row an image: id, correct, unclear, wrong (lists of classes), prob (problematic). JSON, as
`human_accuracy_v3.0.0.json`: `initial_annots` {image: {correct, wrong, unclear: [wnid]}}, `problematic_images` and
`imagenet_m` (image names; a list, or the keys of an object).
"""

from collections.abc import Iterable
from typing import Any

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.base import Content, Format, LabelFile, refuse_twice, rows_of_states
from analysis.labels.formats.tables import class_cells, item_numbers, match_keys, yes_or_no

STATES_BY_WORD = {"correct": "valid", "unclear": "unclear", "wrong": "rejected"}
NOTE = (
    "The candidates came from the predictions of 67 models: a class absent from an item was not judged. "
    "'Unclear' means that the panel found no consensus. Problematic images are not scored; they include images "
    "whose original label is itself wrong, so multi-label accuracy cannot see label errors."
)


def recognises_table(content: Content) -> bool:
    return isinstance(content, pl.DataFrame) and {"id", *STATES_BY_WORD} <= set(content.columns)


def read_table(frame: pl.DataFrame, items: pl.DataFrame, classes: ClassList, file: str) -> LabelFile:
    item, how = item_numbers(frame["id"], items, file)
    refuse_twice(item, frame["id"], file)
    labels = [
        rows_of_states(item, class_cells(frame[word], classes, f"{file}, column {word}"), state)
        for word, state in STATES_BY_WORD.items()
    ]
    problematic = pl.repeat(False, frame.height, eager=True)
    if "prob" in frame.columns:
        problematic = yes_or_no(frame["prob"], f"{file}, column prob")
    known = pl.DataFrame({"item": item, "problematic": problematic})
    return LabelFile(pl.concat(labels), known, {"keys_matched_by": how})


def recognises_json(content: Content) -> bool:
    return isinstance(content, dict) and "initial_annots" in content


def read_json(content: dict[str, Any], items: pl.DataFrame, classes: ClassList, file: str) -> LabelFile:
    """Images of the lists that have no annotations are not known to the set; how many is recorded."""
    annotations = content["initial_annots"]
    if not isinstance(annotations, dict) or not all(isinstance(entry, dict) for entry in annotations.values()):
        raise InputError(f"{file}: initial_annots must map each image to its correct, wrong and unclear classes.")
    if not annotations:
        raise InputError(f"{file}: initial_annots is empty.")
    keys = pl.Series("key", list(annotations))
    item, how = item_numbers(keys, items, f"{file}, initial_annots")
    refuse_twice(item, keys, file)
    labels = []
    for word, state in STATES_BY_WORD.items():
        cells = [[str(cell) for cell in entry.get(word) or []] for entry in annotations.values()]
        found = class_cells(pl.Series(cells, dtype=pl.List(pl.String)), classes, f"{file}, initial_annots, {word}")
        labels.append(rows_of_states(item, found, state))
    # The released file says `imagenet_m`, later ones `imagenet_m_2022`.
    listed = {"problematic": _names(content.get("problematic_images"))}
    listed["imagenet_m"] = _names(next((content[key] for key in content if key.startswith("imagenet_m")), None))
    known = pl.DataFrame({"item": item})
    record: dict[str, Any] = {"keys_matched_by": how}
    for flag, names in listed.items():
        numbers, _ = match_keys(pl.Series(names, dtype=pl.String), items)
        flagged = item.is_in(numbers.drop_nulls().implode())
        known = known.with_columns(flagged.alias(flag))
        record[f"{flag}_without_annotations"] = len(names) - int(flagged.sum())
    return LabelFile(pl.concat(labels), known, record)


def _names(listed: Iterable[str] | None) -> list[str]:
    return sorted({str(name) for name in listed or []})


TABLE = Format("expert table", recognises_table, read_table, absent="unjudged", note=NOTE)
JSON = Format("imagenet2012_multilabel", recognises_json, read_json, absent="unjudged", note=NOTE)
