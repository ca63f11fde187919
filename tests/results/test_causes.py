"""What tells the causes of mistakes in a workspace: rules of Errata's own, files, spaces; and how good they are."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from analysis import spaces
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError
from analysis.imports import import_causes
from analysis.models import load
from analysis.models.predictions import Predictions
from analysis.report import ReportOptions, report
from analysis.results.causes import LEAST_TYPICAL, agreement, causes, superclass_quality, told
from analysis.results.outcomes import outcome_report, run_outcomes
from analysis.spaces import fresh_steps
from analysis.workspace import Workspace
from tests.workspaces import make_images

CLASSES = ("crow", "jay", "car", "van")
EACH = 5
N = len(CLASSES) * EACH
ODD = 12


def publish_run(workspace: Workspace, name: str, top1: list[int]) -> None:
    run = Predictions(np.arange(N, dtype=np.uint32), np.array(top1, np.int32)[:, None], None, "ranks", None)
    workspace.publish_run(name, run, inputs=("keys", "classes"), details={"source": "test"})


def class_file(folder: Path) -> Path:
    path = folder / "classes.csv"
    path.write_text("id,name,parent\ncrow,crow,bird\njay,jay,bird\ncar,car,vehicle\nvan,van,vehicle\n")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four classes of five pictures, two of each kind; a run that takes every class for the next.

    Items go by folder: 0 to 4 are cars, then crows, jays from 10 on, vans.
    """
    make_images(tmp_path / "images", CLASSES, each=EACH)
    options = DatasetOptions(images=tmp_path / "images", classes=str(class_file(tmp_path)))
    made = create(str(tmp_path / "ws"), options)[0]
    publish_run(made, "shifted", ((made.original_labels + 1) % 4).tolist())
    return Workspace.open(made.path)


