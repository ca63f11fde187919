"""Evaluating models of one's own: numbers, interruption, two at once, a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from analysis import search
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, LockedError
from analysis.evaluate import PRESENT, EvaluateOptions, evaluate
from analysis.workspace import Run, Workspace
from tests.test_create import on_a_full_disk, write_table
from tests.workspaces import COLOURS, make_images

ERRATA = Path(sys.executable).with_name("errata")
FP32 = EvaluateOptions(precision="fp32", device="cpu")


def save_checkpoint(path: Path, outputs: tuple[str, ...], seed: int = 0) -> str:
    """Weights of timm's smallest ResNet for 32 px and these classes; returns the model's reference."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    network = timm.create_model("test_resnet", pretrained=False, num_classes=len(outputs)).eval()
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    config = {
        "architecture": "test_resnet",
        "label_names": list(outputs),
        "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0},
    }
    path.with_suffix(".json").write_text(json.dumps(config))
    return f"checkpoint:{path}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """It knows two of the classes and one more, in an order of its own."""
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "own.safetensors", ("newt", "dog", "cat"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six pictures each of cat, dog and eel; one file is broken."""
    make_images(tmp_path / "images", ("cat", "dog", "eel"), each=6)
    (tmp_path / "images" / "cat" / "0-5.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return create(str(tmp_path / "ws"), DatasetOptions(images=tmp_path / "images"))[0]


def same(one: Run, other: Run) -> None:
    assert one.predictions.to_frame().equals(other.predictions.to_frame())
    mine, theirs = one.scores(), other.scores()
    assert mine is not None
    assert theirs is not None
    assert np.array_equal(mine, theirs)


def vectors(workspace: Workspace, reference: str) -> np.ndarray:
    return np.array(search.open_index(workspace.space(reference).folder).stored)


def test_one_pass_gives_run_scores_vectors_and_problems(workspace: Workspace, model: str) -> None:
    # A picture that breaks after it was read into the workspace.
    broken = workspace.items()["path"].to_list().index("dog/1-3.png")
    assert workspace.image_root is not None
    (workspace.image_root / "dog" / "1-3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (run,) = evaluate(workspace, [model], EvaluateOptions(precision="fp32", device="cpu", seen="no"))
    opened = Workspace.open(workspace.path)
    assert opened.run_names() == [run.name] == [model]
    run = opened.run(model)
    found, scores = run.predictions, run.scores()
    assert scores is not None
    assert len(found.items) == 16
    assert broken not in found.items
    # `newt` is no class of the workspace: only the two known outputs compete.
    assert set(np.unique(found.classes)) == {-1, 0, 1}
    assert scores.shape == (16, 3)
    assert scores.dtype == np.float16
    assert np.isneginf(scores[:, 2]).all()
    assert np.array_equal(scores[:, :2].argmax(axis=1), found.classes[:, 0])
    assert found.scores is not None
    assert np.allclose(scores[:, :2].max(axis=1), found.scores[:, 0], atol=2e-3)
    assert run.manifest["competing"] == [1, 0]
    assert run.manifest["competing_because"] == "known to the class list"
    assert run.manifest["seen_in_training"] == "no"
    assert run.manifest["inference"]["preprocessing"]["size"] == [32, 32]
    assert run.manifest["inference"]["precision"] == "fp32"
    problem = opened.problems().filter(pl.col("item") == broken)
    assert problem["stage"].to_list() == [f"run {model}"]
    assert opened.space(model).items.tolist() == found.items.tolist()
    assert len(vectors(opened, model)) == 16
    assert opened.stale(run) is None
    assert not list(workspace.partial.glob("*/*/"))


def test_both_runs_come_of_one_pass_and_the_masked_one_hangs_on_the_labels(tmp_path: Path, model: str) -> None:
    make_images(tmp_path / "images", ("cat", "dog", "newt"), each=3)
    files = [path.relative_to(tmp_path / "images").as_posix() for path in sorted((tmp_path / "images").rglob("*.png"))]

    def read(labels: list[str], classes: str) -> Workspace:
        table = write_table(tmp_path / "labels.csv", dict(zip(files, labels, strict=True)))
        return create(
            str(tmp_path / "ws"), DatasetOptions(images=tmp_path / "images", table=table.table, classes=classes)
        )[0]

    (tmp_path / "classes.txt").write_text("cat\ndog\nnewt\n")
    opened = read(["cat", "dog", "cat"] * 3, str(tmp_path / "classes.txt"))
    options = EvaluateOptions(name="mine", precision="fp32", device="cpu", among="both")
    full, masked = evaluate(opened, [model], options)
    assert (full.name, masked.name) == ("mine", "mine (2 classes)")
    assert full.manifest["competing"] == "all"
    assert (sorted(masked.manifest["competing"]), masked.manifest["competing_because"]) == ([0, 1], PRESENT)
    assert set(np.unique(full.predictions.classes)) == {-1, 0, 1, 2}
    assert set(np.unique(masked.predictions.classes)) == {-1, 0, 1}
    assert full.scores() is not None
    assert masked.scores() is None
    assert masked.manifest["dense_scores_of"] == "mine"

    # The very same is there and fresh: nothing is loaded, nothing published.
    fresh = EvaluateOptions(**{**vars(options), "skip_fresh": True, "device": "no such device"})
    before = Workspace.open(opened.path)
    assert [run.name for run in evaluate(before, [model], fresh)] == ["mine", "mine (2 classes)"]
    assert Workspace.open(opened.path).version == before.version

    changed = read(["cat", "cat", "newt"] * 3, str(tmp_path / "classes.txt"))
    assert changed.stale(changed.run("mine")) is None
    assert "original labels changed" in str(changed.stale(changed.run("mine (2 classes)")))
    assert changed.stale(changed.space(model)) is None


def test_without_dense_scores_the_run_is_the_same(workspace: Workspace, model: str) -> None:
    (full,) = evaluate(workspace, [model], EvaluateOptions(name="full", precision="fp32", device="cpu"))
    (ranks,) = evaluate(
        workspace, [model], EvaluateOptions(name="ranks", precision="fp32", device="cpu", scores="topk")
    )
    assert ranks.scores() is None
    assert ranks.manifest["dense_scores_of"] is None
    assert ranks.predictions.to_frame().equals(full.predictions.to_frame())


def test_bad_input_publishes_nothing(workspace: Workspace, model: str, tmp_path: Path) -> None:
    stranger = save_checkpoint(tmp_path / "stranger.safetensors", ("newt", "yak"))
    pixelless, _ = create(str(tmp_path / "table"), write_table(tmp_path / "labels.csv", {"a": "cat", "b": "dog"}))
    with pytest.raises(InputError, match="2 models were given"):
        evaluate(workspace, [model, stranger], EvaluateOptions(name="mine"))
    with pytest.raises(InputError, match="FAMILY is one of"):
        evaluate(workspace, [model, "torchhub:resnet"], FP32)  # the first is not run either
    with pytest.raises(InputError, match="none of the workspace's classes"):
        evaluate(workspace, [stranger], FP32)
    with pytest.raises(InputError, match=r"gone\.safetensors"):
        evaluate(workspace, [f"checkpoint:{tmp_path / 'gone.safetensors'}"], FP32)
    with pytest.raises(InputError, match="no precision"):
        evaluate(workspace, [model], EvaluateOptions(precision="fp8"))
    with pytest.raises(InputError, match="errata runs import"):
        evaluate(pixelless, [model], FP32)
    assert Workspace.open(workspace.path).version == workspace.version
    assert Workspace.open(pixelless.path).run_names() == []


def test_killed_it_goes_on_and_a_second_one_at_once_is_told(model: str, tmp_path: Path) -> None:
    """One shard of small pictures, then larger ones, so that there is time to kill it at."""
    rng = np.random.default_rng(0)
    images, weights = tmp_path / "images", model.removeprefix("checkpoint:")
    for number, (name, side, count) in enumerate((("cat", 8, 2048), ("dog", 700, 160))):
        (images / name).mkdir(parents=True)
        first = images / name / "0000.png"
        pixels = rng.normal(COLOURS[number], 25, (side, side, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(first)
        for place in range(1, count):
            os.link(first, images / name / f"{place:04d}.png")
    workspace, _ = create(str(tmp_path / "ws"), DatasetOptions(images=images))
    assert workspace.items().height == 2208
    shutil.copytree(workspace.path, tmp_path / "undisturbed")
    command = [str(ERRATA), "evaluate", str(workspace.path), model, "--precision", "fp32", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not list(workspace.partial.glob("*/*/*.npz")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(LockedError, match="Another process is running"):
            evaluate(workspace, [model], FP32)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (kept,) = workspace.partial.glob("*/*/*.npz")
    written = kept.stat().st_mtime_ns
    assert Workspace.open(workspace.path).run_names() == []
    shutil.copytree(workspace.partial, tmp_path / "shards")

    told: list[int] = []
    (run,) = evaluate(
        workspace,
        [model],
        FP32,
        progress=lambda what, done, total: told.append(done) if what.startswith("running") else None,
    )
    assert told[0] == 2048, "the finished shard was computed again"
    assert run.manifest["inference"]["resumed_items"] == 2048
    assert written == next((tmp_path / "shards").glob("*/*/*.npz")).stat().st_mtime_ns
    assert not list(workspace.partial.glob("*/*/"))

    (undisturbed,) = evaluate(Workspace.open(tmp_path / "undisturbed"), [model], FP32)
    same(run, undisturbed)
    mine = vectors(Workspace.open(workspace.path), model)
    assert np.array_equal(mine, vectors(Workspace.open(tmp_path / "undisturbed"), model))
    assert Path(weights).is_file()


def test_a_full_disk_leaves_the_run_as_it_was(model: str, tmp_path: Path) -> None:
    """The dense scores over a long class list are the largest file of all."""
    make_images(tmp_path / "images", ("cat", "dog"), each=12)
    (tmp_path / "classes.txt").write_text("\n".join(["cat", "dog", *(f"other-{i}" for i in range(4000))]))
    options = DatasetOptions(images=tmp_path / "images", classes=str(tmp_path / "classes.txt"))
    workspace, _ = create(str(tmp_path / "ws"), options)
    (before,) = evaluate(workspace, [model], EvaluateOptions(precision="fp32", device="cpu", scores="topk"))
    version = Workspace.open(workspace.path).version
    told = on_a_full_disk(
        f"""
        from analysis.evaluate import EvaluateOptions, evaluate
        from analysis.workspace import Workspace
        def act():
            options = EvaluateOptions(precision="fp32", device="cpu")
            evaluate(Workspace.open({str(workspace.path)!r}), [{model!r}], options)
        """,
        largest=100_000,  # the scores have 192 kB
    )
    assert told["module"] == "analysis.errors", told
    assert "disk is full" in told["text"]
    after = Workspace.open(workspace.path)
    assert after.version == version
    assert after.run(model).version == before.version
    assert after.run(model).predictions.to_frame().equals(before.predictions.to_frame())
    assert not list(before.folder.parent.glob(".staging-*"))
    # The finished shards were kept: with room the same command has nothing left to compute.
    (again,) = evaluate(after, [model], FP32)
    assert again.manifest["inference"]["resumed_items"] == 24
    assert again.scores() is not None
