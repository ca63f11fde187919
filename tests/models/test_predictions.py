import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.models.predictions import Predictions, read_predictions
from analysis.models.readers import top_k

CLASSES = make_class_list("ten", [f"n{i}" for i in range(10)])
# Four items whose own order, file-name order and folder order all differ; too few to refuse anything by chance.
ITEMS = pl.DataFrame(
    {"key": ["d.png", "b.png", "c.png", "a.png"], "label": [1, 0, 1, 0]}, schema_overrides={"label": pl.UInt32}
).with_row_index("item")
FOLDER_ORDER = ["a.png", "b.png", "c.png", "d.png"]


def save(tmp_path: Path, **arrays) -> list[Path]:
    files = []
    for name, array in arrays.items():
        files.append(tmp_path / f"{name}.npy")
        np.save(files[-1], array)
    return files


def table(tmp_path: Path, content: str | pl.DataFrame) -> list[Path]:
    file = tmp_path / ("run.csv" if isinstance(content, str) else "run.parquet")
    if isinstance(content, str):
        file.write_text(content)
    else:
        content.write_parquet(file)
    return [file]


def many_items(n: int = 200) -> pl.DataFrame:
    """Items in the order of their names, labels at random: folder order is quite another."""
    keys = [f"{i:04d}.png" for i in range(n)]
    labels = pl.Series(np.random.default_rng(0).integers(0, 10, n), dtype=pl.UInt32)
    return pl.DataFrame({"key": keys, "label": labels}).with_row_index("item")


# ---- the type


@pytest.mark.parametrize("scores", [True, False])
def test_frame_round_trip(tmp_path, scores):
    predictions = Predictions(
        items=np.array([2, 5], np.uint32),
        classes=np.array([[1, 0], [3, -1]], np.int32),
        scores=np.array([[2.5, 1.5], [7, np.nan]], np.float32) if scores else None,
        kind="logits" if scores else "ranks",
        logsumexp=np.array([3, 8], np.float32) if scores else None,
    )
    predictions.to_frame().write_parquet(tmp_path / "topk.parquet")
    frame = pl.read_parquet(tmp_path / "topk.parquet")
    assert frame.columns == ["item", "classes", "scores", "logsumexp"][: 4 if scores else 2]
    again = Predictions.from_frame(frame, predictions.kind)
    for name in ("items", "classes", "scores", "logsumexp"):
        before, after = getattr(predictions, name), getattr(again, name)
        np.testing.assert_array_equal(before, after)
        assert before is None or before.dtype == after.dtype


def test_round_trip_of_no_items_at_all():
    empty = Predictions(np.empty(0, np.uint32), np.empty((0, 5), np.int32), None, "ranks", None)
    assert Predictions.from_frame(empty.to_frame(), "ranks").classes.shape == (0, 5)


def test_confidence_is_a_probability_or_none():
    items, classes = np.array([0], np.uint32), np.array([[1, 0]], np.int32)
    scores = np.array([[2.0, 0.0]], np.float32)
    total = np.array([np.log(np.exp(2.0) + 1 + np.exp(-1.0))], np.float32)
    logits = Predictions(items, classes, scores, "logits", total).confidence
    assert logits == pytest.approx(np.exp(2) / (np.exp(2) + 1 + np.exp(-1)))
    assert Predictions(items, classes, scores, "logits", None).confidence is None
    assert Predictions(items, classes, scores / 4, "probabilities", None).confidence == pytest.approx(0.5)
    assert Predictions(items, classes, None, "ranks", None).confidence is None


@pytest.mark.parametrize(
    "changed",
    [
        {"items": np.array([1, 1], np.uint32)},
        {"items": np.array([1, 0], np.uint32)},
        {"classes": np.zeros((2,), np.int32)},
        {"scores": np.zeros((2, 3), np.float32)},
        {"logsumexp": np.zeros(3, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed):
    good = {
        "items": np.array([0, 1], np.uint32),
        "classes": np.zeros((2, 2), np.int32),
        "scores": None,
        "kind": "logits",
        "logsumexp": None,
    }
    Predictions(**good)
    with pytest.raises(ValueError, match=r"not|scores are"):
        Predictions(**(good | changed))


# ---- ranking


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-2, 2)),
    st.integers(1, 9),
)
def test_top_k_is_a_stable_sort(scores, k):
    expected = [sorted(range(len(row)), key=lambda column: (-row[column], column))[:k] for row in scores.tolist()]
    assert top_k(scores, k).tolist() == expected


