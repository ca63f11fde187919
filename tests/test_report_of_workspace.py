"""The numbers of a workspace: every run under every label set."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import WorkspaceError
from analysis.report import ReportOptions, percent, report, table
from analysis.workspace import Workspace
from tests.test_create import write_table
from tests.workspaces import add_panel, add_run

KEYS = [f"item-{i:02d}" for i in range(30)]


def labels_of(keys: list[str]) -> dict[str, str]:
    return {key: ("cat", "dog", "eel")[int(key[-2:]) % 3] for key in keys}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Thirty items without pixels, two runs, an open label set."""
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", labels_of(KEYS)))
    rng = np.random.default_rng(0)
    add_run(made, "weak", 0.5, rng)
    add_run(made, "strong", 0.9, rng)
    add_panel(made, rng)
    return Workspace.open(made.path)


def test_each_run_stands_under_each_label_set(workspace: Workspace) -> None:
    rows = report(workspace)
    assert set(rows.select("run", "labels", "metric").iter_rows()) >= {
        (run, labels, metric)
        for run in ("strong", "weak")
        for labels, metric in [
            ("original", "top1"),
            ("original", "accuracy"),
            ("original", "class_mean_accuracy"),
            ("panel", "accuracy"),
            ("panel", "class_mean_accuracy"),
        ]
    }  # no top5: three ranks are stored
    for name in ("strong", "weak"):
        top1 = workspace.run(name).predictions.classes[:, 0]
        (row,) = rows.filter(run=name, metric="top1").to_dicts()
        assert row["value"] == pytest.approx((top1 == workspace.original_labels).mean())
        assert (row["k"], row["group"], row["n"]) == (1, None, 30)
    (one,) = report(workspace, ReportOptions(runs=("weak",), labels=("panel",))).filter(metric="accuracy").to_dicts()
    assert one["n"] == int(workspace.labels("panel").items["scored"].sum()) < 30
    assert one["bound_low"] <= one["value"] <= one["bound_high"]


def test_unknown_names_are_answered_with_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="It has: strong, weak"):
        report(workspace, ReportOptions(runs=("stronk",)))
    with pytest.raises(WorkspaceError, match="It has: original, panel"):
        report(workspace, ReportOptions(labels=("real",)))


def test_items_that_are_gone_count_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    before = report(workspace)
    gone = [0, 7, 29]
    kept = [key for i, key in enumerate(KEYS) if i not in gone]
    write_table(tmp_path / "labels.csv", labels_of(kept))
    create(str(workspace.path), DatasetOptions(table=tmp_path / "labels.csv"))
    after = Workspace.open(workspace.path)
    rows = report(after)
    rows = rows.filter(pl.col("metric").is_in(["top1", "accuracy", "class_mean_accuracy"]))
    assert rows.filter(labels="original")["n"].unique().to_list() == [27]
    panel = workspace.labels("panel").items.filter("scored")["item"].to_list()
    assert rows.filter(labels="panel")["n"].unique().to_list() == [len(set(panel) - set(gone))]
    for name in ("strong", "weak"):
        right = workspace.run(name).predictions.classes[:, 0] == workspace.original_labels
        (row,) = rows.filter(run=name, metric="top1").to_dicts()
        assert row["value"] == pytest.approx(np.delete(right, gone).mean())
    # When they are back, so are the numbers.
    write_table(tmp_path / "labels.csv", labels_of(KEYS))
    again, _ = create(str(workspace.path), DatasetOptions(table=tmp_path / "labels.csv"))
    assert report(again).equals(before)


@pytest.mark.parametrize("damage", ["cut short", "no manifest", "no file"])
def test_a_damaged_run_is_listed_and_the_rest_opens(damage: str, workspace: Workspace) -> None:
    run = workspace.run("weak")
    if damage == "cut short":
        (run.folder / "topk.parquet").write_bytes((run.folder / "topk.parquet").read_bytes()[:-7])
    elif damage == "no manifest":
        (run.folder / "run.json").write_text("{")
    else:
        (run.folder / "topk.parquet").unlink()
    opened = Workspace.open(workspace.path)
    assert opened.run_names() == ["strong"]
    assert report(opened)["run"].unique().to_list() == ["strong"]
    (problem,) = opened.problems().to_dicts()
    assert (problem["key"], problem["stage"]) == (f"runs/{run.slug}", "opening")
    assert "from a backup" in problem["reason"]
    add_run(opened, "weak", 0.5, np.random.default_rng(0))  # made again, it is whole
    assert Workspace.open(workspace.path).run_names() == ["strong", "weak"]
    assert Workspace.open(workspace.path).problems().is_empty()


def test_the_table_for_a_terminal(workspace: Workspace) -> None:
    text = table(report(workspace))
    lines = text.splitlines()
    assert {"run", "labels", "metric", "value", "n"} <= set(lines[0].split())
    assert all(line == line.rstrip() for line in lines)
    (row,) = report(workspace, ReportOptions(runs=("strong",))).filter(metric="top1").to_dicts()
    assert f"{100 * row['value']:.1f} ±" in lines[1]
    assert "errata evaluate" in table(report(workspace, ReportOptions(runs=())))


def test_percent() -> None:
    assert percent(0.861, 0.858, 0.864) == "86.1 ±0.3"
    assert percent(0.861, None, None) == "86.1"


def test_a_run_that_scores_nothing_has_no_value(workspace: Workspace) -> None:
    empty = workspace.run("weak").predictions.to_frame().head(0)
    rows = report(workspace)
    workspace.publish_run(
        "empty",
        type(workspace.run("weak").predictions).from_frame(empty, "logits"),
        inputs=("keys",),
        details={},
    )
    now = report(Workspace.open(workspace.path))
    assert now.filter(pl.col("run") != "empty").equals(rows)
    none = now.filter(run="empty")
    assert none["value"].null_count() == none.height > 0
    assert none["n"].sum() == 0
    assert "–" in table(none)
