"""`errata causes`, and the report's options on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.create import create
from analysis.workspace import Workspace
from tests.test_cli import errata  # noqa: F401  # a fixture
from tests.test_create import write_table
from tests.workspaces import add_run

pytestmark = pytest.mark.usefixtures("errata")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Thirty items in three classes with a run, and no pixels."""
    labels = {f"item-{i:02d}.png": ("cat", "dog", "eel")[i % 3] for i in range(30)}
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", labels))
    add_run(made, "mine", 0.4, np.random.default_rng(0))
    return made.path


def test_import_show_and_remove(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    (tmp_path / "s.csv").write_text("superclass,class\npets,cat\npets,dog\n")
    (tmp_path / "odd.txt").write_text("item-00.png\n")
    files = ("--superclasses", tmp_path / "s.csv", "--atypical", tmp_path / "odd.txt")
    told = errata("causes", "import", workspace, *files)
    assert told.code == 0
    assert "superclasses: 2 rows, file s.csv." in told.err
    assert "atypical: 1 rows, list odd.txt (1 images)." in told.err
    shown = errata("causes", "show", workspace)
    assert "fine_grained          file s.csv" in shown.out
    assert "not run: no judgements" in shown.out
    answer = json.loads(errata("causes", "show", workspace, "--json", "--labels", "original").out)
    assert answer["labels"] == "original"
    assert {row["outcome"]: row["file"] for row in answer["causes"]}["non_prototypical"] == "odd.txt"
    outcomes = errata("outcomes", workspace, "mine")
    assert "fine_grained: file s.csv" in outcomes.err
    assert json.loads(errata("outcomes", workspace, "mine", "--json").out)["counts"]["fine_grained"] > 0

    told = errata("causes", "remove", workspace, "superclasses", "merges")
    assert "superclasses: removed" in told.err
    assert "merges: no file was imported" in told.err
    assert set(Workspace.open(workspace).cause_tables()) == {"atypical"}
    assert json.loads(errata("outcomes", workspace, "mine", "--json").out)["counts"]["fine_grained"] == 0


def test_how_good_a_rule_proved_is_said_in_words(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    (tmp_path / "s.csv").write_text("superclass,class\npets,cat\npets,dog\n")
    (tmp_path / "j.csv").write_text("key,prediction,category\nitem-00.png,dog,fine-grained\nitem-03.png,eel,odd one\n")
    told = errata("causes", "import", workspace, "--judgements", tmp_path / "j.csv")
    assert told.code == 1
    assert "j.csv: row 2, item 3, prediction 2 has the category 'odd one'" in told.err
    (tmp_path / "j.csv").write_text("key,prediction,category\nitem-00.png,dog,fine-grained\n")
    both = ("--judgements", tmp_path / "j.csv", "--superclasses", tmp_path / "s.csv", "--basis", "the panel of May")
    assert "judgements: 1 rows, the panel of May." in errata("causes", "import", workspace, *both).err
    shown = errata("causes", "show", workspace, "--labels", "original").out
    assert "a panel judged 1 mistakes so, the rule says so of 1, both of 1" in shown
    assert "of 1 pairs known to be the same 1 are joined" in shown


def test_bad_files_and_names_are_one_line(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    (tmp_path / "m.csv").write_text("class,into\ncat,dog\ndog,cat\n")
    before = Workspace.open(workspace).version
    for words, expected in (
        (("causes", "import", workspace), "Nothing to import"),
        (("causes", "import", workspace, "--merges", tmp_path / "m.csv"), "go in a circle"),
        (("causes", "import", workspace, "--atypical", tmp_path / "gone.csv"), "gone.csv"),
        (("causes", "remove", workspace, "twins"), "no rule 'twins'"),
        (("causes", "show", workspace, "--labels", "reel"), "It has: original"),
        (("report", workspace, "--top-k", "1,no"), "--top-k takes numbers"),
        (("report", workspace, "--slice", "odd=1"), "odd"),
        (("report", workspace, "--resample", "camera"), "camera"),
    ):
        told = errata(*words)
        assert told.code == 1, (words, told)
        assert expected in told.err.splitlines()[-1], (words, told.err)
        assert told.out == ""
    assert Workspace.open(workspace).version == before


def test_a_folder_of_runs(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    (tmp_path / "runs").mkdir()
    for name in ("one", "two"):
        np.save(tmp_path / "runs" / f"{name}.npy", np.random.default_rng(len(name)).normal(size=(30, 3)))
    told = errata("runs", "import-folder", workspace, tmp_path / "runs", "--order", "keys", "--force")
    assert told.code == 0, told.err
    assert "one: 30 items, scores are logits." in told.err
    assert Workspace.open(workspace).run_names() == ["mine", "one", "two"]


def test_the_reports_options(errata, workspace: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    def rows(*options: object) -> list[dict[str, object]]:
        told = errata("report", workspace, "--json", *options)
        assert told.code == 0, told.err
        found: list[dict[str, object]] = json.loads(told.out)["rows"]
        return found

    plain = rows()
    assert {row["metric"] for row in plain if row["metric"].startswith("top")} == {"top1", "top5"}  # type: ignore[attr-defined]
    ranked = rows("--top-k", "2, 3")
    assert {row["metric"] for row in ranked if row["metric"].startswith("top")} == {"top2", "top3"}  # type: ignore[attr-defined]
    (cats,) = (row for row in rows("--slice", "class=cat") if row["metric"] == "top1")
    assert cats["n"] == 10
    (wide,) = (row for row in plain if row["metric"] == "top1")
    (narrow,) = (row for row in rows("--confidence", "0.5") if row["metric"] == "top1")
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]  # type: ignore[operator]
    resampled = rows("--resample", "label", "--seed", "3")
    (drawn,) = (row for row in resampled if row["metric"] == "top1")
    assert drawn["value"] == wide["value"]
    assert (drawn["low"], drawn["high"]) != (wide["low"], wide["high"])
    assert resampled == rows("--resample", "label", "--seed", "3")
