"""The receipt of an export: what went out, made from what, by which rules."""

import os
from pathlib import Path
from typing import Any

from analysis.artefacts import code_version, file_hash, now
from analysis.export.formats import Format, Written
from analysis.export.subset import REVIEWED, Subset

FORMAT_VERSION = 1
RECEIPT, DATASHEET, LEFT_OUT, README = "receipt.json", "datasheet.md", "left_out.csv", "README.md"
ABSENT = {
    "wrong": "a class that the set does not name for an item is wrong (closed set)",
    "unjudged": "a class that the set does not name for an item was not judged (open set)",
}


def described(subset: Subset, format: Format) -> dict[str, Any]:
    """What is known of an export before anything is written."""
    workspace = subset.workspace
    dataset = workspace.dataset
    return {
        "receipt": FORMAT_VERSION,
        "created": now(),
        "errata": code_version(),
        "workspace": {"name": workspace.name, "uuid": workspace.uuid},
        "dataset": {
            "version": dataset.version,
            "read": dataset.manifest["created"],
            "fingerprints": workspace.fingerprints,
            "files": dataset.manifest["files"],
        },
        "slice": {
            "line": str(subset.slice) or "all",
            "n": subset.n,
            "of": subset.total,
            "run": subset.lens.run,
            "judged_by": subset.lens.labels,
            "judged_by_version": _version(subset, subset.lens.labels),
        },
        "labels": labels(subset),
        "format": {"name": format.name, "what": format.what},
        "class_list": {
            "name": workspace.classes().name,
            "classes": workspace.classes().frame.select("index", "id", "name").to_dicts(),
        },
        "licence": licence_notes(subset),
    }


def receipt(subset: Subset, format: Format, written: Written) -> dict[str, Any]:
    """Everything about an export but its files, for which see `listing`."""
    known = described(subset, format)
    reasons = written.left_out["reason"].value_counts(sort=True)
    known["format"] |= written.details
    return known | {
        "n": written.n,
        "left_out": {"n": written.left_out.height, "reasons": dict(reasons.iter_rows())},
    }


def labels(subset: Subset) -> dict[str, Any]:
    """Which label set, by which rule, from which position of the review log."""
    made = {
        "name": subset.labels.name,
        "absent": subset.labels.absent,
        "rule": f"{ABSENT[subset.labels.absent]}; unclear and rejected classes are no labels, and stand by themselves "
        "where the format has a place for them",
        "note": subset.labels.note,
    }
    if subset.base is None:
        return {**made, "version": _version(subset, subset.labels.name), "review_log_position": None}
    return {
        **made,
        "base": subset.base,
        "version": _version(subset, subset.base),
        "review_log_position": subset.position,
    }


def _version(subset: Subset, name: str) -> str:
    """The published version of a label set; that of the dataset for its own labels."""
    workspace = subset.workspace
    if name == "original" or (name == REVIEWED and subset.base is not None):
        return workspace.dataset.version
    return workspace.label_artefact(name).version


def licence_notes(subset: Subset) -> list[str]:
    """What is known of rights: the dataset's own note, and that nothing else is recorded."""
    note = subset.workspace.note.strip()
    known = [note] if note else ["The workspace records nothing about the licence of the images."]
    return [*known, "An export gives no right to images or labels beyond what their sources give."]


def listing(folder: Path, not_listed: tuple[str, ...]) -> dict[str, Any]:
    """files: bytes and hash (BLAKE2b-128) of each; folders: how many files are in those that are not listed.

    The hash of each image stands in the table of items.
    """
    files = [path for path in sorted(folder.iterdir()) if path.name not in not_listed]
    folders = [folder / name for name in not_listed if (folder / name).is_dir()]
    return {
        "files": {path.name: {"bytes": path.stat().st_size, "hash": file_hash(path)} for path in files},
        "folders": {path.name: sum(len(found) for _, _, found in os.walk(path)) for path in folders},
    }
