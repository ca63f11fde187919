"""Imagenette as torchvision lays it out."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from analysis.datasets import imagenette
from analysis.errors import InputError

FILES = {
    "train/n01440764/n01440764_10026.JPEG": 0,
    "val/n01440764/ILSVRC2012_val_00000293.JPEG": 0,
    "val/n01440764/n01440764_141.JPEG": 0,
    "val/n03888257/n03888257_11480.JPEG": 701,
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for name in [*FILES, "val/n03888257/notes.txt"]:
        path = tmp_path / "imagenette2-320" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, "JPEG")
    return tmp_path


@pytest.mark.parametrize("split", ["val", "train"])
def test_a_split_is_listed(cache: Path, split: str) -> None:
    listing = imagenette.read(cache, split=split)
    expected = {name: label for name, label in sorted(FILES.items()) if name.startswith(split)}
    assert dict(listing.records.select("key", "label").iter_rows()) == expected
    assert listing.records.schema["label"] == pl.UInt32
    assert listing.records["path"].to_list() == list(expected)
    assert listing.records["split"].unique().to_list() == [split]
    assert listing.root == cache / "imagenette2-320"
    assert (len(listing.classes), listing.layout) == (1000, "imagenette")


def test_the_part_of_imagenet_is_told_by_the_name(cache: Path) -> None:
    records = imagenette.read(cache).records
    assert dict(records.select("key", "imagenet_split").iter_rows()) == {
        "val/n01440764/ILSVRC2012_val_00000293.JPEG": "val",
        "val/n01440764/n01440764_141.JPEG": "train",
        "val/n03888257/n03888257_11480.JPEG": "train",
    }


def test_torchvision_finds_the_same_photographs(cache: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    theirs = datasets.Imagenette(cache, split="val", size="320px")
    ours = imagenette.read(cache).records
    assert len(theirs) == ours.height
    assert theirs.wnids == ours["key"].str.split("/").list.get(1).unique(maintain_order=True).to_list()


def test_what_is_there_is_read_without_torch(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from analysis.datasets import imagenette; "
        "imagenette.read(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(cache)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0


def test_without_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    told: list[str] = []
    with pytest.raises(InputError, match=r"could not be downloaded.*--dataset.*--images DIR"):
        imagenette.read(tmp_path, progress=lambda what, done, total: told.append(what))
    assert told
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_bad_input(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="no split 'test'"):
        imagenette.read(cache, split="test")
    (tmp_path / "empty" / "imagenette2-320" / "val").mkdir(parents=True)
    with pytest.raises(InputError, match="no photographs of split 'val'"):
        imagenette.read(tmp_path / "empty")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="could not be stored"):
        imagenette.read(tmp_path / "file")