def test_pairs_of_classes_and_scores_are_ranked_by_score_and_ties_keep_the_columns_order(tmp_path):
    found = np.array([[4, 5, 6], [1, 2, 3], [7, 8, 9], [0, 1, 2]])
    scores = np.array([[0.1, 0.2, 0.4], [0.3, 0.1, 0.3], [0.2, 0.2, 0.2], [0.5, 0.3, 0.1]], np.float16)
    files = save(tmp_path, top5probs=scores, top5preds=found)
    imported = read_predictions(files, ITEMS, CLASSES, order="keys")
    assert imported.predictions.classes.tolist() == [[6, 5, 4], [1, 3, 2], [7, 8, 9], [0, 1, 2]]
    assert imported.predictions.scores[0] == pytest.approx([0.4, 0.2, 0.1], abs=1e-3)
    assert imported.predictions.kind == imported.record["scores"] == "probabilities"
    assert imported.record["format"] == "top-k pair"
    assert imported.record["checks"]["ranked_in_file"] is False
    assert imported.record["checks"]["rows_with_ties"] == 2


def test_scores_are_ranked_before_they_are_cast(tmp_path):
    scores = np.array([[1.0, 1.0 + 1e-12]] * 4)
    imported = read_predictions(
        save(tmp_path, classes=np.array([[3, 5]] * 4), scores=scores), ITEMS, CLASSES, order="keys"
    )
    assert imported.predictions.top1.tolist() == [5] * 4
    assert imported.predictions.scores.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dense_logits(tmp_path, dtype):
    scores = np.random.default_rng(0).normal(size=(4, 10)).astype(dtype)
    imported = read_predictions(save(tmp_path, logits=scores), ITEMS, CLASSES, order="keys")
    predictions = imported.predictions
    assert predictions.kind == "logits"
    assert imported.record["output_classes"] == 10
    assert predictions.top1.tolist() == scores.argmax(axis=1).tolist()
    total = np.log(np.exp(scores.astype(np.float64)).sum(axis=1))
    assert predictions.logsumexp == pytest.approx(total, rel=1e-5)
    assert predictions.confidence == pytest.approx(np.exp(scores.max(axis=1) - total), rel=2e-3)


def test_dense_probabilities(tmp_path):
    scores = np.random.default_rng(0).dirichlet(np.ones(10), size=4)
    imported = read_predictions(save(tmp_path, probs=scores), ITEMS, CLASSES, order="keys")
    assert imported.predictions.kind == "probabilities"
    assert imported.predictions.logsumexp is None
    assert imported.predictions.confidence == pytest.approx(scores.max(axis=1))


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_dense_scores_between_0_and_1_that_do_not_sum_to_1_are_no_probabilities(tmp_path, scale):
    scores = scale * np.random.default_rng(0).dirichlet(np.ones(10) * 20, size=4)
    assert scores.max() < 1
    assert read_predictions(save(tmp_path, s=scores), ITEMS, CLASSES, order="keys").predictions.kind == "logits"


def test_a_class_that_comes_again_in_a_row_counts_once_and_is_recorded(tmp_path):
    found = np.array([[4, 4, 6], [1, 2, 3], [7, 7, 7], [0, 1, 0]])
    imported = read_predictions(save(tmp_path, ranked=found), ITEMS, CLASSES, order="keys")
    assert imported.predictions.classes.tolist() == [[4, 6, -1], [1, 2, 3], [7, -1, -1], [0, 1, -1]]
    assert imported.record["checks"]["rows_with_repeated_classes"] == 3


# ---- rows and items


@pytest.mark.parametrize(
    ("order", "keys"),
    [("imagefolder", FOLDER_ORDER), ("filename", FOLDER_ORDER), ("keys", ITEMS["key"].to_list())],
)
def test_each_row_order(tmp_path, order, keys):
    files = save(tmp_path, ranked=np.arange(4))
    imported = read_predictions(files, ITEMS, CLASSES, order=order)
    by_key = dict(zip(keys, range(4), strict=True))
    assert imported.predictions.items.tolist() == [0, 1, 2, 3]
    assert imported.predictions.top1.tolist() == [by_key[key] for key in ITEMS["key"]]
    assert imported.record["order"] == order


