"""What a workspace holds, how its best run stands, what needs doing."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer.main

from analysis import cli, overview, spaces
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.results.trust import better_labels
from analysis.workspace import Workspace
from tests.test_create import write_table
from tests.workspaces import add_panel, add_run, make_workspace

ODD = 'it\'s "odd"; $(touch no) `x` ![a](b)'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("over view")  # a space in the path, for the commands
    return make_workspace(home / "ws", home / "images")


def parsed(command: str) -> tuple[str, dict[str, object]]:
    """The command and its parameters as `errata` would take them."""
    program, *words = shlex.split(command)
    assert program == "errata"
    found = typer.main.get_command(cli.app)
    names = []
    while hasattr(found, "commands"):
        names.append(words.pop(0))
        found = found.commands[names[-1]]
    return " ".join(names), found.make_context("errata", words).params


def test_the_best_run_stands_on_the_items_that_both_sets_count(made: Workspace) -> None:
    assert better_labels(made) == "panel"
    standing = overview.best_standing(made, "panel")
    assert standing is not None
    assert standing.run == "strong"
    run = made.run("strong").predictions
    common = np.isin(run.items, made.labels("panel").items.filter("scored")["item"].to_numpy())
    by_original = run.classes[:, 0] == made.original_labels[run.items]
    valid = set(made.labels("panel").labels.filter(state="valid").select("item", "class").iter_rows())
    pairs = zip(run.items.tolist(), run.classes[:, 0].tolist(), strict=True)
    by_panel = np.array([pair in valid for pair in pairs])
    assert standing.n == common.sum()
    assert standing.right_by_original == (by_original & common).sum()
    assert standing.right_by_labels == (by_panel & common).sum()
    assert standing.none == (by_panel & ~by_original & common).sum()
    assert standing.errors == (~by_original & common).sum()


def test_runs_among_fewer_classes_do_not_win(tmp_path: Path) -> None:
    made, _ = create(
        str(tmp_path / "ws"), write_table(tmp_path / "l.csv", dict.fromkeys("abcdef", "cat") | {"g": "dog"})
    )
    rng = np.random.default_rng(0)
    add_run(made, "weak", 0.2, rng)
    add_panel(made, rng)
    perfect = made.reopened().run("weak").predictions
    classes = perfect.classes.copy()
    classes[:, 0] = made.original_labels
    easier = type(perfect)(perfect.items, classes[:, :1], None, "ranks", None)
    made.publish_run("masked", easier, inputs=("keys",), details={"competing": [0, 1]})
    standing = overview.best_standing(made.reopened(), "panel")
    assert standing is not None
    assert standing.run == "weak"


def test_the_most_trusted_label_set_is_held_against_the_original() -> None:
    class Named:
        def __init__(self, *names: str) -> None:
            self.names = ["original", *names]

        def label_set_names(self) -> list[str]:
            return self.names

    for names, best in {
        (): None,
        ("b", "a"): "a",
        ("a", "real"): "real",
        ("expert", "real"): "expert",
        ("a", "real", "reviewed"): "reviewed",
    }.items():
        assert better_labels(Named(*names)) == best  # type: ignore[arg-type]


def test_tables_describe_label_sets_runs_and_spaces(made: Workspace) -> None:
    labels = {row["labels"]: row for row in overview.label_set_table(made).to_dicts()}
    assert (labels["original"]["items"], labels["original"]["scored"], labels["original"]["several valid"]) == (
        32,
        32,
        0,
    )
    assert (labels["original"]["absent"], labels["panel"]["absent"]) == ("wrong", "unjudged")
    valid = made.labels("panel").labels.filter(state="valid")
    assert labels["panel"]["several valid"] == valid.height - valid["item"].n_unique() > 0
    runs = overview.run_table(made)
    assert runs["run"].to_list() == made.run_names()
    assert runs.select("items", "ranks", "scores", "preprocessing").rows() == [(31, 3, "logits", "imported")] * 2
    (space,) = overview.space_table(made).to_dicts()
    assert (space["vectors"], space["dimensions"], space["recall@10"], space["stale"]) == (31, 16, 1.0, None)
    assert overview.next_steps(made) == []


def test_an_empty_workspace_is_told_where_to_begin(tmp_path: Path) -> None:
    made, _ = create(str(tmp_path / "a b"), write_table(tmp_path / "labels.csv", {"a": "cat", "b": "dog"}))
    steps = overview.next_steps(made)
    assert [step.what for step in steps] == ["There are no predictions yet.", "There is one label set only."]
    for step, name in zip(steps, ["runs import", "labels import"], strict=True):
        command, given = parsed(step.command)
        assert (command, given["workspace"]) == (name, made.path)
    for table in (overview.run_table(made), overview.space_table(made)):
        assert table.is_empty()
    assert better_labels(made) is None
    assert overview.best_standing(made, "original") is None


def test_what_is_stale_comes_with_a_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["a", "b", "c", "d"]
    table = write_table(tmp_path / "labels.csv", dict(zip(keys, ["cat", "dog"] * 2, strict=True)))
    made, _ = create(str(tmp_path / "a b"), table)
    predictions = tmp_path / "predictions.csv"
    pl.DataFrame({"key": keys, "prediction": ["cat", "dog"] * 2}).write_csv(predictions)

    def run(*words: str) -> None:
        monkeypatch.setattr("sys.argv", ["errata", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, capsys.readouterr().err

    run("runs", "import", str(made.path), ODD, str(predictions))
    run("labels", "import", str(made.path), ODD, str(tmp_path / "labels.csv"))
    by_model = made.reopened().run(ODD).predictions
    asked = {"asked": {"name": ODD, "among": "present", "scores": "auto"}, "reference": "checkpoint:/a b/x.pth"}
    made.publish_run("evaluated", by_model, inputs=("keys",), details=asked)
    assert overview.next_steps(made.reopened()) == []

    table = write_table(
        tmp_path / "labels.csv", dict(zip([*keys, "e"], ["cat", "dog", "cat", "dog", "cat"], strict=True))
    )
    changed, _ = create(str(made.path), table)
    steps = {step.what.partition(" is stale")[0]: step.command for step in overview.next_steps(changed)}
    assert set(steps) == {"Run evaluated", f"Run {ODD}", f"Label set {ODD}"}
    command, given = parsed(steps["Run evaluated"])
    assert command == "evaluate"
    assert (given["workspace"], given["models"]) == (made.path, ["checkpoint:/a b/x.pth"])
    assert (given["name"], given["among"]) == (ODD, "present")
    for what, file in ((f"Run {ODD}", predictions), (f"Label set {ODD}", tmp_path / "labels.csv")):
        run(*[str(file) if word == "FILE" else word for word in shlex.split(steps[what])[1:]])
    left = overview.next_steps(changed.reopened())
    assert [step.what.partition(" is stale")[0] for step in left] == ["Run evaluated"]
    assert not (Path.cwd() / "no").exists()


def test_a_space_of_changed_labels_or_images_is_to_be_built_again(made: Workspace, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ws")
    copy = Workspace.open(tmp_path / "ws")
    index = copy.space("test:encoder")
    rng = np.random.default_rng(9)
    others = [rng.normal(size=(len(index.items), 16)).astype(np.float16)]
    spaces.publish_vectors(copy, "test:encoder", index.items, others, 16, {})
    (step,) = overview.next_steps(copy.reopened())
    assert step.what == "There is no map yet."
    command, given = parsed(step.command)
    assert (command, given["workspace"], given["encoder"]) == ("space build", copy.path, "test:encoder")

    assert made.image_root is not None
    fewer = tmp_path / "images"
    shutil.copytree(made.image_root, fewer)
    (fewer / "dog" / "1-3.png").unlink()
    shutil.rmtree(tmp_path / "ws")
    shutil.copytree(made.path, tmp_path / "ws")
    changed, _ = create(str(tmp_path / "ws"), DatasetOptions(images=fewer))
    stale = {step.what.partition(" is stale")[0]: parsed(step.command)[0] for step in overview.next_steps(changed)}
    assert stale["Space test:encoder"] == "space build"
    assert stale["Run strong"] == "runs import"
