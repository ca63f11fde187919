"""Small workspaces that tests share: real image files, made predictions, everything published for real."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from analysis import spaces
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.labels.sets import label_set
from analysis.models.predictions import Predictions
from analysis.workspace import Workspace

UGLY_CLASSES = ("![x](http://127.0.0.1:9/p.png)", "<img src=x onerror=alert(1)>", "مرحبا بالعالم", "d" * 90)
COLOURS = ((200, 40, 40), (40, 160, 60), (50, 70, 200), (220, 180, 40))


def make_images(root: Path, classes: tuple[str, ...], each: int = 8, seed: int = 0) -> None:
    """A folder a class with noisy pictures of its colour; file names carry Markdown and HTML too."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for place in range(each):
            pixels = rng.normal(COLOURS[number % len(COLOURS)], 25, (48, 64, 3)).clip(0, 255).astype(np.uint8)
            stem = f"{number}-{place}" if place else f"{number} ![a](http:x) <b>&amp; {'n' * 40}"
            Image.fromarray(pixels).save(folder / f"{stem}.png")


def make_workspace(
    path: Path, images: Path, classes: tuple[str, ...] = ("cat", "dog", "eel", "fox"), each: int = 8
) -> Workspace:
    """A workspace with two runs, an open label set `panel`, a space with map and clusters, and one broken file."""
    make_images(images, classes, each)
    (images / classes[0] / "0-7.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (images / classes[0] / "notes.txt").write_text("no image")
    create(str(path), DatasetOptions(images=images))
    rng = np.random.default_rng(1)
    add_run(Workspace.open(path), "weak ![r](http:y)", 0.5, rng)
    add_run(Workspace.open(path), "strong", 0.8, rng)
    add_panel(Workspace.open(path), rng)
    workspace = Workspace.open(path)
    items = workspace.items().filter(pl.col("problem").is_null())["item"].to_numpy()
    centres = rng.normal(size=(len(classes), 16))
    vectors = centres[workspace.original_labels[items]] + rng.normal(scale=0.3, size=(len(items), 16))
    spaces.publish_vectors(workspace, "test:encoder", items, [vectors.astype(np.float16)], 16, {})
    spaces.build(Workspace.open(path), "test:encoder")
    return Workspace.open(path)


def add_run(workspace: Workspace, name: str, accuracy: float, rng: np.random.Generator) -> None:
    """A run with three ranks that is right about as often as said."""
    readable = workspace.items().filter(pl.col("problem").is_null())
    items, n_classes = readable["item"].to_numpy(), len(workspace.classes())
    logits = rng.normal(size=(len(items), n_classes))
    logits[np.arange(len(items)), workspace.original_labels[items]] += np.where(
        rng.random(len(items)) < accuracy, 4, -2
    )
    ranked = np.argsort(-logits, axis=1)[:, :3]
    scores = np.take_along_axis(logits, ranked, axis=1)
    predictions = Predictions(
        items,
        ranked.astype(np.int32),
        scores.astype(np.float32),
        "logits",
        np.log(np.exp(logits).sum(axis=1)).astype(np.float32),
    )
    workspace.publish_run(name, predictions, inputs=("images", "classes"), details={"source": "test"})


def add_panel(workspace: Workspace, rng: np.random.Generator) -> None:
    """An open label set over two thirds of the items: mostly the original label, sometimes another one too."""
    labels = workspace.original_labels
    known = np.flatnonzero(rng.random(len(labels)) < 0.67)
    other = (labels + 1) % len(workspace.classes())
    said = [(i, labels[i], "valid") for i in known]
    said += [(i, other[i], "valid" if i % 2 else "rejected") for i in known if i % 3 == 0]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    workspace.publish_labels(label_set("panel", rows, rows.select("item").unique(), absent="unjudged"))
