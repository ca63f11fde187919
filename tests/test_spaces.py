"""The steps of a space: what is fresh stays, what is not is made anew, nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from analysis import search, spaces
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, StaleInputError
from analysis.workspace import Workspace
from tests.test_create import on_a_full_disk, write_table

ENCODER = "test:encoder"
ITEMS = 40


def labels_of(shift: int = 0) -> dict[str, str]:
    return {f"item-{i:02d}": ("cat", "dog")[(i + shift) % 2] for i in range(ITEMS)}


def vectors(seed: int) -> NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    groups = np.arange(ITEMS)[:, None] % 2 * 4.0
    return (groups + rng.normal(size=(ITEMS, 8))).astype(np.float16)


def publish(workspace: Workspace, seed: int) -> None:
    items = np.arange(ITEMS, dtype=np.uint32)
    halves = np.array_split(vectors(seed), 2)
    spaces.publish_vectors(workspace, ENCODER, items, halves, 8, {"weights_hash": "0"})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A dataset without pixels with the vectors of a space."""
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", labels_of()))
    publish(made, seed=0)
    return Workspace.open(made.path)


def steps(workspace: Workspace) -> list[str]:
    return spaces.fresh_steps(workspace, workspace.space(ENCODER))


def stored(workspace: Workspace) -> NDArray[np.float16]:
    return np.array(search.open_index(workspace.space(ENCODER).folder).stored)


def test_vectors_are_stored_and_found(workspace: Workspace) -> None:
    space = workspace.space(ENCODER)
    assert space.items.tolist() == list(range(ITEMS))
    made = space.manifest["steps"]["index"]
    assert (made["dimension"], made["recall_at_10"], made["weights_hash"]) == (8, None, "0")
    unit = vectors(0).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert np.allclose(stored(workspace), unit, atol=2e-3)
    assert steps(workspace) == ["index"]


def test_what_is_fresh_is_skipped_and_equal_vectors_keep_what_was_made_of_them(workspace: Workspace) -> None:
    space, done = spaces.build(workspace, ENCODER)
    assert done["index"] == "fresh"
    assert done["projection"].endswith(" s")
    assert set(space.manifest["steps"]) == {"index", "projection", "clusters"}
    projection, members, cut = (space.frame(name) for name in ("projection", "members", "cut"))
    assert projection is not None
    assert members is not None
    assert cut is not None
    assert projection["item"].to_list() == members["item"].to_list() == list(range(ITEMS))
    assert np.isfinite(projection.select("x", "y").to_numpy()).all()
    sizes = dict(members.group_by("cluster").len().iter_rows())
    for cluster, typical in cut.select("node", "typical").iter_rows():
        inside = members.filter(pl.col("cluster") == cluster)["item"].to_list()
        assert 0 < len(typical) <= min(spaces.TYPICAL, sizes[cluster])
        assert set(typical) <= set(inside)

    workspace = workspace.reopened()
    again, done = spaces.build(workspace, ENCODER)
    assert done == {"index": "fresh", "projection": "fresh", "clusters": "fresh"}
    assert again.version == space.version

    publish(workspace, seed=0)  # the same vectors once more
    kept = Workspace.open(workspace.path)
    assert kept.space(ENCODER).version != space.version
    assert steps(kept) == ["projection", "clusters", "index"]
    for name in ("projection.parquet", "members.parquet", "clusters.parquet", "cut.parquet"):
        assert (kept.space(ENCODER).folder / name).stat().st_ino == (space.folder / name).stat().st_ino
    assert spaces.build(kept, ENCODER)[1] == {"index": "fresh", "projection": "fresh", "clusters": "fresh"}

    publish(kept, seed=1)  # others
    changed = Workspace.open(workspace.path)
    assert steps(changed) == ["index"]
    assert changed.space(ENCODER).frame("projection") is None


def test_a_changed_label_makes_the_clusters_anew_and_nothing_else(workspace: Workspace, tmp_path: Path) -> None:
    before, _ = spaces.build(workspace, ENCODER)
    create(str(workspace.path), write_table(tmp_path / "labels.csv", labels_of(shift=1)))
    changed = Workspace.open(workspace.path)
    assert changed.stale(changed.space(ENCODER)) is None
    assert steps(changed) == ["index", "projection"]
    after, done = spaces.build(changed, ENCODER)
    assert (done["index"], done["projection"]) == ("fresh", "fresh")
    assert done["clusters"] != "fresh"
    old, new = before.frame("cut"), after.frame("cut")
    assert old is not None
    assert new is not None
    assert not new.equals(old)  # it names the majority classes
    assert new["node"].to_list() == old["node"].to_list()
    assert (before.folder / "projection.parquet").stat().st_ino == (after.folder / "projection.parquet").stat().st_ino