def test_imagefolder_order_is_by_folder_then_file_name():
    """By class id where keys name no folder; by the folder where they do, whatever the label says."""
    items = many_items(100)
    folder_rows = items.sort("label", "key")
    with_folders = items.with_columns(key="x" + (9 - pl.col("label")).cast(pl.String) + "/" + pl.col("key"))
    for frame, rows in ((items, folder_rows), (with_folders, with_folders.sort("key"))):
        found = _read_order(frame, rows["label"].to_numpy().astype(np.int64))
        assert (found.predictions.top1 == frame["label"].to_numpy()).all()
        assert found.record["order"] == "imagefolder"


def _read_order(items: pl.DataFrame, ranked: np.ndarray, classes=CLASSES, **options):
    with tempfile.TemporaryDirectory() as folder:
        return read_predictions(save(Path(folder), ranked=ranked), items, classes, **options)


def test_an_order_that_nobody_stated_is_recognised():
    items = many_items().reverse().drop("item").with_row_index("item")
    by_name = items.sort("key")["label"].to_numpy().astype(np.int64)
    assert _read_order(items, by_name).record["order"] == "filename"
    assert _read_order(items, items["label"].to_numpy().astype(np.int64)).record["order"] == "keys"


def test_an_order_that_the_labels_cannot_tell_must_be_stated():
    unlabelled = many_items().with_columns(label=pl.lit(None, pl.UInt32)).reverse().drop("item").with_row_index("item")
    with pytest.raises(InputError, match="State it with --order"):
        _read_order(unlabelled, np.zeros(200, np.int64))
    with pytest.raises(InputError, match="State it with --order"):
        _read_order(ITEMS, np.zeros(4, np.int64))


def test_imagefolder_order_needs_labels():
    with pytest.raises(InputError, match="label for every item"):
        _read_order(ITEMS.with_columns(label=pl.lit(None, pl.UInt32)), np.zeros(4, np.int64), order="imagefolder")


def test_unknown_order():
    with pytest.raises(InputError, match="imagefolder, filename, keys"):
        _read_order(ITEMS, np.zeros(4, np.int64), order="alphabetical")


def test_tombstones_have_no_row():
    items = ITEMS.with_columns(missing=pl.Series([False, True, False, False]))
    imported = _read_order(items, np.array([5, 6, 7]), order="keys")
    assert imported.predictions.items.tolist() == [0, 2, 3]
    assert imported.predictions.top1.tolist() == [5, 6, 7]


def test_wrong_length_names_both_numbers():
    with pytest.raises(InputError, match=r"199 rows.*200 items"):
        _read_order(many_items(), np.zeros(199, np.int64), order="keys")


def test_wrong_order_is_refused_and_the_right_one_named():
    items = many_items()
    folder_order = items.sort("label", "key")["label"].to_numpy().astype(np.int64)
    with pytest.raises(InputError, match="--order imagefolder"):
        _read_order(items, folder_order, order="filename")
    forced = _read_order(items, folder_order, order="filename", force=True)
    assert "--order imagefolder" in forced.record["checks"]["forced_against"][0]
    assert _read_order(items, folder_order, order="imagefolder").record["checks"]["forced_against"] == []


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda right: np.random.default_rng(1).permutation(right), "another class list"),
        (lambda right: np.roll(right, 1), "one row too many"),
        (lambda right: np.roll(right, -1), "lacks its first row"),
        (lambda right: np.where(right == 9, 0, right + 1), "count from 1"),
        (lambda right: np.stack([(right + 3) % 10, right], axis=1), "not ranked best first"),
    ],
)
def test_likely_causes_of_chance_are_named(spoil, cause):
    items = many_items()
    right = items["label"].to_numpy().astype(np.int64)
    with pytest.raises(InputError, match=cause):
        _read_order(items, spoil(right), order="keys")
    assert _read_order(items, spoil(right), order="keys", force=True).record["checks"]["forced_against"]


def test_one_class_is_no_reason_to_refuse():
    items = many_items().with_columns(label=pl.lit(3, pl.UInt32))
    assert _read_order(items, np.full(200, 3), order="keys").record["checks"]["top1"] == 1.0


# ---- tables


