"""Errata from a notebook: from a folder of logits to frames."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import analysis
from analysis.errors import InputError, WorkspaceError
from analysis.evaluate import EvaluateOptions, evaluate
from analysis.imports import import_labels, import_run
from analysis.report import ReportOptions, report
from analysis.workspace import Workspace
from tests.test_create import write_table
from tests.workspaces import add_panel

N = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`labels.csv` and a folder `logits` with a file for each of two models, in the working directory."""
    write_table(tmp_path / "labels.csv", {f"item-{i:02d}.png": ("cat", "dog", "eel")[i % 3] for i in range(N)})
    (tmp_path / "logits").mkdir()
    rng = np.random.default_rng(0)
    for name, signal in (("strong", 4.0), ("weak.v2", 1.5)):
        logits = rng.normal(size=(N, 3)) + signal * np.eye(3)[np.arange(N) % 3]
        np.save(tmp_path / "logits" / f"{name}.npy", logits.astype(np.float32))
    (tmp_path / "logits" / "README.txt").write_text("two models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_three_lines_from_logits_to_a_report(folder: Path) -> None:
    ws = analysis.new("val", table="labels.csv")
    ws = ws.import_runs("logits", order="keys")
    rows = ws.report()

    assert ws.run_names() == ["strong", "weak.v2"]
    for name in ws.run_names():
        right = np.load(folder / "logits" / f"{name}.npy").argmax(axis=1) == np.arange(N) % 3
        assert rows.filter(run=name, metric="top1")["value"][0] == pytest.approx(right.mean())
    assert rows.equals(report(analysis.open("val")))


def test_each_question_is_a_frame(folder: Path) -> None:
    ws = analysis.new("val", table="labels.csv").import_runs("logits", order="keys")
    add_panel(ws, np.random.default_rng(0))
    ws = ws.reopened()
    assert ws.report(ReportOptions(by="class"))["group"].n_unique() == 4
    assert ws.outcomes("strong").height == N
    assert set(ws.outcomes("strong", "panel")["outcome"].cast(pl.String)) >= {"correct", "not_scored"}
    (compared,) = ws.compare("strong", "weak.v2").to_dicts()
    assert compared["n"] == N
    assert compared["difference_micro"] == pytest.approx((compared["only_b_wrong"] - compared["only_a_wrong"]) / N)
    assert compared["difference_micro_low"] <= compared["difference_micro"] <= compared["difference_micro_high"]
    assert compared["n_unjudged_a"] is None
    assert ws.compare("strong", "weak.v2", "panel")["n_unjudged_a"][0] >= 0
    assert {"item", "key", "suggested", "score"} <= set(ws.suspects().columns)
    wrong = ws.slice("right=false | order by item", run="weak.v2", labels="original")
    top1 = ws.run("weak.v2").predictions.top1
    assert wrong["item"].to_list() == np.flatnonzero(top1 != np.arange(N) % 3).tolist()
    assert ws.items().height == N
    with pytest.raises(WorkspaceError, match="It has: strong"):
        ws.slice("right=false", run="stronk")


def test_a_folder_within_is_a_run_of_several_files(folder: Path) -> None:
    ranked = np.tile(np.arange(3, dtype=np.int64), (N, 1))
    (folder / "logits" / "pair").mkdir()
    np.save(folder / "logits" / "pair" / "classes.npy", ranked)
    np.save(folder / "logits" / "pair" / "scores.npy", np.tile([0.5, 0.3, 0.2], (N, 1)))
    ws = analysis.new("val", table="labels.csv").import_runs("logits", order="keys", force=True)
    assert ws.run_names() == ["pair", "strong", "weak.v2"]
    assert ws.run("pair").manifest["score_kind"] == "probabilities"


def test_folders_that_cannot_be_imported(folder: Path) -> None:
    ws = analysis.new("val", table="labels.csv")
    with pytest.raises(InputError, match="no folder 'gone'"):
        ws.import_runs("gone")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="holds no predictions"):
        ws.import_runs("empty")
    (folder / "logits" / "strong.csv").write_text("key,prediction\nitem-00.png,cat\n")
    with pytest.raises(InputError, match="would both be the run 'strong'"):
        ws.import_runs("logits")
    assert ws.reopened() is ws


def test_a_name_that_cannot_be_is_told_before_the_files_are_read(folder: Path) -> None:
    ws = analysis.new("val", table="labels.csv")
    with pytest.raises(InputError, match="control characters"):
        import_run(ws, "a\nb", [Path("gone.csv")])
    with pytest.raises(InputError, match="dataset's own"):
        import_labels(ws, "original", Path("gone.csv"))
    for among in ("all", "both"):
        with pytest.raises(InputError, match="500"):
            evaluate(ws, ["timm:resnet18"], EvaluateOptions(name="n" * (501 if among == "all" else 490), among=among))


def test_importing_the_library_loads_neither_torch_nor_the_rooms() -> None:
    script = (
        "import sys, analysis; assert len([m for m in sys.modules if m.startswith('analysis')]) == 1\n"
        "import analysis.workspace\n"
        "assert not {'torch', 'analysis.report', 'analysis.outcomes', 'analysis.lens'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_workspace_is_what_the_library_opens(folder: Path) -> None:
    analysis.new("val", table="labels.csv")
    assert isinstance(analysis.open("val"), Workspace)
