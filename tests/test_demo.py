"""The demo: composed scenes with the whole truth, finished where it was interrupted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from analysis import demo
from analysis.create import create
from analysis.datasets import stamps
from analysis.errors import InputError
from analysis.report import report
from analysis.workspace import Workspace
from tests.test_create import write_table
from tests.test_evaluate import save_checkpoint

SCENES = 50


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of made cutouts that passes for Tux Paint's, and a tiny model in place of the demo's three."""
    table = stamps.table()
    known = table.drop_nulls("label").unique("label", maintain_order=True).head(8)
    made = pl.concat([known, table.filter(pl.col("label").is_null()).head(4)])
    folder = tmp_path / "stamps"
    folder.mkdir()
    rng = np.random.default_rng(0)
    found = {}
    for number, name in enumerate(made["stamp"]):
        pixels = np.full((70, 60 + number, 4), (*rng.integers(40, 220, 3), 255), np.uint8)
        pixels[:6] = pixels[-6:] = 0
        found[name] = folder / f"{number}.png"
        Image.fromarray(pixels).save(found[name])
    monkeypatch.setattr(stamps, "find", lambda given: found if given == folder else {})
    reference = save_checkpoint(tmp_path / "own.safetensors", tuple(known["wnid"]))
    monkeypatch.setattr(demo, "MODELS", (reference,))
    monkeypatch.setattr(demo, "ENCODER", reference)
    return folder


def test_the_demo_is_built_and_what_is_there_is_kept(little: Path, tmp_path: Path) -> None:
    path = tmp_path / "demo"
    made = demo.build(path, stamps=little, scenes=SCENES, seed=1)
    assert made.items().height == SCENES
    assert made.label_set_names() == ["original", "truth"]
    assert "General Public License" in made.note
    assert made.items()["flaw"].value_counts().filter(flaw="wrong label")["count"].to_list() == [round(0.04 * SCENES)]
    truth = made.labels("truth")
    assert truth.absent == "wrong"
    assert truth.items.height == SCENES
    assert truth.note == demo.TRUTH_NOTE
    assert set(truth.items.filter(~pl.col("scored"))["item"]).isdisjoint(set(truth.labels["item"]))
    wrong = made.items().filter(flaw="wrong label").select("item", "label")
    valid = set(truth.labels.select("item", "class").iter_rows())
    assert valid.isdisjoint(set(wrong.iter_rows()))
    (run,) = made.runs()
    assert run.manifest["seen_in_training"] == "no"
    assert set(report(made)["labels"]) == {"original", "truth"}
    assert set(made.spaces()[0].manifest["steps"]) == {"index", "projection", "clusters"}

    assert demo.build(path, stamps=little, scenes=SCENES, seed=1).version == made.version
    with pytest.raises(InputError, match=r"holds another workspace .*another path"):
        demo.build(path, stamps=little, scenes=SCENES, seed=2)
    assert Workspace.open(path).version == made.version


def test_another_workspace_is_left_alone(tmp_path: Path) -> None:
    other, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", {"a": "cat", "b": "dog"}))
    with pytest.raises(InputError, match="no demo"):
        demo.build(tmp_path / "ws", stamps=tmp_path, scenes=SCENES)
    assert Workspace.open(other.path).version == other.version


def test_without_pictures_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--stamps DIR.*--dataset imagenette"):
        demo.build(tmp_path / "ws", stamps=tmp_path / "nothing", scenes=SCENES)
    assert not (tmp_path / "ws").exists()
