import json
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
from analysis.models.formats.ranking import top_k
from analysis.models.predictions import Predictions, read_predictions

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
        ({"logits": np.zeros((4, 12))}, ["12 classes", "has 10"]),
        ({"a": np.zeros((4, 10)), "b": np.zeros((4, 10))}, ["a.npy", "b.npy", "N x 10"]),
        ({"a": np.zeros((4, 2, 2), int)}, ["4 x 2 x 2"]),
        ({"a": np.array(["x"] * 4)}, ["No numbers", "N x 10"]),
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


# ---- scores of all classes: what is kept, masks, background classes, NaN


def dense_logits(n: int = 200, n_classes: int = 10, *, seed: int = 0) -> np.ndarray:
    """Scores whose best class is the label of `many_items` on nine of ten items."""
    labels = many_items(n)["label"].to_numpy()
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, n_classes)).astype(np.float32)
    right = rng.random(n) < 0.9
    scores[np.arange(n), np.where(right, labels, 0)] += 8
    return scores


def read_dense(tmp_path, scores, items=None, **options):
    return read_predictions(save(tmp_path, scores=scores), many_items() if items is None else items, CLASSES, **options)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dense_scores_are_kept_as_float16_rows_of_the_items(tmp_path, dtype):
    scores = dense_logits().astype(dtype)
    shuffled = many_items().sample(fraction=1, shuffle=True, seed=1).drop("item").with_row_index("item")
    imported = read_dense(tmp_path, scores, shuffled, order="filename")
    assert imported.dense.dtype == np.float16
    by_key = dict(zip(many_items()["key"], scores.astype(np.float16), strict=True))
    np.testing.assert_array_equal(imported.dense, np.stack([by_key[key] for key in shuffled["key"]]))
    assert imported.record["scores_over"] == "all classes"
    assert imported.record["mask"] is None


def test_ranks_are_taken_before_scores_are_cast_to_float16(tmp_path):
    scores = dense_logits()
    scores[:, 3], scores[:, 4] = 30.0, 30.001  # one number as float16
    imported = read_dense(tmp_path, scores, order="filename", force=True)
    assert set(imported.predictions.top1) == {4}
    assert (imported.dense[:, 3] == imported.dense[:, 4]).all()


def test_float16_ties_keep_the_columns_order_and_are_counted(tmp_path):
    scores = dense_logits().astype(np.float16)
    scores[:7, [8, 2, 5]] = 50.0
    imported = read_dense(tmp_path, scores, order="filename", force=True)
    assert imported.predictions.classes[:7, :3].tolist() == [[2, 5, 8]] * 7
    assert imported.record["checks"]["rows_with_ties"] >= 7


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, (4, 10), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])))
def test_masked_classes_have_no_rank(scores):
    scores[:, 0] = 1.0
    with tempfile.TemporaryDirectory() as folder:
        imported = read_predictions(save(Path(folder), s=scores), ITEMS, CLASSES, order="keys")
    predictions = imported.predictions
    # Probabilities of 0 in every row are a mask too.
    competes = (scores > (0 if predictions.kind == "probabilities" else -np.inf)).any(axis=0)
    for row, found in zip(scores.tolist(), predictions.classes.tolist(), strict=True):
        there = [place for place in range(10) if row[place] > -np.inf and competes[place]]
        expected = sorted(there, key=lambda place: (-row[place], place))
        assert [place for place in found if place >= 0] == expected
    competing = np.flatnonzero(competes).tolist()
    assert imported.record["output_classes"] == len(competing)
    assert imported.record["mask"] == (None if len(competing) == 10 else competing)


def test_scores_over_a_mask_are_recorded(tmp_path):
    scores = dense_logits()
    scores[:, [7, 9]] = -np.inf
    record = read_dense(tmp_path, scores, order="filename").record
    assert (record["scores_over"], record["output_classes"]) == ("a mask", 8)
    assert record["mask"] == [0, 1, 2, 3, 4, 5, 6, 8]
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert read_dense(tmp_path, softmax, order="filename").record["mask"] == [0, 1, 2, 3, 4, 5, 6, 8]


def with_background(scores: np.ndarray, place: int, level: float) -> np.ndarray:
    return np.insert(scores, place, level, axis=1)


