"""errata compare: two runs, or every pair of them."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.cli import app
from analysis.errors import InputError
from analysis.results.comparisons import compare_runs
from analysis.results.many_runs import compare_every_pair
from analysis.workspace import Workspace
from tests.workspaces import make_workspace

KEYS = {
    "a", "b", "labels", "n", "both_right", "only_a_wrong", "only_b_wrong", "both_wrong", "mcnemar_chi2", "p_value",
    "p_exact", "difference_micro", "difference_class_mean", "decidable",
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("compare")
    return make_workspace(folder / "pets", folder / "images")


def run(workspace: Workspace, *words: str) -> str:
    """Standard output."""
    told = CliRunner().invoke(app, ["compare", str(workspace.path), *words], catch_exceptions=False)
    assert told.exit_code == 0
    return told.stdout


def test_two_runs_as_json(workspace: Workspace) -> None:
    found = json.loads(run(workspace, "strong", "weak ![r](http:y)", "--labels", "panel", "--json"))
    assert set(found) >= KEYS
    assert found == compare_runs(workspace, "strong", "weak ![r](http:y)", "panel").to_dict()


def test_every_pair_as_json_csv_and_a_table(workspace: Workspace, tmp_path: Path) -> None:
    pairs = compare_every_pair(workspace, "panel")
    found = json.loads(run(workspace, "--all", "--labels", "panel", "--json"))
    assert found == {"labels": "panel", "rows": pairs.to_dicts()}
    rows = list(csv.DictReader(io.StringIO(run(workspace, "--all", "--labels", "panel", "--csv"))))
    assert [row["n"] for row in rows] == [str(pairs["n"][0])]
    assert float(rows[0]["p_holm"]) == pytest.approx(pairs["p_holm"][0])
    assert f"{pairs['micro'][0]:+.4f}" in run(workspace, "--all", "--labels", "panel")


@pytest.mark.parametrize("words", [(), ("strong",), ("strong", "strong", "--all"), ("strong", "strong", "--csv")])
def test_what_does_not_go_together_is_refused(workspace: Workspace, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="Name two runs, A and B, or give --all"):
        run(workspace, *words)
