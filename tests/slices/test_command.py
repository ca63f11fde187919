"""`errata slice`: the same items as the page, saved and opened by name."""

import json
from pathlib import Path

import pytest

from analysis import cli
from analysis.database import FILE
from analysis.lens import Lens, default_lens, frame
from analysis.slices import Slice, saved
from analysis.workspace import Workspace
from tests.workspaces import make_workspace


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "ws", tmp_path / "images")


@pytest.fixture
def errata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run `errata slice` in this process: exit code, what it printed, what it said beside."""

    def run(workspace: Workspace, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["errata", "slice", str(workspace.path), *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


LINE = "right@strong=false & wrong_by >= 1 & not class=fox | sample 6 seed 2 | order by key desc"


def test_json_has_the_items_in_the_order_of_the_page(errata, made: Workspace) -> None:  # type: ignore[no-untyped-def]
    asked = Slice.parse(LINE)
    for words, lens in (((), default_lens(made)), (("--run", "strong", "--labels", "panel"), Lens("strong", "panel"))):
        code, out, _ = errata(made, LINE, "--json", *words)
        items = asked.apply(frame(made, lens, asked.columns()))["item"].to_list()
        assert code == 0
        assert json.loads(out) == {"slice": LINE, "n": len(items), "items": items}
        assert items
    assert not (made.path / FILE).exists()


def test_a_slice_is_saved_listed_and_opened(errata, made: Workspace) -> None:  # type: ignore[no-untyped-def]
    assert errata(made)[0] == 0
    assert "No slice is saved" in errata(made)[2]
    plain = json.loads(errata(made, LINE, "--json")[1])
    told = json.loads(errata(made, LINE, "--save", "hard ones", "--json")[1])
    (kept,) = saved.listed(made)
    assert told == plain | {"id": kept.id}
    for name in ("@hard ones", f"@{kept.id}"):
        assert json.loads(errata(made, name, "--json")[1]) == plain
    assert errata(made)[1] == f"{kept.id}\thard ones\t{LINE}\n"
    assert json.loads(errata(made, "--json")[1]) == {"slices": [{"id": kept.id, "name": "hard ones", "slice": LINE}]}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["@gone"], "no saved slice 'gone'. It has: none yet."),
        (["right@gone=true"], "'gone' is no run"),
        (["colour=red"], "no column 'colour'"),
        (["class="], "character 7"),
        (["class=cat", "--save", " "], "printable"),
    ],
)
def test_what_is_wrong_is_said(errata, made: Workspace, words: list[str], reason: str) -> None:  # type: ignore[no-untyped-def]
    code, out, said = errata(made, *words)
    assert code != 0
    assert reason in " ".join(said.split())
    assert out == ""