LONG = "key,class,score\nb.png,n1,0.1\na.png,n2,0.3\nb.png,n4,0.6\nb.png,n5,0.2\n"


@pytest.mark.parametrize(
    "content",
    [
        "filename,class_1,class_2,class_3,score_1,score_2,score_3\na.png,2,,,0.3,,\nb.png,1,4,5,0.1,0.6,0.2\n",
        "image,label,top1,top2,top3,prob1,prob2,prob3\na.png,n9,n2,,,0.3,,\nb.png,n9,n1,n4,n5,0.1,0.6,0.2\n",
        "filename,index_0,index_1,index_2,prob_0,prob_1,prob_2\nb.png,1,4,5,0.1,0.6,0.2\na.png,2,,,0.3,,\n",
        LONG,
        pl.DataFrame({"key": ["a.png", "b.png"], "index": [[2], [4, 5, 1]], "prob": [[0.3], [0.6, 0.2, 0.1]]}),
    ],
    ids=["wide", "with the true label", "timm", "long", "lists"],
)
def test_tables(tmp_path, content):
    imported = read_predictions(table(tmp_path, content), ITEMS, CLASSES)
    predictions = imported.predictions
    assert predictions.items.tolist() == [1, 3]
    assert predictions.classes.tolist() == [[4, 5, 1], [2, -1, -1]]
    np.testing.assert_allclose(predictions.scores, [[0.6, 0.2, 0.1], [0.3, np.nan, np.nan]], rtol=1e-6)
    assert predictions.kind == "probabilities"
    assert imported.record["order"] == "keys"
    assert imported.record["format"] == ("long table" if content is LONG else "wide table")


def test_one_prediction_a_row_beside_the_true_label(tmp_path):
    files = table(tmp_path, "filename,label,pred,prob\na.png,n0,n3,0.5\nb.png,n0,n4,0.7\n")
    predictions = read_predictions(files, ITEMS, CLASSES).predictions
    assert predictions.classes.tolist() == [[4], [3]]
    assert predictions.confidence == pytest.approx([0.7, 0.5])


def test_ranks_without_scores_and_logits_of_the_best(tmp_path):
    ranks = read_predictions(table(tmp_path, "key,pred_1,pred_2\na.png,n3,n1\n"), ITEMS, CLASSES).predictions
    assert (ranks.kind, ranks.scores, ranks.confidence) == ("ranks", None, None)
    content = "key,pred_1,pred_2,logit_1,logit_2\na.png,n3,n1,7.5,-1\n"
    logits = read_predictions(table(tmp_path, content), ITEMS, CLASSES).predictions
    assert (logits.kind, logits.confidence) == ("logits", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("key,class\na.png,n1\nz.png,n2\n", ["row 2", "z.png"]),
        ("key,class\na.png,n1\nb.png,whale\n", ["row 2", "whale"]),
        ("key,class\na.png,n1\nb.png,10\n", ["row 2", "10"]),
        ("key,class_1,class_2\na.png,1,2\na.png,2,1\n", ["a.png", "more than one row"]),
        ("key,class,score\na.png,n1,0.5\nb.png,n2,high\n", ["row 2", "high"]),
        ("key,class,score\na.png,n1,0.5\nb.png,n2,NaN\n", ["b.png", "nan"]),
        ("key,class,score\na.png,n1,0.5\nb.png,n2,\n", ["b.png", "nan"]),
        ("key,class_1,class_2,score_1\na.png,1,2,0.5\n", ["2 columns of classes", "1 of scores"]),
        ("key,colour\na.png,red\n", ["key, colour", "class_1"]),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, content, words):
    with pytest.raises(InputError) as error:
        read_predictions(table(tmp_path, content), ITEMS, CLASSES)
    for word in words:
        assert word in str(error.value)


def test_a_table_with_keys_takes_no_other_order(tmp_path):
    files = table(tmp_path, "key,class\na.png,n1\n")
    assert read_predictions(files, ITEMS, CLASSES, order="keys").predictions.items.tolist() == [3]
    with pytest.raises(InputError, match="leave out --order"):
        read_predictions(files, ITEMS, CLASSES, order="imagefolder")


# ---- arrays that cannot be used


