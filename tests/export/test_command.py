"""`errata export`: the options reach the export, and what is wrong is one message."""

import json
from pathlib import Path

import pytest

from analysis import cli
from analysis.workspace import Workspace


@pytest.fixture
def errata(made: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run `errata export` in this process: exit code, what it printed, what it said beside."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["errata", "export", str(made.path), *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_every_option_reaches_the_export(errata, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    to = tmp_path / "out"
    words = ["--labels", "reviewed", "--base", "panel", "--position", "2", "--slice", "right=true", "--run", "strong"]
    words += ["--lens", "original", "--format", "imagefolder", "--copy", "zip", "--one-class", "only", "--json"]
    code, out, _ = errata("--to", str(to), *words)
    assert code == 0
    told = json.loads(out)
    assert told["to"] == str(to)
    assert (told["labels"]["base"], told["labels"]["review_log_position"]) == ("panel", 2)
    asked = told["slice"]
    assert (asked["line"], asked["run"], asked["judged_by"]) == ("right=true", "strong", "original")
    assert (told["format"]["copy"], told["format"]["one_class"]["rule"]) == ("zip", "only")
    assert (to / "images.zip").is_file()


def test_people_are_told_what_is_left_out(errata, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, said = errata("--to", str(tmp_path / "out"), "--labels", "panel", "--format", "multilabel-json")
    assert (code, out.strip()) == (0, str(tmp_path / "out"))
    assert "8 of 12 items" in said
    assert "4 in left_out.csv: the label set says nothing of it." in said


def test_a_folder_that_holds_something_is_refused(errata, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.txt").write_text("mine")
    code, out, said = errata("--to", str(tmp_path), "--format", "csv")
    assert (code, out) == (1, "")
    assert "is not empty" in said
