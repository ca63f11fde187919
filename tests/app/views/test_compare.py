"""The Compare page through Streamlit's test harness: true numbers, every case said, and the ways into images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis import comparison
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.models.predictions import Predictions
from analysis.results import comparisons, many_runs
from analysis.slices import Items, Slice, saved
from analysis.workspace import Workspace
from app import shelf
from app.frame import WISH
from tests.workspaces import UGLY_CLASSES, add_run, make_images, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"
WEAK = "weak ![r](http:y)"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """weak, strong, `half` (every second item, among two classes) and `alone` (the other items)."""
    folder = tmp_path_factory.mktemp("compare")
    made = make_workspace(folder / "pets", folder / "images")
    items = made.items().filter(pl.col("problem").is_null())["item"].to_numpy()
    for name, some, details in (("half", items[::2], {"competing": [0, 1]}), ("alone", items[1::2], {})):
        bare = Predictions(some, np.array([[0, 1]] * len(some), np.int32), None, "ranks", None)
        Workspace.open(made.path).publish_run(name, bare, inputs=("keys", "classes"), details=details)
    return Workspace.open(made.path)


def opened(workspace: Workspace, **query: str) -> AppTest:
    """The page, drawn with these parameters of the address."""
    shelf.put([workspace.path])
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.session_state[WISH] = ("compare", query)
    return page.run()


@pytest.fixture(autouse=True)
def _empty_shelf() -> Iterator[None]:
    yield
    shelf.put([])


def texts(page: AppTest) -> str:
    """What the page says, narrow spaces as plain ones."""
    assert not page.exception
    assert not page.error
    said = "\n".join(str(element.value) for element in [*page.markdown, *page.caption, *page.subheader])
    return said.replace("\u202f", " ")


def cells(page: AppTest) -> dict[tuple[str, str], int]:
    """The flip table as it is shown."""
    found = {}
    for button in page.button:
        if str(button.key).startswith("cell-"):
            _, a, b = str(button.key).split("-")
            found[a, b] = int(button.label.split(" ")[0])
    return found


def test_two_runs_are_compared_in_words_and_cells(workspace: Workspace) -> None:
    page = opened(workspace, labels="panel", a="strong", b=WEAK)
    said = texts(page)
    found = comparisons.compare_runs(workspace, "strong", WEAK, "panel")
    assert f"n = {found.n}" in said
    assert f"McNemar χ² = {found.mcnemar_chi2:.2f}" in said
    assert "weak \\!\\[r\\]\\(http\\:y\\)" in said
    assert "under *original*" in said.lower()
    shown = cells(page)
    table = comparison.flip_table(comparisons.paired_runs(workspace, "strong", WEAK, "panel"))
    assert {cell: n for cell, n in shown.items() if n} == {(a, b): n for a, b, n, _ in table.iter_rows()}
    assert sum(shown.values()) == found.n
    assert f"Both right {found.both_right} · only A wrong {found.only_a_wrong}" in said


def test_the_lens_run_meets_the_best_other_one(workspace: Workspace) -> None:
    page = opened(workspace, labels="original")
    assert (page.selectbox(key="a").value, page.selectbox(key="b").value) == ("strong", WEAK)
    # A follows the lens until somebody chooses it.
    page.selectbox(key="run").set_value(WEAK).run()
    assert (page.selectbox(key="a").value, page.selectbox(key="b").value) == (WEAK, "strong")
    page.selectbox(key="a").set_value("half").run()
    page.selectbox(key="run").set_value("strong").run()
    assert page.selectbox(key="a").value == "half"
    page.button(key="swap").click().run()
    assert (page.selectbox(key="a").value, page.selectbox(key="b").value) == ("strong", "half")
    texts(page)


def test_a_cell_shows_its_items_and_opens_them_in_browse(workspace: Workspace) -> None:
    page = opened(workspace, labels="panel", run="strong", a="strong", b=WEAK)
    (first, second), n = max(cells(page).items(), key=lambda cell: cell[1])
    page.button(key=f"cell-{first}-{second}").click().run()
    assert page.query_params["cell"] == f"{first}-{second}"
    assert f"A {first}, B {second}" in [element.value for element in page.subheader]
    assert page.button(key="browse-cell").label == f"Browse {n} items"
    page.button(key="browse-cell").click().run()
    assert page.multiselect(key="where").value == [f"verdict@strong={first}", f'"verdict@{WEAK}"={second}']
    assert f"**{n}** of 32 items" in texts(page)
    # Who comes back finds the cell again, and the address names it.
    page.session_state[WISH] = ("compare", {})
    page.run()
    assert f"A {first}, B {second}" in texts(page)
    assert page.query_params["cell"] == f"{first}-{second}"


def test_a_cell_that_is_not_there_gives_way_to_a_flip(workspace: Workspace) -> None:
    for cell in ("unclear-right", "nonsense", "<script>-right"):
        page = opened(workspace, labels="original", a="strong", b=WEAK, cell=cell)
        assert "A right, B wrong" in texts(page)


def test_one_click_opens_the_items_that_could_change_the_verdict(workspace: Workspace) -> None:
    page = opened(workspace, labels="panel", a="strong", b=WEAK)
    paired = comparisons.paired_runs(workspace, "strong", WEAK, "panel")
    wanted = comparison.could_change_the_verdict(paired)["item"].to_list()
    assert page.button(key="undecided").label == f"Open the {len(wanted)} items that could change the verdict"
    page.button(key="undecided").click().run()
    assert f"**{len(wanted)}** of 32 items" in texts(page)
    kept = saved.load(workspace, str(page.text_input(key="slice").value))
    assert kept is not None
    assert Slice.parse(kept.text).conditions == (Items(tuple(wanted)),)
    closed = opened(workspace, labels="original", a="strong", b=WEAK)
    assert "undecided" not in [button.key for button in closed.button]


def test_the_slice_is_followed_but_not_where_it_is_about_predictions(workspace: Workspace) -> None:
    page = opened(workspace, labels="original", a="strong", b=WEAK)
    page.multiselect(key="where").set_value(["class=dog", "right=false", "verdict@strong=wrong"]).run()
    said = texts(page)
    assert "Compared on the 8 items of the slice" in said
    assert said.count("is about predictions and is not followed here") == 2
    assert sum(cells(page).values()) == 8
    page.button(key="browse-cell").click().run()
    kept = page.multiselect(key="where").value
    assert kept[0] == "class=dog"
    assert "right=false" not in kept
    page = opened(workspace, labels="original", a="strong", b=WEAK)
    page.multiselect(key="where").set_value(["class=dog", "sample 3 seed 1"]).run()
    assert sum(cells(page).values()) == 3
    (first, second), n = max(cells(page).items(), key=lambda cell: cell[1])
    page.button(key=f"cell-{first}-{second}").click().run()
    page.button(key="browse-cell").click().run()
    assert f"**{n}** of 32 items" in texts(page)


def test_the_same_run_twice_and_no_item_in_common(workspace: Workspace) -> None:
    assert "strong is compared with itself: nothing differs" in texts(opened(workspace, a="strong", b="strong"))
    said = texts(opened(workspace, labels="original", a="half", b="alone"))
    assert "No item that *original* scores is predicted by both" in said
    covered = len(workspace.run("half").predictions.items)
    assert f"half alone covers {covered} more scored items" in said


def test_runs_over_other_items_and_classes_are_marked(workspace: Workspace) -> None:
    said = texts(opened(workspace, labels="original", a="strong", b="half"))
    assert "strong alone covers" in said
    assert "Not the same task (half: among 2 classes)" in said


def test_every_grouping_is_drawn(workspace: Workspace) -> None:
    page = opened(workspace, labels="panel", a="strong", b=WEAK)
    for by in comparisons.groupings_of_pair(workspace, "strong", WEAK):
        page.selectbox(key="flips_by").set_value(by).run()
        said = texts(page)
        assert "all are in the numbers" in said
        assert ("read the counts here" in said) == by.startswith("outcome@")


def test_all_runs(workspace: Workspace) -> None:
    page = opened(workspace, labels="original", compare="many")
    # half and alone have no item in common.
    assert "No item that *original* scores is predicted by all of these runs" in texts(page)
    page.multiselect(key="runs").set_value(["strong", WEAK, "half"]).run()
    said = texts(page)
    pairs = many_runs.compare_every_pair(workspace, "original", runs=["strong", WEAK, "half"])
    differ = pairs.filter(pl.col("p_holm") < 0.05).height
    assert f"**{differ} of 3 pairs of runs differ** by *original* on {pairs['n'][0]} common items" in said
    assert "Holm-corrected over 3 pairs" in said
    assert "An ensemble needs the scores of all classes of at least two runs." in said
    assert "Needs embeddings of at least two encoders" in said
    table = next(pl.DataFrame(table.value) for table in page.dataframe if "Holm" in table.value.columns)
    assert sorted(table["Holm"].to_list()) == pytest.approx(sorted(pairs["p_holm"].to_list()))


def test_what_all_runs_get_wrong_opens_in_browse(workspace: Workspace) -> None:
    page = opened(workspace, labels="original", compare="many")
    page.slider(key="wrong_by").set_value(2).run()
    wrong = sum(
        (
            pl.Series(range(32))
            .is_in(
                comparisons.paired_runs(workspace, run, run, "original").filter(~pl.col("right_a"))["item"].implode()
            )
            .cast(pl.Int64)
            for run in workspace.run_names()
        ),
        pl.Series([0] * 32),
    )
    n = (wrong >= 2).sum()
    assert f"**{n} images** are wrong by at least 2 of 4 runs" in texts(page)
    page.button(key="open-wrong_by").click().run()
    assert page.multiselect(key="where").value == ["wrong_by >= 2"]
    assert f"**{n}** of 32 items" in texts(page)


def test_an_ensemble_is_built_when_asked_and_then_kept(workspace: Workspace, tmp_path: Path) -> None:
    from tests.results.test_many_runs import publish_dense

    made = make_workspace(tmp_path / "dense", tmp_path / "images")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        publish_dense(Workspace.open(made.path), name, rng.normal(size=(32, 4)))
    dense = Workspace.open(made.path)
    page = opened(dense, labels="original", compare="many")
    assert "2 runs left out, no scores of all classes" in texts(page)
    page.button(key="build-ensemble").click().run()
    said = texts(page)
    members = many_runs.ensemble(dense, "original", runs=comparisons.accuracies(dense, "original")["run"].to_list())
    best = max(member.accuracy for member in members)
    assert f"**{100 * best:.1f} %** with" in said
    assert "build-ensemble" not in [button.key for button in page.button]
    both = opened(dense, labels="original", a="one", b="two")
    assert "The mean of both runs' scores is right on" in texts(both)


def test_one_run_and_none(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    assert "There is no run yet; comparing needs two." in texts(opened(made))
    add_run(made, "only", 0.5, np.random.default_rng(0))
    assert "There is one run; comparing needs two." in texts(opened(Workspace.open(made.path)))


def test_one_class_and_no_mistakes(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat",), each=3)
    made, _ = create(str(tmp_path / "cats"), DatasetOptions(images=tmp_path / "images", layout="imagefolder"))
    for name in ("a", "b"):
        add_run(Workspace.open(made.path), name, 1.0, np.random.default_rng(0))
    page = opened(Workspace.open(made.path))
    said = texts(page)
    assert "A tie: a and b are right and wrong on the same items" in said
    assert "No item flips." in said
    assert cells(page) == {("right", "right"): 3}
    many = opened(Workspace.open(made.path), compare="many")
    assert "**0 of 1 pair of runs differ**" in texts(many)
    assert "**0 images** are wrong by at least 2 of 2 runs" in texts(many)


def test_names_that_look_like_markup_are_escaped(tmp_path: Path) -> None:
    ugly = make_workspace(tmp_path / "ugly", tmp_path / "images", UGLY_CLASSES)
    for query in ({}, {"compare": "many"}, {"flips_by": "class"}):
        for said in texts(opened(ugly, **query)).splitlines():
            assert "](http" not in said.replace("\\]\\(http", "")
            assert "<img" not in said.replace("\\<img", "")


def test_nonsense_in_the_address_is_ignored(workspace: Workspace) -> None:
    page = opened(workspace, labels="original", a="gone", b="<b>", flips_by="x", compare="all", wrong_by="-7", runs="y")
    assert page.selectbox(key="a").value == "strong"
    texts(page)