def nan_at(row: int, value: float = np.nan) -> np.ndarray:
    scores = np.zeros((4, 10))
    scores[row, 2] = value
    return scores


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"ranked": np.array([[1], [2], [10], [3]])}, ["ranked.npy", "row 3", "10", "10 classes, from 0"]),
        ({"ranked": np.array([[1], [2], [10], [3]])}, ["count from 1"]),
        ({"ranked": np.array([[1], [-1], [0], [3]])}, ["row 2", "-1"]),
        ({"logits": nan_at(2)}, ["logits.npy", "row 3", "nan"]),
        ({"logits": nan_at(1, np.inf)}, ["row 2", "inf"]),
        ({"a": np.zeros((4, 2), int), "b": np.full((4, 2), np.nan)}, ["b.npy", "row 1"]),
        ({"a": np.zeros((4, 2), int), "b": np.zeros((3, 2))}, ["4 x 2", "3 x 2"]),
        ({"logits": np.zeros((4, 11))}, ["11 classes", "has 10"]),
        ({"a": np.zeros((4, 10)), "b": np.zeros((4, 10))}, ["a.npy", "b.npy", "N x 10"]),
        ({"a": np.zeros((4, 2, 2), int)}, ["4 x 2 x 2"]),
        ({"a": np.array(["x"] * 4)}, ["a.npy"]),
        ({"a": np.array([{}], dtype=object)}, ["a.npy"]),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, arrays, words):
    with pytest.raises(InputError) as error:
        read_predictions(save(tmp_path, **arrays), ITEMS, CLASSES, order="keys")
    for word in words:
        assert word in str(error.value)


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"no array")
    for names in (["x.npy"], ["missing.npy"], ["run.pkl"], ["a.npy", "b.csv"], ["a.csv", "b.csv"], []):
        with pytest.raises(InputError):
            read_predictions([tmp_path / name for name in names], ITEMS, CLASSES)


# ---- the published files


@pytest.fixture(scope="module")
def imagenet_items(shared_data: Path) -> pl.DataFrame:
    table = pl.read_csv(shared_data / "imagenet-val/labels.csv")
    return table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")


@pytest.mark.shared_data
def test_published_pair_unstated_stated_and_in_another_workspace_order(shared_data, imagenet_items):
    folder = shared_data / "imagenet-val/predictions"
    files = [folder / f"resnet50_pytorch_imagenet_top5{part}.npy" for part in ("preds", "probs")]
    imported = read_predictions(files, imagenet_items, imagenet_1k())
    assert imported.record["order"] == "imagefolder"
    assert imported.record["checks"]["top1"] == pytest.approx(0.75062)
    assert imported.record["checks"]["chance"] == pytest.approx(0.001, rel=1e-6)
    assert (np.diff(imported.predictions.scores, axis=1) <= 0).all()

    by_name = imagenet_items.drop("item").sort("key").with_row_index("item")
    assert read_predictions(files, by_name, imagenet_1k()).record["order"] == "imagefolder"
    with pytest.raises(InputError, match=r"top-1 would be 75\.1%.*--order imagefolder"):
        read_predictions(files, by_name, imagenet_1k(), order="filename")
    with pytest.raises(InputError, match=r"50,000 rows.*49,999 items"):
        read_predictions(files, imagenet_items.head(49_999), imagenet_1k())


@pytest.mark.shared_data
def test_published_top5_classes_without_their_scores_are_not_taken_for_ranked(shared_data, imagenet_items):
    for model in ("resnet50_pytorch", "alexnet_pytorch", "nasnetlarge_keras"):
        file = shared_data / f"imagenet-val/predictions/{model}_imagenet_top5preds.npy"
        with pytest.raises(InputError, match="not ranked best first"):
            read_predictions([file], imagenet_items, imagenet_1k(), order="imagefolder")


@pytest.mark.shared_data
def test_published_ranks(shared_data, imagenet_items):
    file = shared_data / "imagenet-val/predictions/densenet161_torchvision_top5ranked.npy"
    imported = read_predictions([file], imagenet_items, imagenet_1k(), order="imagefolder")
    assert imported.record["scores"] == "ranks"
    assert imported.record["checks"]["top1"] == pytest.approx(0.77138)
    one_more = make_class_list("1001", [f"x{i:04d}" for i in range(1001)])
    with pytest.raises(InputError, match="count from 1"):
        _read_order(imagenet_items, np.load(file) + 1, one_more, order="imagefolder")
