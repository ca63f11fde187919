"""ImageNet's validation set as published: labels, three label sets and the predictions of eight models."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from analysis.labels.classes import imagenet_1k
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import LabelSet, label_set, original
from analysis.models.predictions import Predictions, read_predictions

RUNS = (
    "resnet50_pytorch",
    "vgg16_pytorch",
    "alexnet_pytorch",
    "nasnetlarge_keras",
    "resnet50_keras",
    "resnet18_torchvision",
    "vgg16_torchvision",
    "densenet161_torchvision",
)


@dataclass(frozen=True, eq=False)
class Published:
    items: pl.DataFrame
    truth: np.ndarray
    labels: dict[str, LabelSet]
    runs: dict[str, Predictions]


@cache
def published(shared_data: Path) -> Published:
    """All of it, read once for every test module."""
    folder = shared_data / "imagenet-val"
    table = pl.read_csv(folder / "labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    truth = items["label"].cast(pl.Int32).to_numpy()
    expert = read_label_set(folder / "multilabel_v3.csv", "expert", items, imagenet_1k())
    runs = {}
    for name in RUNS:
        pair = [folder / "predictions" / f"{name}_imagenet_top5{part}.npy" for part in ("preds", "probs")]
        ranked = [folder / "predictions" / f"{name}_top5ranked.npy"]
        files = ranked if name.endswith("torchvision") else pair
        runs[name] = read_predictions(files, items, imagenet_1k(), order="imagefolder").predictions
    labels = {"original": original(truth), "real": real_label_set(items), "expert": expert}
    return Published(items, truth, labels, runs)


def ranks(classes, items=None, scores=None, kind="ranks") -> Predictions:
    """A small run from its ranked classes, one row an item."""
    found = np.asarray(classes, np.int32)
    found = found[:, None] if found.ndim == 1 else found
    numbers = np.arange(len(found)) if items is None else np.asarray(items)
    kept = None if scores is None else np.asarray(scores, np.float32).reshape(found.shape)
    return Predictions(numbers.astype(np.uint32), found, kept, kind, None)


def labelled(*triples, items: int, absent="wrong", exhaustive=(), name="x") -> LabelSet:
    """A small label set from (item, class, state) over items 0 to items - 1."""
    rows = pl.DataFrame(triples, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    known = pl.DataFrame({"item": range(items), "exhaustive": [item in exhaustive for item in range(items)]})
    return label_set(name, rows, known, absent=absent)


def labels_of(*classes: int) -> np.ndarray:
    return np.array(classes, np.int32)