@pytest.mark.parametrize("softmax", [False, True])
def test_one_more_output_loses_its_background_class_by_position(tmp_path, softmax):
    plain, more = dense_logits(), with_background(dense_logits(), 0, 20.0)
    if softmax:
        plain, more = (np.exp(s) / np.exp(s).sum(axis=1, keepdims=True) for s in (plain, more.astype(np.float64)))
    imported = read_dense(tmp_path, more, order="filename")
    expected = read_dense(tmp_path, plain, order="filename")
    assert imported.predictions.kind == expected.predictions.kind
    np.testing.assert_array_equal(imported.predictions.classes, expected.predictions.classes)
    np.testing.assert_allclose(imported.predictions.scores, expected.predictions.scores, rtol=1e-4)
    np.testing.assert_allclose(imported.dense, expected.dense, rtol=2e-3, atol=1e-6)
    if not softmax:
        np.testing.assert_allclose(imported.predictions.logsumexp, expected.predictions.logsumexp, rtol=1e-5)
    assert "by position" in imported.record["checks"]["background"]


def test_a_background_class_that_stands_last_is_the_likely_cause(tmp_path):
    with pytest.raises(InputError, match="background class stand last"):
        read_dense(tmp_path, with_background(dense_logits(), 10, -9.0), order="filename")


def test_columns_named_in_the_file_in_any_order_with_a_background_class(tmp_path):
    scores = dense_logits()
    columns = [3, 1, 0, 2, 9, 8, 7, 5, 4]  # class 6 did not compete
    names = np.array([f"n{i}" for i in columns] + ["background"])
    file = tmp_path / "run.npz"
    keys = np.array([f"x/{key}" for key in many_items()["key"]])
    truth = many_items()["label"].to_numpy()
    np.savez(file, logits=with_background(scores[:, columns], 9, 20.0), class_names=names, filenames=keys, labels=truth)
    imported = read_predictions([file], many_items(), CLASSES)
    assert imported.record["order"] == "keys"
    assert imported.record["keys_matched_by"] == "base name"
    assert imported.record["checks"]["background"] == "'background', by name"
    assert imported.record["checks"]["arrays_not_read"] == ["labels in run.npz"]
    assert imported.record["mask"] == sorted(columns)
    masked = scores.copy()
    masked[:, 6] = -np.inf
    assert imported.predictions.top1.tolist() == masked.argmax(axis=1).tolist()
    assert np.isneginf(imported.dense[:, 6]).all()


def test_percent_are_probabilities(tmp_path):
    scores = np.exp(dense_logits())
    percent = 100 * scores / scores.sum(axis=1, keepdims=True)
    imported = read_dense(tmp_path, percent, order="filename")
    assert imported.predictions.kind == "probabilities"
    assert imported.predictions.scores.max() <= 1
    assert imported.record["checks"]["scale"] == "percent"


def test_nan_is_refused_and_left_out_when_forced(tmp_path):
    scores = dense_logits()
    scores[5, :], scores[9, 2] = np.nan, np.inf
    with pytest.raises(InputError, match=r"row 6 holds the score nan \(2 rows"):
        read_dense(tmp_path, scores, order="filename")
    imported = read_dense(tmp_path, scores, order="filename", force=True)
    assert imported.predictions.classes[5].tolist() == [-1] * 10
    assert 2 not in imported.predictions.classes[9]
    assert imported.record["checks"]["rows_with_nan"] == 2
    assert len(imported.record["checks"]["forced_against"]) == 1
    pair = save(tmp_path, c=np.tile([1, 2], (200, 1)), s=np.where(np.arange(200)[:, None] == 7, np.nan, [[0.5, 0.1]]))
    forced = read_predictions(pair, many_items(), CLASSES, order="filename", force=True)
    assert forced.predictions.classes[7].tolist() == [-1, -1]
    assert forced.predictions.kind == "probabilities"


# ---- pairs whose arrays are not what they seem


def test_ranks_beside_classes_sort_them_the_lowest_first(tmp_path):
    found = np.array([[4, 5, 6], [1, 2, 3], [7, 8, 9], [0, 1, 2]])
    ranks = np.array([[3, 1, 2], [1, 2, 3], [2, 3, 1], [1, 3, 2]])
    for scores in (ranks, ranks - 1, ranks.astype(np.float32)):
        imported = read_predictions(save(tmp_path, found=found, ranks=scores), ITEMS, CLASSES, order="keys")
        assert imported.predictions.classes.tolist() == [[5, 6, 4], [1, 2, 3], [9, 7, 8], [0, 2, 1]]
        assert (imported.predictions.kind, imported.predictions.scores) == ("ranks", None)
        assert imported.record["checks"]["scores_are_ranks"] is True


