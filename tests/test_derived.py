"""Derived columns: each equals a plain loop over what runs and label sets say."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import lens
from analysis.derived import offered
from analysis.errors import InputError
from analysis.groupings import grouping
from analysis.labels.sets import ABSENT, REJECTED, UNCLEAR, VALID, label_set
from analysis.lens import Lens
from analysis.slices import Slice
from analysis.workspace import Workspace
from tests.results.conftest import imagenet
from tests.workspaces import add_run, make_workspace

__all__ = ["imagenet"]

WEAK = "weak ![r](http:y)"
HERE = Lens("strong", "original")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three runs, one of them named like a label set, and label sets with every state."""
    home = tmp_path_factory.mktemp("derived")
    workspace = make_workspace(home / "ws", home / "images")
    add_run(workspace, "panel@odd", 0.6, np.random.default_rng(5))
    rng = np.random.default_rng(6)
    said = [
        (item, index, ("valid", "unclear", "rejected")[rng.integers(3)])
        for item in range(0, 32, 2)
        for index in rng.permutation(4)[: rng.integers(1, 4)].tolist()
    ]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    workspace.publish_labels(label_set("mixed", rows, rows.select("item").unique(), absent="unjudged"))
    workspace.publish_labels(label_set("odd", rows, rows.select("item").unique(), absent="wrong"))
    return Workspace.open(workspace.path)


def column(workspace: Workspace, name: str, through: Lens = HERE) -> list[object]:
    rows = lens.frame(workspace, through, also=[name])
    assert rows.columns[-1] == name
    return rows[name].to_list()


def states(workspace: Workspace, labels: str, run: str) -> dict[int, tuple[bool, int]]:
    """Of each item of a run: whether the label set scores it, and the state of its top-1."""
    predictions, said = workspace.run(run).predictions, workspace.labels(labels)
    scored = said.scored(predictions.items)
    found = said.states(predictions.items, predictions.top1)
    return {int(i): (bool(s), int(code)) for i, s, code in zip(predictions.items, scored, found, strict=True)}


@pytest.mark.parametrize("run", ["strong", WEAK, "panel@odd"])
@pytest.mark.parametrize("labels", ["original", "panel", "mixed"])
def test_of_another_run_and_label_set_it_is_what_their_own_lens_shows(made: Workspace, run: str, labels: str) -> None:
    own = lens.frame(made, Lens(run, labels))
    for kind in ("right", "predicted", "outcome", "unjudged", "confidence"):
        wanted = own[kind].to_list()
        assert column(made, f"{kind}@{run}@{labels}") == wanted
        assert column(made, f"{kind}@{run}", Lens("strong", labels)) == wanted
        assert column(made, f"{kind}@{labels}", Lens(run, "original")) == wanted
    assert own["right"].null_count() > 0


@pytest.mark.parametrize("labels", ["original", "panel", "mixed"])
def test_verdicts_are_the_state_of_the_top1(made: Workspace, labels: str) -> None:
    open_set = made.labels(labels).absent == "unjudged"
    words = {VALID: "right", UNCLEAR: "unclear", REJECTED: "wrong", ABSENT: "unjudged" if open_set else "wrong"}
    known = states(made, labels, WEAK)
    wanted = [words[known[item][1]] if known.get(item, (False, 0))[0] else None for item in range(32)]
    assert column(made, f"verdict@{WEAK}@{labels}") == wanted
    assert len(set(wanted)) == {"original": 3, "panel": 4, "mixed": 5}[labels]


@pytest.mark.parametrize("labels", ["original", "panel", "mixed", "odd"])
def test_valid_is_what_the_set_says_of_the_original_label(made: Workspace, labels: str) -> None:
    said = made.labels(labels)
    wanted: list[object] = []
    for item, target in enumerate(made.original_labels):
        state = int(said.states(np.array([item]), np.array([target]))[0])
        unknown = state == ABSENT and said.absent == "unjudged"
        wanted.append(state in (VALID, UNCLEAR) if said.scored(np.array([item]))[0] and not unknown else None)
    assert column(made, f"valid@{labels}") == wanted
    assert set(wanted) == {"original": {True}, "panel": {True, None}}.get(labels, {True, False, None})


def test_conflicts_are_between_sets_that_say_something(made: Workspace) -> None:
    said = zip(*(column(made, f"valid@{labels}") for labels in made.label_set_names()), strict=True)
    wanted = [{True, False} <= set(words) for words in said]
    assert column(made, "conflict") == wanted
    assert set(wanted) == {True, False}


@pytest.mark.parametrize("labels", ["original", "mixed"])
def test_wrong_by_and_wrong_same_count_runs(made: Workspace, labels: str) -> None:
    wrong: dict[int, Counter[int]] = {}
    for run in made.run_names():
        for item, (scored, state) in states(made, labels, run).items():
            if scored:
                wrong.setdefault(item, Counter())
                if state not in (VALID, UNCLEAR):
                    row = int(np.searchsorted(made.run(run).predictions.items, item))
                    wrong[item][int(made.run(run).predictions.top1[row])] += 1
    through = Lens("strong", labels)
    by, same = column(made, "wrong_by", through), column(made, "wrong_same", through)
    assert by == [wrong[item].total() if item in wrong else None for item in range(32)]
    assert same == [max(wrong[item].values(), default=0) if item in wrong else None for item in range(32)]
    assert by != same
    assert None in by


