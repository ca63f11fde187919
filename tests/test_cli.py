"""The command line: what it prints, and how it tells a person what is wrong."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import cli
from analysis.workspace import Workspace
from tests.workspaces import make_images

ERRATA = Path(sys.executable).with_name("errata")


class Told:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def errata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the command line in this process."""

    def run(*words: object) -> Told:
        monkeypatch.setattr("sys.argv", ["errata", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Told(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_images(tmp_path / "images", ("cat", "dog"), each=3)
    (tmp_path / "images" / "cat" / "0-2.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    from analysis.create import create
    from analysis.datasets import DatasetOptions

    return create(str(tmp_path / "ws"), DatasetOptions(images=tmp_path / "images"))[0].path


def test_help_leads_a_newcomer(errata) -> None:  # type: ignore[no-untyped-def]
    told = errata("--help")
    assert told.code == 0
    for word in ("demo", "create", "evaluate", "report", "serve", "runs", "labels", "space"):
        assert word in told.out


def test_from_images_to_a_report(errata, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "images", ("cat", "dog"), each=3)
    ws = tmp_path / "ws"
    made = errata("create", ws, "--images", tmp_path / "images")
    assert made.code == 0
    assert "ws: 6 items, 2 classes (6 new)." in made.err
    assert made.out == ""  # standard output is for results
    assert "Nothing to report" in errata("report", ws).out
    keys = Workspace.open(ws).items()["key"].to_list()
    (tmp_path / "p.csv").write_text("key,prediction\n" + "".join(f'"{key}",cat\n' for key in keys))
    assert "mine: 6 items" in errata("runs", "import", ws, "mine", tmp_path / "p.csv").err
    (tmp_path / "l.csv").write_text("key,label\n" + "".join(f'"{key}",cat\n' for key in keys))
    assert "6 labels of 6 items" in errata("labels", "import", ws, "all cats", tmp_path / "l.csv").err
    rows = json.loads(errata("report", ws, "--json").out)["rows"]
    found = {(row["run"], row["labels"], row["metric"]): row["value"] for row in rows}
    assert found["mine", "original", "top1"] == 0.5
    assert found["mine", "all cats", "accuracy"] == 1
    assert "mine" in errata("report", ws).out
    assert "Removed" in errata("gc", ws).err


def test_problems_are_listed_as_text_and_as_json(errata, workspace: Path) -> None:  # type: ignore[no-untyped-def]
    told = errata("problems", workspace)
    assert "'cat/0-2.png'\treading\t" in told.out
    assert "1 problems." in told.err
    (row,) = json.loads(errata("problems", workspace, "--json").out)["problems"]
    assert (row["key"], row["stage"]) == ("cat/0-2.png", "reading")


def test_every_error_is_one_line_and_exit_code_1(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    nothing, text = tmp_path / "nothing", tmp_path / "letter.txt"
    text.write_text("dear")
    (tmp_path / "yak.csv").write_text("key,label\ndog/1-1.png,yak\n")
    before = Workspace.open(workspace).version
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, expected in (
            (("report", nothing), "does not exist"),
            (("problems", nothing), "does not exist"),
            (("gc", nothing), "does not exist"),
            (("serve", nothing), "does not exist"),
            (("evaluate", nothing, "timm:resnet18"), "does not exist"),
            (("report", tmp_path / "images"), "is not a workspace"),
            (("report", text), "is not a workspace"),
            (("create", tmp_path / "new", "--images", nothing), "There is no folder"),
            (("create", tmp_path / "new", "--images", text), "is a file"),
            (("create", tmp_path / "new", "--table", nothing), "nothing"),
            (("create", tmp_path / "new"), "--images"),
            (("create", tmp_path / "images", "--images", tmp_path / "images"), "is not a workspace"),
            (("create", workspace, "--images", tmp_path / "images", "--layout", "odd"), "odd"),
            (("evaluate", workspace, "torchhub:resnet18"), "FAMILY is one of"),
            (("evaluate", workspace, "resnet18"), "FAMILY is one of"),
            (("evaluate", workspace, "checkpoint:/gone.pth"), "/gone.pth"),
            (("evaluate", workspace, "timm:a", "timm:b", "--name", "x"), "2 models were given"),
            (("space", "build", workspace, "torchhub:resnet18"), "FAMILY is one of"),
            (("runs", "import", workspace, "mine", tmp_path / "gone.csv"), "gone.csv"),
            (("runs", "import", workspace, "mine", text), "letter.txt"),
            (("labels", "import", workspace, "mine", tmp_path / "gone.csv"), "gone.csv"),
            (("labels", "import", workspace, "mine", tmp_path / "yak.csv"), "yak"),
            (("labels", "import", workspace, "", tmp_path / "yak.csv"), ""),
            (("demo", tmp_path / "demo", "--stamps", nothing), "--stamps DIR"),
            (("serve", workspace, "--port", port), f"Port {port} on 127.0.0.1 is in use"),
            (("serve", workspace, "--host", "0.0.0.0"), "ERRATA_OPEN_TO_NETWORK"),
        ):
            told = errata(*words)
            said = [line for line in told.err.splitlines() if line.startswith("errata: ")]
            assert told.code == 1, (words, told.err)
            assert len(said) == 1, (words, told.err)
            assert told.err.splitlines()[-1] == said[0], (words, "the message has more than one line", told.err)
            assert expected in said[0], (words, said)
            assert told.out == "", words
            assert "Traceback" not in told.err
    assert Workspace.open(workspace).version == before
    assert not (tmp_path / "new").exists()


def test_a_real_process_ends_with_code_1_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ERRATA), "report", "<b>no</b> [red]such[/red]"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("errata: ")
    assert "<b>no</b> [red]such[/red] does not exist" in line
    assert list(tmp_path.iterdir()) == []


# As published, in percent: top-1, top-5, ReaL, MLA, micro under the expert labels.
PUBLISHED = {
    "resnet50_pytorch": (75.062, 92.476, 81.982, 83.850, 84.111),
    "vgg16_torchvision": (71.592, 90.382, 79.040, 80.417, 80.585),
}


@pytest.mark.shared_data
def test_the_report_has_the_published_numbers_in_the_documented_shape(
    errata, shared_data: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    data, ws = shared_data / "imagenet-val", tmp_path / "ws"
    made = errata(
        "create", ws, "--table", data / "labels.csv", "--key", "filename", "--label", "wnid", "--classes", "imagenet-1k"
    )
    assert made.code == 0, made.err
    pair = [data / "predictions" / f"resnet50_pytorch_imagenet_top5{part}.npy" for part in ("preds", "probs")]
    assert errata("runs", "import", ws, "resnet50_pytorch", *pair, "--order", "imagefolder").code == 0
    ranked = data / "predictions" / "vgg16_torchvision_top5ranked.npy"
    assert errata("runs", "import", ws, "vgg16_torchvision", ranked, "--order", "imagefolder").code == 0
    assert errata("labels", "import", ws, "expert", data / "multilabel_v3.csv").code == 0
    told = errata("report", ws, "--json")
    assert told.code == 0
    answer = json.loads(told.out)
    assert set(answer) == {"rows"}
    found = {}
    for row in answer["rows"]:
        assert {"run", "labels", "metric", "k", "group", "value", "low", "high", "n"} <= set(row)
        if row["metric"] not in ("top1", "top5", "accuracy", "class_mean_accuracy"):
            continue
        assert row["k"] == {"top1": 1, "top5": 5}.get(row["metric"])
        assert row["group"] is None
        assert 0 < row["low"] < row["value"] < row["high"] < 1
        found[row["run"], row["labels"], row["metric"]] = row
    assert {(run, labels) for run, labels, _ in found} == {
        (run, labels) for run in PUBLISHED for labels in ("original", "real", "expert")
    }
    for run, expected in PUBLISHED.items():
        for (labels, metric, n), percent in zip(
            [
                ("original", "top1", 50_000),
                ("original", "top5", 50_000),
                ("real", "accuracy", 46_837),
                ("expert", "class_mean_accuracy", 18_692),
                ("expert", "accuracy", 18_692),
            ],
            expected,
            strict=True,
        ):
            row = found[run, labels, metric]
            assert (round(100 * row["value"], 3), row["n"]) == (percent, n), (run, labels, metric)
