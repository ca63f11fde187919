import pytest

from analysis.datasets import DatasetOptions, read
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def read_folder(root, **options):
    return read(DatasetOptions(images=root, layout="imagefolder", **options))


def test_items_stand_by_class_and_file_name(tmp_path):
    touch(tmp_path, "dog/b.jpg", "dog/a.jpg", "cat-big/1.jpg", "cat/2.jpg", "cat/deep/1.jpg")
    listing = read_folder(tmp_path)
    assert listing.classes.name == "folders"
    assert listing.classes.ids == ["cat", "cat-big", "dog"]
    assert listing.records.rows() == [
        ("cat/2.jpg", "cat/2.jpg", 0, None),
        ("cat/deep/1.jpg", "cat/deep/1.jpg", 0, None),
        ("cat-big/1.jpg", "cat-big/1.jpg", 1, None),
        ("dog/a.jpg", "dog/a.jpg", 2, None),
        ("dog/b.jpg", "dog/b.jpg", 2, None),
    ]


def test_wnid_folders_are_imagenets_classes_and_others_are_not(tmp_path):
    touch(tmp_path, "n01443537/1.jpg", "n01440764/1.jpg")
    listing = read_folder(tmp_path)
    assert listing.classes is imagenet_1k()
    assert listing.records["label"].to_list() == [0, 1]
    touch(tmp_path, "hedgehog/1.jpg")
    assert read_folder(tmp_path).classes.ids == ["hedgehog", "n01440764", "n01443537"]


def test_split_folders_become_the_split(tmp_path):
    touch(tmp_path, "val/dog/1.jpg", "train/dog/1.jpg", "train/cat/1.jpg")
    listing = read_folder(tmp_path)
    assert listing.classes.ids == ["cat", "dog"]
    assert listing.records.select("key", "label", "split").rows() == [
        ("train/cat/1.jpg", 0, "train"),
        ("train/dog/1.jpg", 1, "train"),
        ("val/dog/1.jpg", 1, "val"),
    ]


def test_digit_folders_are_indices_of_a_list_given_and_classes_without(tmp_path):
    touch(tmp_path, "10/1.jpg", "9/1.jpg")
    assert read_folder(tmp_path, classes="imagenet-1k").records["label"].to_list() == [10, 9]
    assert read_folder(tmp_path).classes.ids == ["10", "9"]
    assert read_folder(tmp_path).records["label"].to_list() == [0, 1]


def test_strange_folder_names_are_kept_as_data(tmp_path):
    names = [" cat ", "<img onerror=alert(1)>", "a\nb", "![x](http:a)"]
    touch(tmp_path, *(f"{name}/1.jpg" for name in names))
    listing = read_folder(tmp_path)
    assert listing.classes.ids == sorted(names)
    assert listing.records["label"].to_list() == [0, 1, 2, 3]


def test_what_is_no_item_is_listed(tmp_path):
    touch(tmp_path, "cat/1.jpg", "cat/notes.txt", "stray.jpg", "README")
    assert read_folder(tmp_path).problems.rows() == [
        ("cat/notes.txt", "not an image: the suffix .txt is none of an image"),
        ("stray.jpg", "not in a class folder"),
    ]


def test_a_folder_that_is_no_class_and_images_without_folders_are_refused(tmp_path):
    touch(tmp_path, "stray.jpg")
    with pytest.raises(InputError, match="no class folders"):
        read_folder(tmp_path)
    touch(tmp_path, "hedgehog/1.jpg")
    with pytest.raises(InputError, match="unknown class 'hedgehog'"):
        read_folder(tmp_path, classes="imagenet-1k")
