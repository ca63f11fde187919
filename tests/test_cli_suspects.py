"""`errata suspects`: what it prints, for people and for machines."""

import csv
import io
import json

import polars as pl
import pytest

from analysis import cli
from analysis.labels.sets import label_set
from analysis.results.suspects import suspected_errors
from analysis.workspace import Workspace
from tests.workspaces import make_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Its keys hold Markdown, HTML and spaces; the label set `real` disputes every fourth label."""
    folder = tmp_path_factory.mktemp("suspects")
    made = make_workspace(folder / "pets", folder / "images")
    said = [(i, (label + (i % 4 == 0)) % 4, "valid") for i, label in enumerate(made.original_labels.tolist())]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    made.publish_labels(label_set("real", rows, rows.select("item"), absent="wrong", note="Read with care."))
    return Workspace.open(made.path)


@pytest.fixture
def errata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the command; returns exit code, output, and what it said to people."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["errata", "suspects", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_csv_is_exact_and_the_same_each_time(errata, workspace: Workspace) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = errata(workspace.path, "--csv")
    assert code == 0
    assert out.splitlines()[0] == "item,key,original,suggested,score,signal"
    listed, _ = suspected_errors(workspace)
    read = list(csv.DictReader(io.StringIO(out)))
    assert [row["key"] for row in read] == listed["key"].to_list()
    assert [float(row["score"]) for row in read] == listed["score"].to_list()
    assert errata(workspace.path, "--csv")[1] == out


def test_json_has_the_list_and_what_each_signal_is_worth(errata, workspace: Workspace) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = errata(workspace.path, "--json", "--runs", "strong", "--signal", "margin of strong")
    assert code == 0
    found = json.loads(out)
    listed, quality = suspected_errors(workspace, ["strong"], signal="margin of strong")
    assert (found["signal"], found["against"]) == ("margin of strong", "real")
    assert found["suspects"] == listed.drop("signal").to_dicts()
    assert found["signals"] == quality.to_dicts()


def test_people_are_told_what_measures_the_signals(errata, workspace: Workspace) -> None:  # type: ignore[no-untyped-def]
    _, out, said = errata(workspace.path)
    assert "real: Read with care." in said
    assert "learnt from real: AUROC" in said
    assert "learnt from real, cross-fitted" in said
    assert len(out.splitlines()) == 20
    _, _, said = errata(workspace.path, "--against", "panel")
    assert "panel does not dispute some original labels and keep others: it measures no signal." in said
    code, _, said = errata(workspace.path, "--against", "nobody")
    assert code == 1
    assert "no label set 'nobody'" in said