@pytest.mark.parametrize("step", ["projection", "clusters"])
def test_vectors_made_anew_meanwhile_win(step: str, workspace: Workspace) -> None:
    make: Callable[..., None] = {"projection": spaces._project, "clusters": spaces._cluster}[step]
    told: list[str] = []

    def progress(what: str, done: int, total: int | None) -> None:
        if not told:
            told.append(what)
            publish(workspace, seed=1)

    with pytest.raises(StaleInputError, match=f"made anew while its {step} was computed"):
        make(workspace, workspace.space(ENCODER), progress)
    assert told
    after = Workspace.open(workspace.path)
    assert steps(after) == ["index"]
    assert not np.array_equal(stored(after), stored(workspace))
    home = after.space(ENCODER).folder.parent
    assert not list(home.glob(".staging-*"))


def test_two_steps_made_at_once_are_both_kept(workspace: Workspace) -> None:
    """Each is carried into the version of the other, whichever is published last."""
    spaces._project(workspace, workspace.space(ENCODER), lambda what, done, total: None)
    told: list[str] = []
    anew = workspace.reopened()

    def progress(what: str, done: int, total: int | None) -> None:
        if not told:
            told.append(what)
            publish(anew, seed=0)

    spaces._cluster(anew, anew.space(ENCODER), progress)
    assert sorted(steps(Workspace.open(workspace.path))) == ["clusters", "index", "projection"]


def test_another_publication_under_one_s_feet_is_refused(workspace: Workspace) -> None:
    snapshot = Workspace.open(workspace.path)
    publish(workspace, seed=1)

    with pytest.raises(StaleInputError, match="in the meantime"):
        snapshot.publish_space(ENCODER, lambda folder: {"steps": {}})
    assert steps(Workspace.open(workspace.path)) == ["index"]


@pytest.mark.parametrize("encoder", ["no-family:x", "timm:resnet50.a1_in1k"])
def test_an_encoder_that_cannot_be_had_publishes_nothing(encoder: str, workspace: Workspace) -> None:
    with pytest.raises(InputError):  # no such family; no pixels
        spaces.build(workspace, encoder)
    assert Workspace.open(workspace.path).version == workspace.version


def test_vectors_that_are_no_numbers_are_refused(workspace: Workspace) -> None:
    broken = vectors(0)
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match="row 3"):
        spaces.publish_vectors(workspace, ENCODER, np.arange(ITEMS, dtype=np.uint32), [broken], 8, {})
    assert Workspace.open(workspace.path).version == workspace.version


def test_a_full_disk_leaves_the_space_as_it_was(tmp_path: Path) -> None:
    table = {f"item-{i:05d}": "cat" for i in range(2000)}
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "many.csv", table))
    items = np.arange(2000, dtype=np.uint32)
    spaces.publish_vectors(made, ENCODER, items, [np.ones((2000, 8), np.float16)], 8, {})
    before = Workspace.open(made.path)
    told = on_a_full_disk(
        f"""
        import numpy as np
        from analysis import spaces
        from analysis.workspace import Workspace
        workspace = Workspace.open({str(made.path)!r})
        rows = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float16)
        def act():
            spaces.publish_vectors(workspace, {ENCODER!r}, np.arange(2000, dtype=np.uint32), [rows], 64, {{}})
        """,
        largest=100_000,  # the index has 256 kB
    )
    assert told["module"] == "analysis.errors", told
    assert "disk is full" in told["text"]
    after = Workspace.open(made.path)
    assert after.version == before.version
    index = search.open_index(after.space(ENCODER).folder)
    assert (index.dimension, len(index.items)) == (8, 2000)
    assert not list(after.space(ENCODER).folder.parent.glob(".staging-*"))


def test_a_dataset_read_again_makes_vectors_stale(workspace: Workspace, tmp_path: Path) -> None:
    assert spaces.has_fresh_vectors(workspace, ENCODER)
    assert not spaces.has_fresh_vectors(workspace, "another")
    fewer = dict(list(labels_of().items())[:-1])
    pl.DataFrame({"key": list(fewer), "label": list(fewer.values())}).write_csv(tmp_path / "labels.csv")
    again, _ = create(str(workspace.path), DatasetOptions(table=tmp_path / "labels.csv"))
    assert not spaces.has_fresh_vectors(again, ENCODER)
