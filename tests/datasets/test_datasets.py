import pytest
from PIL import Image

from analysis.datasets import READERS, DatasetOptions, read
from analysis.errors import InputError


def draw(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(root / path, "JPEG")


def refusal(**options) -> str:
    with pytest.raises(InputError) as caught:
        read(DatasetOptions(**options))
    return str(caught.value)


@pytest.mark.parametrize(
    ("paths", "layout"),
    [
        (["ILSVRC2012_val_00000001_n01440764.JPEG"], "imagenet-val"),
        (["n01440764/ILSVRC2012_val_00000001.JPEG"], "imagenet-val"),
        ([f"{index}/abc.jpeg" for index in range(1000)], "imagenet-val"),
        (["n01440764_tench.JPEG"], "flat"),
        (["n01440764/n01440764_10026.JPEG", "n01443537/n01443537_2.JPEG"], "imagefolder"),
        (["cat/1.jpg", "dog/1.jpg"], "imagefolder"),
        ([f"{index}/1.jpg" for index in range(10)], "imagefolder"),
        (["train/cat/1.jpg"], "imagefolder"),
    ],
)
def test_auto_recognises_the_layout(tmp_path, paths, layout):
    draw(tmp_path, *paths)
    listing = read(DatasetOptions(images=tmp_path))
    assert listing.layout == layout
    assert sorted(listing.records["path"]) == sorted(paths)
    assert listing.records["label"].null_count() == 0
    assert listing.problems.height == 0


def test_the_readers_are_those_that_create_offers():
    assert list(READERS) == ["imagenet-val", "flat", "imagefolder", "table"]


@pytest.mark.parametrize("layout", ["auto", "imagefolder", "flat", "imagenet-val"])
def test_a_folder_without_images_is_refused_by_name(tmp_path, layout):
    assert f"{tmp_path} is empty" in refusal(images=tmp_path, layout=layout)
    (tmp_path / "labels.csv").touch()
    assert "holds no image (.jpg, .png, .webp, .gif, .bmp or .tif) but only such as 'labels.csv'" in refusal(
        images=tmp_path, layout=layout
    )
    (tmp_path / "notes.txt").touch()
    told = refusal(images=tmp_path, layout=layout)
    assert "holds no image" in told
    assert "'notes.txt'" in told
    assert "is a file" in refusal(images=tmp_path / "notes.txt", layout=layout)
    assert "no folder" in refusal(images=tmp_path / "gone", layout=layout)


def test_an_unrecognised_folder_says_what_was_looked_for_and_what_to_do(tmp_path):
    draw(tmp_path, "images/n01440764_tench.JPEG")
    told = refusal(images=tmp_path)
    for part in ["ILSVRC2012_val_", "n01440764_name.JPEG", "class folders", str(tmp_path / "images"), "--table"]:
        assert part in told
    assert read(DatasetOptions(images=tmp_path / "images")).layout == "flat"


def test_a_folder_that_may_not_be_read_is_refused_by_name(tmp_path, monkeypatch):
    draw(tmp_path, "cat/1.jpg", "dog/1.jpg")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)  # a mode of 0 would not stop a test run as root
    told = refusal(images=tmp_path)
    assert str(tmp_path) in told
    assert "Permission denied" in told
    assert "permission denied" in refusal(images=tmp_path, layout="imagefolder")


def test_nothing_given_and_unknown_layouts_are_refused(tmp_path):
    assert "--images" in refusal()
    assert "--table" in refusal(layout="table", images=tmp_path)
    assert "imagefolder" in refusal(layout="coco", images=tmp_path)


def test_progress_is_told(tmp_path):
    draw(tmp_path, "n01440764_tench.JPEG")
    told = []
    read(DatasetOptions(images=tmp_path), lambda *args: told.append(args))
    assert told[-1] == ("finding files", 1, 1)