def outcome_of(workspace: Workspace, label: str) -> set[str]:
    """The outcomes of the items of a class."""
    rows = run_outcomes(workspace, "shifted", "original").filter(target=workspace.classes().ids.index(label))
    return set(rows["outcome"].cast(pl.String))


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_a_file_of_superclasses_replaces_the_default_until_it_is_withdrawn(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert outcome_of(workspace, "crow") == {"fine_grained"}
    assert outcome_of(workspace, "jay") == {"model_failure"}
    before = report(workspace, ReportOptions(by="superclass"))
    assert set(before["group"].drop_nulls()) == {"bird", "vehicle"}
    file = write(tmp_path, "mine.csv", "superclass,name,class\nx,Odd ones,jay|car\n")
    (stored,) = import_causes(workspace, {"superclasses": file})
    assert workspace.reopened().version != workspace.version
    changed = Workspace.open(workspace.path)
    assert outcome_of(changed, "jay") == {"fine_grained"}
    assert outcome_of(changed, "crow") == {"model_failure"}
    assert causes(changed, "original").record()["fine_grained"] == "file mine.csv" == stored.basis
    assert set(report(changed, ReportOptions(by="superclass"))["group"].drop_nulls()) == {"Odd ones"}
    assert outcome_of(workspace, "jay") == {"model_failure"}, "a snapshot keeps to its versions"
    assert changed.withdraw_cause("superclasses")
    back = changed.reopened()
    assert back.version == workspace.version
    assert outcome_of(back, "jay") == {"model_failure"}
    assert report(back, ReportOptions(by="superclass")).equals(before)
    assert not back.withdraw_cause("superclasses")


def test_merged_classes_overlap_both_ways(workspace: Workspace, tmp_path: Path) -> None:
    import_causes(workspace, {"merges": write(tmp_path, "m.csv", "class,into\njay,car\nvan,car\n")}, basis="our map")
    changed = Workspace.open(workspace.path)
    assert [outcome_of(changed, label) for label in CLASSES] == [
        {"fine_grained"}, {"overlapping"}, {"overlapping"}, {"model_failure"},
    ]  # fmt: skip
    assert causes(changed, "original").record()["overlapping"] == "our map: classes that count as one"
    rows = run_outcomes(changed, "shifted", "original").filter(outcome="overlapping")
    assert rows["forgiven"].all()
    assert not rows["right"].any()


def test_listed_images_are_atypical_and_a_list_goes_before_embeddings(workspace: Workspace, tmp_path: Path) -> None:
    add_vectors(workspace, "test:encoder")
    with_space = Workspace.open(workspace.path)
    by_space = causes(with_space, "original").atypical
    assert by_space is not None
    assert by_space.items.tolist() == [ODD]
    assert by_space.basis.startswith("mean similarity to the 10 nearest images of the same class in test:encoder")
    rows = run_outcomes(with_space, "shifted", "original").filter(outcome="non_prototypical")
    assert rows["item"].to_list() == [ODD]
    file = write(tmp_path, "odd.txt", "\n".join(workspace.items()["key"].gather([11, 15])))
    import_causes(with_space, {"atypical": file})
    listed = Workspace.open(workspace.path)
    rows = run_outcomes(listed, "shifted", "original").filter(outcome="non_prototypical")
    assert rows["item"].to_list() == [11, 15]
    assert causes(listed, "original").record()["non_prototypical"] == "list odd.txt (2 images)"


def add_vectors(workspace: Workspace, encoder: str) -> None:
    """A space in which each image lies by its class and one far from it."""
    rng = np.random.default_rng(0)
    vectors = np.eye(4)[workspace.original_labels] + rng.normal(scale=0.05, size=(N, 4))
    vectors[ODD] = [0, 0.1, 0, 1]
    items = np.arange(N, dtype=np.uint32)
    spaces.publish_vectors(workspace, encoder, items, [vectors.astype(np.float16)], 4, {})


def test_a_stale_space_says_nothing_of_typicality(workspace: Workspace, tmp_path: Path) -> None:
    add_vectors(workspace, "test:encoder")
    (tmp_path / "images" / "car" / "2-1.png").write_bytes((tmp_path / "images" / "van" / "3-1.png").read_bytes())
    create(str(workspace.path), DatasetOptions(images=tmp_path / "images", classes=str(tmp_path / "classes.csv")))
    assert causes(Workspace.open(workspace.path), "original").atypical is None


def test_the_least_typical_are_a_share_of_the_images() -> None:
    assert 0 < LEAST_TYPICAL < 0.5


def test_judgements_go_before_rules_and_tell_how_good_these_are(workspace: Workspace, tmp_path: Path) -> None:
    keys = workspace.items()["key"]
    said = [(5, "jay", "fine-grained"), (6, "jay", "spurious correlation"), (10, "car", "spurious correlation")]
    content = "key,prediction,category,severity\n" + "".join(f'"{keys[i]}",{p},{c},Major\n' for i, p, c in said)
    import_causes(workspace, {"judgements": write(tmp_path, "panel.csv", content)})
    changed = Workspace.open(workspace.path)
    rows = run_outcomes(changed, "shifted", "original")
    assert rows["outcome"].cast(pl.String).gather([5, 6, 7, 10, 11]).to_list() == [
        "fine_grained", "spurious_correlation", "fine_grained", "spurious_correlation", "model_failure",
    ]  # fmt: skip
    assert rows.filter(~pl.col("suggested") & ~pl.col("right"))["item"].to_list() == [5, 6, 10]
    assert set(rows.filter(pl.col("severity").is_not_null())["item"]) == {5, 6, 10}
    agreed = agreement(changed, "original")
    assert agreed is not None
    assert dict(zip(agreed["category"].cast(pl.String), agreed.drop("category").rows(), strict=True)) == {
        "too_coarse": (0, 0, 0),
        "fine_grained": (1, 2, 1),
        "fine_grained_oov": (0, 0, 0),
        "spurious_correlation": (2, 0, 0),
        "non_prototypical": (0, 0, 0),
        "model_failure": (0, 1, 0),
    }
    assert superclass_quality(changed) == {
        "n_same": 1,
        "joined": 1,
        "n_different": 2,
        "parted": 1,
        "known": "3 judgements (panel.csv)",
    }
    shown = {row["outcome"]: row for row in told(changed, "original")}
    assert shown["fine_grained"]["quality"]["judged"] == 1
    assert shown["panel"]["file"] == "panel.csv"
    assert json.dumps(list(shown.values()), allow_nan=False)


def test_nothing_is_known_of_rules_that_nobody_judged(workspace: Workspace) -> None:
    assert agreement(workspace, "original") is None
    assert superclass_quality(workspace) is None
    assert {row["outcome"]: row["quality"] for row in told(workspace, "original")}["fine_grained"] == {}


def test_all_files_are_checked_before_one_is_stored(workspace: Workspace, tmp_path: Path) -> None:
    good = write(tmp_path, "s.csv", "superclass,class\nx,jay\nx,car\n")
    with pytest.raises(InputError, match="row 1"):
        import_causes(workspace, {"superclasses": good, "atypical": write(tmp_path, "a.txt", "gone.png")})
    with pytest.raises(InputError, match="Nothing to import"):
        import_causes(workspace, {})
    assert Workspace.open(workspace.path).version == workspace.version


def test_a_table_is_stale_when_what_it_names_changed(workspace: Workspace, tmp_path: Path) -> None:
    file = write(tmp_path, "odd.txt", str(workspace.items()["key"][3]))
    import_causes(workspace, {"atypical": file})
    (tmp_path / "images" / "car" / "new.png").write_bytes((tmp_path / "images" / "van" / "3-1.png").read_bytes())
    create(str(workspace.path), DatasetOptions(images=tmp_path / "images", classes=str(tmp_path / "classes.csv")))
    changed = Workspace.open(workspace.path)
    assert "stale: made" in causes(changed, "original").record()["non_prototypical"]
    assert changed.stale(changed.cause_tables()["atypical"]) is not None


def test_a_damaged_table_is_listed_and_left_out(workspace: Workspace, tmp_path: Path) -> None:
    import_causes(workspace, {"superclasses": write(tmp_path, "s.csv", "superclass,class\nx,jay\nx,car\n")})
    opened = Workspace.open(workspace.path)
    table = opened.cause_tables()["superclasses"].folder / "table.parquet"
    table.write_bytes(table.read_bytes()[:-7])
    damaged = Workspace.open(workspace.path)
    assert damaged.cause_tables() == {}
    assert list(damaged.damaged) == ["causes/superclasses"]
    assert damaged.problems()["stage"].to_list() == ["opening"]
    assert outcome_of(damaged, "crow") == {"fine_grained"}


@pytest.mark.shared_data
@pytest.mark.xdist_group("results")
def test_the_rules_against_the_panel_of_imagenets_mistakes(
    imagenet: Workspace, shared_data: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(imagenet.path, tmp_path / "val")
    before = outcome_report(Workspace.open(path), "resnet18_torchvision", "expert")
    file = shared_data / "imagenet-mistakes" / "vit3b_mistakes.json"
    import_causes(Workspace.open(path), {"judgements": file})
    judged = Workspace.open(path)
    agreed = agreement(judged, "expert")
    assert agreed is not None
    found = {row["category"]: row for row in agreed.to_dicts()}
    assert agreed["judged"].sum() == agreed["told"].sum() <= 378
    assert found["fine_grained"]["agree"] > 0.6 * found["fine_grained"]["judged"]
    quality = superclass_quality(judged)
    assert quality is not None
    assert (quality["n_different"], quality["parted"]) == (52, 45)
    assert quality["n_same"] > 242
    # A panel's judgement changes why a prediction is wrong, never whether it is.
    after = outcome_report(judged, "resnet18_torchvision", "expert")
    assert after["accuracy"] == before["accuracy"]
    assert after["class_mean_accuracy"] == pytest.approx(before["class_mean_accuracy"])
    for right in ("correct", "overlapping", "multi_label"):
        assert after["counts"][right] == before["counts"][right]
    assert after["counts"] != before["counts"]


# ---- words outside the class list


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny open_clip model of random weights."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    weights = open_clip.model.CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from analysis import settings

    monkeypatch.setenv("ERRATA_CACHE", str(tmp_path / "cache"))
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


def test_a_space_of_an_open_clip_encoder_runs_the_check(workspace: Workspace, clip: str) -> None:
    assert causes(workspace, "original").record()["fine_grained_oov"] == "not run: no open_clip space"
    space, done = spaces.build(workspace, clip, device="cpu")
    assert set(done) == {"index", "projection", "clusters", "texts"}
    built = Workspace.open(workspace.path)
    assert "texts" in fresh_steps(built, space)
    texts = space.frame("texts")
    assert texts is not None
    assert texts.rows() == [
        ("crow", "crow", 0), ("jay", "jay", 1), ("car", "car", 2), ("van", "van", 3),
        ("bird", "bird", None), ("vehicle", "vehicle", None),
    ]  # fmt: skip
    # The classes' vectors are those of the zero-shot classifier.
    model = load(clip, classes=built.classes(), device="cpu", templates="simple")
    vectors = space.array("texts.f16.npy")
    assert np.allclose(vectors[:4], model.module.text.T, atol=2e-3)
    nearest = space.array("nearest.npy")
    assert nearest.shape == (N, 10)
    assert not (nearest == np.arange(N)[:, None]).any(), "an image is no neighbour of itself"
    assert space.manifest["steps"]["texts"]["prompts"][0] == "itap of a {}."

    known = causes(built, "original")
    assert known.record()["fine_grained_oov"].startswith(f"a word outside the class list fits better in {clip}")
    assert known.outside is not None
    flagged = {(item, prediction): text for item, prediction, text in known.outside.found.iter_rows()}
    # By a plain loop: the best of the prediction's kind and its parent's word, where the kind is near.
    from analysis.search import open_index

    images = open_index(space.folder).vectors(np.arange(N))
    labels = built.original_labels
    kind = np.array([0, 0, 1, 1])
    expected = {}
    for item in range(N):
        predicted = (labels[item] + 1) % 4
        if not any(kind[labels[near]] == kind[predicted] for near in nearest[item]):
            continue
        competing = [*np.flatnonzero(kind == kind[predicted]), 4 + kind[predicted]]
        similarity = vectors[competing].astype(np.float32) @ images[item]
        if competing[int(similarity.argmax())] >= 4:
            expected[item, predicted] = texts["name"][int(4 + kind[predicted])]
    assert flagged == expected
    assert "fine_grained_oov" in outcome_report(built, "shifted", "original")["counts"]

    again, done = spaces.build(built, clip, device="cpu")
    assert done == dict.fromkeys(("index", "projection", "clusters", "texts"), "fresh")
    assert again.version == space.version


def test_an_open_clip_space_without_texts_says_what_to_do(workspace: Workspace) -> None:
    add_vectors(workspace, "open_clip:local-dir:/gone")
    told_by = causes(Workspace.open(workspace.path), "original").record()["fine_grained_oov"]
    assert told_by.startswith("not run: open_clip:local-dir:/gone has no texts")
    assert "errata space build" in told_by


def test_made_texts_flag_a_mistake(workspace: Workspace, tmp_path: Path) -> None:
    """Crows that were taken for jays; `bird` fits them best."""
    add_vectors(workspace, "open_clip:made")
    space = workspace.reopened().space("open_clip:made")
    texts = pl.DataFrame(
        {
            "id": [*CLASSES, "bird", "vehicle"],
            "name": [*CLASSES, "bird", "vehicle"],
            "class": pl.Series([0, 1, 2, 3, None, None], dtype=pl.UInt32),
        }
    )
    vectors = np.concatenate([np.eye(4)[[1, 1, 2, 3]], np.eye(4)[[0, 2]]]).astype(np.float16)
    now = workspace.fingerprints

    def write_texts(folder: Path) -> dict[str, object]:
        texts.write_parquet(folder / "texts.parquet")
        np.save(folder / "texts.f16.npy", vectors)
        np.save(folder / "nearest.npy", np.repeat((np.arange(N, dtype=np.uint32) + 1)[:, None] % N, 10, axis=1))
        return {"vectors": spaces.vectors_of(space), "labels": now["labels"], "classes": now["classes"]}

    spaces._publish(workspace, "open_clip:made", "texts", write_texts)
    built = Workspace.open(workspace.path)
    assert outcome_of(built, "crow") == {"fine_grained"}, "what is alike goes before"
    outside = causes(built, "original").outside
    assert outside is not None
    assert outside.found.rows() == [(item, 1, "bird") for item in range(5, 10)]
    # Where the superclasses hold the jay with no valid class, its kind may be near all the same.
    file = write(tmp_path, "s.csv", "superclass,class\nx,jay\nx,van\n")
    import_causes(built, {"superclasses": file})
    assert outcome_of(Workspace.open(workspace.path), "crow") == {"fine_grained_oov", "model_failure"}
