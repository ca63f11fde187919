import subprocess
import sys

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.labels.real import is_imagenet_val, real_label_set


def key(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([key(1), key(50_000)], True),
        ([key(1), "ILSVRC2012_val_00000002_n01440764.JPEG"], False),
        ([key(1), "n01440764/" + key(2)], False),
        ([key(1), "ILSVRC2012_val_2.JPEG"], False),
        ([key(1), "ILSVRC2012_val_00000002.png"], False),
        ([key(0)], False),
        ([key(50_001)], False),
        ([], False),
    ],
)
def test_keys_of_imagenets_validation_set(keys, expected):
    assert is_imagenet_val(pl.Series(keys, dtype=pl.String)) is expected


def test_labels_go_by_the_image_number_in_the_key_not_by_the_row():
    items = pl.DataFrame({"item": [0, 1, 2], "key": [key(5), key(1), key(2)]}, schema_overrides={"item": pl.UInt32})
    labels = real_label_set(items)
    # The published lists begin [], [970, 795], [230, 231], [809], [516, 850].
    assert labels.labels.select("item", "class").rows() == [(0, 516), (0, 850), (2, 795), (2, 970)]
    assert labels.items["scored"].to_list() == [True, False, True]
    assert (labels.name, labels.absent) == ("real", "wrong")
    assert "models" in labels.note


def test_other_keys_are_refused():
    with pytest.raises(InputError, match="ILSVRC2012_val"):
        real_label_set(pl.DataFrame({"item": [0], "key": ["cat.jpg"]}))


def test_whole_validation_set():
    labels = real_label_set(pl.DataFrame({"key": [key(n) for n in range(1, 50_001)]}).with_row_index("item"))
    assert labels.items.height == 50_000
    assert labels.items["scored"].sum() == 46_837
    per_item = labels.labels.group_by("item").len()["len"]
    assert (per_item == 1).sum() == 39_394
    assert (per_item > 5).sum() == 144
    assert labels.conflicts == 0


def test_neither_torch_nor_timm_is_imported():
    code = (
        "import sys, polars as pl; from analysis.labels.real import real_label_set\n"
        "real_label_set(pl.DataFrame({'item': [0], 'key': ['ILSVRC2012_val_00000001.JPEG']}))\n"
        "import analysis.metrics, analysis.outcomes, analysis.models.predictions, analysis.labels.readers\n"
        "sys.exit(bool({'torch', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
