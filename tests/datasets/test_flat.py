import pytest

from analysis.datasets import DatasetOptions, read
from analysis.datasets.scan import scan
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k


@pytest.mark.shared_data
def test_the_sample_of_imagenet_is_recognised_and_whole(shared_data):
    listing = read(DatasetOptions(images=shared_data / "imagenet-sample" / "images"))
    assert listing.layout == "flat"
    assert listing.classes is imagenet_1k()
    assert sorted(listing.records["label"]) == list(range(1000))
    assert listing.records.row(0) == ("n01440764_tench.JPEG", "n01440764_tench.JPEG", 0, None)
    scanned = scan(listing.root, listing.records["path"].to_list())
    assert scanned["problem"].null_count() == 1000
    assert scanned.select("width", "height").min_horizontal().max() == 288  # smaller ones were not enlarged
    assert scanned["hash"].n_unique() == 1000


def test_labels_come_from_the_names_and_other_images_have_none(tmp_path):
    for name in ["n01443537_a b.jpg", "n01440764_x_y.png", "holiday.jpg", "n01440764.jpg"]:
        (tmp_path / name).touch()
    listing = read(DatasetOptions(images=tmp_path))
    assert listing.records.select("key", "label").rows() == [
        ("holiday.jpg", None),
        ("n01440764.jpg", None),
        ("n01440764_x_y.png", 0),
        ("n01443537_a b.jpg", 1),
    ]
    assert listing.problems["key"].to_list() == ["holiday.jpg", "n01440764.jpg"]


def test_wnids_beyond_imagenet_1k_make_a_list_of_their_own(tmp_path):
    for name in ["n01440764_1.jpg", "n00007846_1.jpg"]:
        (tmp_path / name).touch()
    listing = read(DatasetOptions(images=tmp_path))
    assert listing.classes.ids == ["n00007846", "n01440764"]
    assert listing.classes.names == ["person", "tench"]
    with pytest.raises(InputError, match="unknown class 'n00007846'"):
        read(DatasetOptions(images=tmp_path, classes="imagenet-1k"))


def test_images_without_any_label_need_a_class_list(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match=r"'holiday\.jpg'.*--table.*--classes"):
        read(DatasetOptions(images=tmp_path, layout="flat"))
    listing = read(DatasetOptions(images=tmp_path, layout="flat", classes="imagenet-1k"))
    assert listing.records["label"].to_list() == [None]