def test_classes_stored_as_floats(tmp_path):
    found = np.array([[4, 5], [1, 2], [7, 8], [0, 1]], np.float32)
    alone = read_predictions(save(tmp_path, found=found), ITEMS, CLASSES, order="keys")
    assert alone.predictions.classes.tolist() == found.tolist()
    scores = np.array([[0.1, 0.7]] * 4)
    pair = read_predictions(save(tmp_path, found=found, scores=scores), ITEMS, CLASSES, order="keys")
    assert pair.predictions.top1.tolist() == [5, 2, 8, 1]


# ---- class numbers that mean something else


@pytest.mark.parametrize(
    ("renumbered", "cause"),
    [
        (np.array(sorted(range(40), key=str)), "numbered 0, 1, 10, 11"),
        (np.argsort(sorted(range(40), key=str)), "numbered 0, 1, 10, 11"),
        (np.random.default_rng(5).permutation(40), "followed another class list"),
    ],
)
def test_class_lists_in_another_order_are_named(renumbered, cause):
    classes = make_class_list("forty", [f"n{i:02d}" for i in range(40)])
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, 2000)
    items = pl.DataFrame({"key": [f"{i:05d}" for i in range(2000)], "label": pl.Series(labels, dtype=pl.UInt32)})
    right = np.where(rng.random(2000) < 0.8, labels, rng.integers(0, 40, 2000))
    assert _read_order(items.with_row_index("item"), right, classes, order="keys").record["checks"]["top1"] > 0.75
    with pytest.raises(InputError, match=cause):
        _read_order(items.with_row_index("item"), renumbered[right], classes, order="keys")


@pytest.mark.shared_data
def test_published_predictions_in_every_wrong_order_are_refused_with_the_cause(shared_data, imagenet_items):
    file = shared_data / "imagenet-val/predictions/resnet18_torchvision_top5ranked.npy"
    right, classes = np.load(file).astype(np.int64), imagenet_1k()
    # The development kit's numbers begin with these classes; the rest of the kit's order is made up here.
    kit = [f"n{n:08d}" for n in (2119789, 2100735, 2110185, 2096294, 2102040, 2066245, 2509815, 2124075, 2417914)]
    kit = [*kit, "n02123394"]
    others = [wnid for wnid in np.random.default_rng(0).permutation(classes.ids) if wnid not in kit]
    number = {wnid: place for place, wnid in enumerate([*kit, *others])}
    as_ids = np.array([number[wnid] for wnid in classes.ids])
    as_text = np.argsort(sorted(range(1000), key=str))
    by_folder_number = imagenet_items.with_columns(folder=pl.col("label").cast(pl.String)).sort("folder", "key")
    wrong = {
        "lacks its first row": np.roll(right, -1, axis=0),
        "one row too many": np.roll(right, 1, axis=0),
        "--order filename": right[imagenet_items.sort("key")["item"].to_numpy()],
        r"rows follow folders numbered 0, 1, 10": right[by_folder_number["item"].to_numpy()],
        r"classes follow folders numbered 0, 1, 10": as_text[right],
        "ILSVRC2012_IDs": as_ids[right],
        "another class list": np.random.default_rng(1).permutation(1000)[right],
        "rows belong to other images": np.random.default_rng(1).permutation(right),
    }
    for cause, rows in wrong.items():
        with pytest.raises(InputError, match=cause):
            _read_order(imagenet_items, rows, classes, order="imagefolder")


# ---- tables and JSON as tools write them


def write(tmp_path: Path, name: str, content) -> list[Path]:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return [file]


