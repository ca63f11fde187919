import numpy as np
import polars as pl
import pytest
from scipy.io import savemat

from analysis.datasets import DatasetOptions, read
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k

NAME = "ILSVRC2012_val_{:08}.JPEG"
TENCH, GOLDFISH, SHARK = "n01440764", "n01443537", "n01484850"  # 0, 1, 2


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def read_val(root, **options):
    return read(DatasetOptions(images=root, layout="imagenet-val", **options))


def refusal(root, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_val(root, **options)
    return str(caught.value)


@pytest.fixture
def flat(tmp_path):
    """Three images, numbers 1 to 3, in a folder of their own with no label anywhere."""
    touch(tmp_path / "val", *map(NAME.format, (3, 1, 2)))
    return tmp_path / "val"


def make_devkit(folder):
    """Ids 1, 2, 3 are shark, tench, goldfish, as in no order of the wnids; id 1001 is no leaf."""
    folder.joinpath("data").mkdir(parents=True)
    synsets = np.array(
        [(1, SHARK, 0), (2, TENCH, 0), (3, GOLDFISH, 0), (1001, "n00001740", 3)],
        dtype=[("ILSVRC2012_ID", "i4"), ("WNID", "O"), ("num_children", "i4")],
    )
    savemat(folder / "data" / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n3\n")


def test_labels_in_the_names(tmp_path):
    touch(tmp_path, f"ILSVRC2012_val_00000002_{TENCH}.JPEG", f"ILSVRC2012_val_00000001_{SHARK}.jpg")
    listing = read_val(tmp_path)
    assert listing.classes is imagenet_1k()
    assert listing.records.rows() == [
        (NAME.format(1), f"ILSVRC2012_val_00000001_{SHARK}.jpg", 2, None),
        (NAME.format(2), f"ILSVRC2012_val_00000002_{TENCH}.JPEG", 0, None),
    ]


def test_labels_of_folders_with_keys_without_them(tmp_path):
    touch(tmp_path, f"{GOLDFISH}/{NAME.format(1)}", f"{TENCH}/{NAME.format(9)}", f"{TENCH}/{NAME.format(4)}")
    assert read_val(tmp_path).records.rows() == [
        (NAME.format(4), f"{TENCH}/{NAME.format(4)}", 0, None),
        (NAME.format(9), f"{TENCH}/{NAME.format(9)}", 0, None),
        (NAME.format(1), f"{GOLDFISH}/{NAME.format(1)}", 1, None),
    ]


@pytest.mark.parametrize("place", [".", ".."])
def test_a_csv_beside_or_in_the_folder_is_found(flat, place):
    (flat / place / "labels.csv").write_text(
        f"filename,wnid,label\n{NAME.format(1)},{TENCH},0\n{NAME.format(2)},{GOLDFISH},1\n{NAME.format(3)},{TENCH},0\n"
    )
    listing = read_val(flat)
    assert listing.records["label"].to_list() == [0, 1, 0]
    assert listing.problems.height == 0


def test_kaggles_solution_is_read_and_found_where_kaggle_has_it(tmp_path):
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    touch(root, NAME.format(1), NAME.format(2))
    (tmp_path / "LOC_val_solution.csv").write_text(
        f"ImageId,PredictionString\nILSVRC2012_val_00000002,{SHARK} 1 2 3 4 {SHARK} 5 6 7 8 \n"
        f"ILSVRC2012_val_00000001,{TENCH} 85 1 499 272 \n"
    )
    assert read_val(root).records["label"].to_list() == [0, 2]


@pytest.mark.parametrize("named", ["devkit", "devkit/data", "devkit/data/ILSVRC2012_validation_ground_truth.txt"])
def test_the_devkits_ground_truth_is_mapped_through_its_ids(flat, named):
    make_devkit(flat.parent / "devkit")
    listing = read_val(flat, labels_from=flat.parent / named)
    assert listing.records.select("key", "label").rows() == [
        (NAME.format(1), 2),
        (NAME.format(2), 0),
        (NAME.format(3), 1),
    ]
    assert read_val(flat).records.equals(listing.records)  # found beside the folder


def test_a_source_named_comes_before_folders(tmp_path):
    touch(tmp_path, f"{TENCH}/{NAME.format(1)}")
    source = tmp_path / "other.parquet"
    pl.DataFrame({"filename": [NAME.format(1)], "label": [7]}).write_parquet(source)
    assert read_val(tmp_path, labels_from=source).records["label"].to_list() == [7]


def test_imagenetv2s_folders_are_integers(tmp_path):
    touch(tmp_path, "0/x.jpeg", "2/x.jpeg", "10/x.jpeg", "999/x.jpeg", "stray.jpg")
    listing = read_val(tmp_path)
    assert listing.records.select("key", "label").rows() == [
        ("0/x.jpeg", 0),
        ("10/x.jpeg", 10),
        ("2/x.jpeg", 2),
        ("999/x.jpeg", 999),
    ]
    assert listing.problems["key"].to_list() == ["stray.jpg"]
    touch(tmp_path, "1000/x.jpeg")
    assert "class index 1000 is out of range" in refusal(tmp_path)


def test_images_without_a_label_and_strangers_are_listed(flat):
    (flat / "labels.csv").write_text(f"filename,wnid\n{NAME.format(1)},{TENCH}\n{NAME.format(3)},\n")
    touch(flat, "holiday.jpg", "notes.txt")
    listing = read_val(flat)
    assert listing.records["label"].to_list() == [0, None, None]
    assert dict(listing.problems.rows()) == {
        "holiday.jpg": "not named as an image of the ImageNet validation set",
        "notes.txt": "not an image: the suffix .txt is none of an image",
        NAME.format(2): "no label in labels.csv",
        NAME.format(3): "no label in labels.csv",
    }


def test_one_number_twice_is_refused_with_both_paths(tmp_path):
    touch(tmp_path, f"{TENCH}/{NAME.format(1)}", f"{GOLDFISH}/{NAME.format(1)}")
    told = refusal(tmp_path)
    assert f"{TENCH}/{NAME.format(1)}" in told
    assert f"{GOLDFISH}/{NAME.format(1)}" in told


def test_a_wnid_that_is_no_class_is_refused(tmp_path):
    touch(tmp_path, "ILSVRC2012_val_00000001_n99999999.JPEG")
    assert "unknown class 'n99999999'" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"filename,wnid\n{NAME.format(1)},n99999999\n", "row 1: unknown class 'n99999999'"),
        (
            f"filename,label\n{NAME.format(1)},0\n{NAME.format(2)},1000\n",
            "row 2: class index 1000 is out of range",
        ),
        (f"filename,label\nholiday.jpg,{TENCH}\n", "row 1: 'holiday.jpg' names no image"),
        (
            f"filename,label\n{NAME.format(1)},0\n{NAME.format(1)},1\n",
            "row 2: 'ILSVRC2012_val_00000001.JPEG' has two",
        ),
        (f"filename,wnid\n{NAME.format(9)},{TENCH}\n", "no label for any of the 3 images"),
        ("a,b\n1,2\n", "the columns are a, b"),
        ("filename,wnid\n", "has no rows"),
    ],
)
def test_labels_that_do_not_fit_are_refused(flat, content, told):
    source = flat.parent / "source.csv"
    source.write_text(content)
    assert told in refusal(flat, labels_from=source)


def test_no_labels_and_no_such_source_say_what_is_read(flat):
    told = refusal(flat)
    for part in ["LOC_val_solution.csv", "labels.csv", "devkit", "--labels-from"]:
        assert part in told
    assert "does not exist" in refusal(flat, labels_from=flat / "gone.mat")
    assert "meta.mat" in refusal(flat, labels_from=flat)


def test_a_broken_devkit_is_refused(flat):
    devkit = flat.parent / "devkit"
    make_devkit(devkit)
    truth = devkit / "data" / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("1\n7\n")
    assert "line 2: there is no ILSVRC2012_ID 7" in refusal(flat, labels_from=devkit)
    truth.write_text("one\n")
    assert "one number a line" in refusal(flat, labels_from=devkit)
    (devkit / "data" / "meta.mat").write_bytes(b"nothing of MATLAB's")
    assert "meta.mat cannot be read" in refusal(flat, labels_from=devkit)


def test_another_folder_is_refused_in_this_layout(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    assert "'cat/1.jpg'" in refusal(tmp_path)