def test_a_name_of_a_run_and_a_label_set_means_the_run(made: Workspace, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws", tmp_path / "images")
    add_run(workspace, "panel", 0.1, np.random.default_rng(7))
    both = Workspace.open(workspace.path)
    assert column(both, "right@panel") == lens.frame(both, Lens("panel", "original"))["right"].to_list()
    assert column(both, "right@panel@panel") == lens.frame(both, Lens("panel", "panel"))["right"].to_list()
    # An @ within a name: "panel@odd" is a run of its own, and not the run panel under the label set odd.
    assert column(made, "right@panel@odd") == lens.frame(made, Lens("panel@odd", "original"))["right"].to_list()


def test_without_a_run_in_the_lens(made: Workspace) -> None:
    dataset = Lens(None, "original")
    assert column(made, "right@strong", dataset) == lens.frame(made, HERE)["right"].to_list()
    assert column(made, "wrong_by", dataset) == column(made, "wrong_by")
    with pytest.raises(InputError, match="right@RUN@LABELS"):
        lens.frame(made, dataset, also=["right@panel"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("right@gone", ["'gone'", "no run", "strong", "panel"]),
        ("right@", ["''", "strong"]),
        ("right@strong@gone", ["no label set 'gone'", "original, mixed, odd, panel"]),
        ("right@gone@panel", ["'gone@panel'", "strong"]),
        ("valid@strong", ["no label set 'strong'", "original, mixed, odd, panel"]),
        ("colour", ["no column 'colour'", "right@...", "wrong_by"]),
        ("colour@strong", ["no column 'colour@strong'", "verdict@..."]),
        ("superclass", ["no hierarchy"]),
    ],
)
def test_what_does_not_exist_is_named_with_what_there_is(made: Workspace, name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        lens.frame(made, HERE, also=[name])
    for word in words:
        assert word in str(error.value)


def test_columns_that_are_there_are_not_derived(made: Workspace) -> None:
    assert lens.frame(made, HERE, also=["key", "right", "key"]).equals(lens.frame(made, HERE))


def test_a_slice_names_its_columns_and_narrows_by_them(made: Workspace) -> None:
    line = f'right=true & not "right@{WEAK}"=true & verdict@panel != right | sample 3 | order by wrong_by desc, key'
    asked = Slice.parse(line)
    assert asked.columns() == ("right", f"right@{WEAK}", "verdict@panel", "wrong_by", "key")
    assert str(Slice.parse(str(asked))) == str(asked)
    chosen = asked.apply(lens.frame(made, HERE, also=asked.columns()))
    assert 0 < chosen.height <= 3
    assert chosen["right"].all()
    assert not chosen[f"right@{WEAK}"].any()
    assert str(Slice.parse("right@strong=false").conditions[0]) == "right@strong=false"
    assert Slice.parse("items (3) | sample 2").columns() == ()


@pytest.mark.parametrize("through", [HERE, Lens(WEAK, "mixed"), Lens(None, "panel")])
def test_what_is_offered_can_be_asked(made: Workspace, through: Lens) -> None:
    texts = offered(made, through.run, through.labels)
    asked = Slice.parse(texts)
    assert asked.texts() == texts
    asked.check(lens.frame(made, through, asked.columns()).schema)
    assert {"right@panel@odd=true", "valid@panel=false", "conflict=true", "wrong_by=3"} <= set(texts)
    assert ("verdict@original=unjudged" in texts) == (through.labels == "mixed")


@pytest.mark.shared_data
def test_on_imagenet(imagenet: Workspace) -> None:
    def n(line: str, labels: str = "real", run: str = "resnet50_pytorch") -> int:
        asked = Slice.parse(line)
        return asked.apply(lens.frame(imagenet, Lens(run, labels), also=asked.columns())).height

    # The published flips between resnet50 and vgg16, and their unjudged mistakes.
    assert n("right=true & right@vgg16_pytorch=false") == 3935
    assert n("right=true & right@vgg16_pytorch=false", "expert") == 1638
    assert n("right@resnet50_pytorch@expert=false & right@vgg16_pytorch@expert=true", "original") == 796
    assert n("verdict@expert=unjudged") == 310
    # Labels that ReaL does not hold valid.
    assert n("valid@real=false") == n("conflict=true") == 4673
    assert n("valid@real is null") == 50000 - 46837
    assert n("wrong_by=0") + n("wrong_by >= 1") == 46837
    # A class may be in several superclasses, as in the report's groups.
    groups = grouping(imagenet, "superclass")(None)["group"].value_counts().sort("group")
    listed = (
        lens.frame(imagenet, Lens(None, "real"), also=["superclass"]).explode("superclass").drop_nulls("superclass")
    )
    assert listed["superclass"].value_counts().rename({"superclass": "group"}).sort("group").equals(groups)
    assert n(f"superclass={groups['group'][0]}") == groups["count"][0]
    assert {f"superclass={name}" for name in groups["group"]} <= set(offered(imagenet, None, "real"))