TOOLS = {
    "torchvision": (
        "run.csv",
        "image,top1_class,top1_prob,top2_class,top2_prob,top3_class,top3_prob\n"
        "b.png,4,0.6,5,0.2,1,0.1\na.png,2,0.3,,,,\n",
    ),
    "timm with names beside": (
        "run.csv",
        "filename,index_0,index_1,index_2,label_0,label_1,label_2,prob_0,prob_1,prob_2\n"
        "b.png,4,5,1,fish,bird,cat,0.6,0.2,0.1\na.png,2,,,dog,,,0.3,,\n",
    ),
    "timm with lists as text": (
        "run.csv",
        'filename,index,prob\nb.png,"[4, 5, 1]","[0.6, 0.2, 0.1]"\na.png,[2],[ 0.3]\n',
    ),
    "numpy's lists as text": (
        "run.tsv",
        "filename\tindex\tprob\nb.png\t[4 5 1]\t[0.6 0.2 0.1]\na.png\t[2]\t[0.3]\n",
    ),
    "names in lists as text": (
        "run.csv",
        "filename,label,prob\nb.png,\"['n4', 'n5', 'n1']\",\"[0.6, 0.2, 0.1]\"\na.png,['n2'],[0.3]\n",
    ),
    "no header": ("run.csv", "b.png,4,5,1,0.6,0.2,0.1\na.png,2,,,0.3,,\n"),
    "timm json": (
        "run.json",
        {"b.png": {"index": [4, 5, 1], "prob": [0.6, 0.2, 0.1]}, "a.png": {"index": [2], "prob": [0.3]}},
    ),
    "timm json-record": (
        "run.json",
        [
            {"filename": "b.png", "index": [4, 5, 1], "prob": [0.6, 0.2, 0.1]},
            {"filename": "a.png", "index": [2], "prob": [0.3]},
        ],
    ),
    "timm json-split": (
        "run.json",
        {
            "columns": ["filename", "index", "prob"],
            "index": [0, 1],
            "data": [["b.png", [4, 5, 1], [0.6, 0.2, 0.1]], ["a.png", [2], [0.3]]],
        },
    ),
    "jsonl": (
        "run.jsonl",
        '{"file": "b.png", "classes": ["n4", "n5", "n1"], "scores": [0.6, 0.2, 0.1]}\n\n'
        '{"file": "a.png", "classes": ["n2"], "scores": [0.3]}\n',
    ),
    "pipeline by key": (
        "run.json",
        {
            "b.png": [{"score": 0.1, "label": "n1"}, {"score": 0.6, "label": "n4"}, {"score": 0.2, "label": "n5"}],
            "a.png": [{"score": 0.3, "label": "n2"}],
        },
    ),
    "pipeline in records": (
        "run.jsonl",
        '{"image": "b.png", "predictions": [{"label": "LABEL_4", "score": 0.6},'
        ' {"label": "LABEL_5", "score": 0.2}, {"label": "LABEL_1", "score": 0.1}]}\n'
        '{"image": "a.png", "predictions": [{"label": "LABEL_2", "score": 0.3}]}\n',
    ),
    "pairs": ("run.json", {"b.png": [["n4", 0.6], ["n5", 0.2], ["n1", 0.1]], "a.png": [["n2", 0.3]]}),
    "scores by class": ("run.json", {"b.png": {"n1": 0.1, "n4": 0.6, "n5": 0.2}, "a.png": {"n2": 0.3}}),
    "nested": ("run.json", {"results": [
        {"key": "b.png", "output": {"n1": 0.1, "n4": 0.6, "n5": 0.2}}, {"key": "a.png", "output": {"n2": 0.3}}
    ]}),
    "background by name": ("run.json", {
        "b.png": [["background", 0.05], ["n4", 0.6], ["n5", 0.2], ["n1", 0.1]], "a.png": [["n2", 0.3]]
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_what_tools_write(tmp_path, name):
    imported = read_predictions(write(tmp_path, *TOOLS[name]), ITEMS, CLASSES)
    predictions = imported.predictions
    assert predictions.items.tolist() == [1, 3]
    assert predictions.classes[:, :3].tolist() == [[4, 5, 1], [2, -1, -1]]
    np.testing.assert_allclose(predictions.scores[:, :3], [[0.6, 0.2, 0.1], [0.3, np.nan, np.nan]], rtol=1e-6)
    assert predictions.kind == imported.record["scores"] == "probabilities"
    assert imported.record["scores_over"] == "top-k"
    assert ("background" in imported.record["checks"]) == name.startswith("background")


RANKED = {
    "long with ranks": ("run.csv", "key,class,rank\nb.png,n5,2\na.png,n2,1\nb.png,n4,1\nb.png,n1,3\n"),
    "classes alone": ("run.json", {"b.png": ["n4", "n5", "n1"], "a.png": ["n2"]}),
    "lines of records": ("run.jsonl", '{"key": "b.png", "preds": [4, 5, 1]}\n{"key": "a.png", "preds": [2]}\n'),
}


@pytest.mark.parametrize("name", RANKED)
def test_ranks_without_scores(tmp_path, name):
    predictions = read_predictions(write(tmp_path, *RANKED[name]), ITEMS, CLASSES).predictions
    assert predictions.classes.tolist() == [[4, 5, 1], [2, -1, -1]]
    assert (predictions.kind, predictions.scores) == ("ranks", None)


def test_one_mistake_an_image_as_panels_publish_them(tmp_path):
    content = {"b.png": {"top_prediction": 4, "failure category": "x"}, "a.png": {"top_prediction": 2}}
    assert read_predictions(write(tmp_path, "m.json", content), ITEMS, CLASSES).predictions.top1.tolist() == [4, 2]


@pytest.mark.parametrize("named", ["ids", "numbers", "logit_"])
def test_a_table_with_a_column_a_class_is_dense(tmp_path, named):
    scores = dense_logits()
    names = {"ids": CLASSES.ids, "numbers": list(map(str, range(10))), "logit_": [f"logit_{i}" for i in range(10)]}
    frame = pl.DataFrame({"filename": many_items()["key"], **dict(zip(names[named], scores.T, strict=True))})
    imported = read_predictions(table(tmp_path, frame.sample(fraction=1, shuffle=True)), many_items(), CLASSES)
    assert imported.predictions.top1.tolist() == scores.argmax(axis=1).tolist()
    assert imported.record["format"] == "dense table"
    np.testing.assert_array_equal(imported.dense, scores.astype(np.float16))


def test_pipeline_output_without_keys_in_a_stated_order_with_all_names_in_a_row(tmp_path):
    classes = make_class_list(
        "birds", ["n0", "n1", "n2", "n3"], names=["crane", "crane", "maillot", "maillot"],
        synonyms=[[], [], [], ["tank suit"]],
    )  # fmt: skip
    output = [[{"label": name, "score": 0.9}, {"label": "n1", "score": 0.1}] for name in
              ("maillot", "maillot, tank suit", "n0", "LABEL_0")]  # fmt: skip
    imported = read_predictions(write(tmp_path, "out.json", output), ITEMS, classes, order="keys")
    assert imported.predictions.top1.tolist() == [2, 3, 0, 0]
    assert imported.record["format"] == "pipeline output"
    output[2][0]["label"] = "crane"
    files = write(tmp_path, "out.json", output)
    with pytest.raises(InputError, match="'crane' is that of n0 and n1, in 1 places"):
        read_predictions(files, ITEMS, classes, order="keys")
    forced = read_predictions(files, ITEMS, classes, order="keys", force=True)
    assert forced.predictions.classes[2].tolist() == [1, -1]
    assert forced.record["checks"]["ambiguous_names"] == {"crane": 1}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", "{", ["x.json", "JSON"]),
        ("x.json", "3", ["x.json"]),
        ("x.json", "[]", ["no predictions"]),
        ("x.jsonl", '{"key": "a.png", "pred": 1}\n{"key": ', ["JSON"]),
        ("x.json", {"a.png": [["n1", 0.5]], "b.png": [["n2"]]}, ["entry of 'b.png'"]),
        ("x.json", {"a.png": [["n1", 0.5]], "b.png": ["n2"]}, ["some entries have scores"]),
        (
            "x.json",
            {"a.png": [{"label": "n1", "score": 0.5}], "b.png": [{"label": "whale", "score": 1}]},
            ["whale"],
        ),
        ("x.json", [{"key": "a.png", "output": {"n1": 0.5}}, {"output": {"n1": 0.5}}], ["entry 2", "'key'"]),
        ("x.csv", "key,class\na.png,n1\n,n2\n", ["row 2 has no key"]),
    ],
)
def test_json_that_cannot_be_used(tmp_path, name, content, words):
    with pytest.raises(InputError) as error:
        read_predictions(write(tmp_path, name, content), ITEMS, CLASSES)
    for word in words:
        assert word in str(error.value)


def test_keys_of_other_images_are_left_out_only_when_forced(tmp_path):
    files = table(tmp_path, "key,class\na.png,n3\nz.png,n1\nb,n2\n")
    with pytest.raises(InputError, match="--force leaves them out"):
        read_predictions(files, ITEMS, CLASSES)
    imported = read_predictions(files, ITEMS, CLASSES, force=True)
    assert imported.predictions.items.tolist() == [1, 3]
    assert imported.predictions.top1.tolist() == [2, 3]
    assert imported.record["keys_matched_by"] == "stem"
    assert imported.predictions.classes.shape == (2, 1)
