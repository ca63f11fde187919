"""What a workspace answers, on real labels and predictions: the published numbers."""

from pathlib import Path

import pytest

from analysis import results
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError
from analysis.imports import import_labels, import_run
from analysis.workspace import Workspace
from tests.workspaces import make_images

pytestmark = pytest.mark.xdist_group("results")


@pytest.fixture(scope="module")
def imagenet(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """ImageNet's validation labels with three imported runs, ReaL and the expert labels; no pixels."""
    path, data = tmp_path_factory.mktemp("imagenet") / "val", shared_data / "imagenet-val"
    create(str(path), DatasetOptions(table=data / "labels.csv", classes="imagenet-1k"))
    folder = data / "predictions"
    for name in ("resnet50_pytorch", "vgg16_pytorch"):
        files = [folder / f"{name}_imagenet_top5{part}.npy" for part in ("preds", "probs")]
        import_run(Workspace.open(path), name, files)
    ranked = [folder / "resnet18_torchvision_top5ranked.npy"]
    import_run(Workspace.open(path), "resnet18_torchvision", ranked, order="imagefolder")
    import_labels(Workspace.open(path), "expert", data / "multilabel_v3.csv")
    return Workspace.open(path)


@pytest.mark.shared_data
def test_outcomes_are_the_published_ones(imagenet: Workspace) -> None:
    found = results.outcome_report(imagenet, "resnet18_torchvision", "expert")
    counts = found["counts"]
    assert (counts["correct"], counts["overlapping"], counts["multi_label"]) == (13623, 107, 962)
    assert counts["not_scored"] == 50_000 - 18_692
    assert sum(counts.values()) == found["n"] == 50_000
    assert round(100 * found["class_mean_accuracy"], 4) == 78.3568
    assert "not run" in str(found["causes"])


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("labels", "table", "chi2"),
    [
        ("original", (32898, 2434, 4633, 10035), 684.25),
        ("real", (34463, 2056, 3935, 6383), 589.32),
        ("expert", (14084, 796, 1638, 2174), 291.28),
    ],
)
def test_comparisons_are_the_published_ones(
    imagenet: Workspace, labels: str, table: tuple[int, ...], chi2: float
) -> None:
    found = results.compare_runs(imagenet, "resnet50_pytorch", "vgg16_pytorch", labels).to_dict()
    assert tuple(found[name] for name in ("both_right", "only_a_wrong", "only_b_wrong", "both_wrong")) == table
    assert round(found["mcnemar_chi2"], 2) == chi2
    assert found["decidable"] is True


@pytest.mark.shared_data
def test_suspects_are_measured_where_labels_are_disputed(imagenet: Workspace) -> None:
    """The expert set leaves out images whose label is wrong, so ReaL judges the signals."""
    listed, quality = results.suspected_errors(imagenet)
    assert listed.columns == ["item", "key", "original", "suggested", "score", "signal"]
    baseline = quality.filter(signal="1 - p(t) of resnet50_pytorch").row(0, named=True)
    assert round(baseline["auroc"], 3) == 0.850
    assert round(baseline["average_precision"], 3) == 0.336
    assert round(baseline["base_rate"], 4) == 0.0998
    assert quality["average_precision"][0] > baseline["average_precision"]
    assert listed["signal"].unique().to_list() == [quality["signal"][0]]
    with pytest.raises(InputError, match="There is no signal 'guess'"):
        results.suspected_errors(imagenet, signal="guess")


def test_without_runs_there_are_no_suspects(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    with pytest.raises(InputError, match="no run yet"):
        results.suspected_errors(made)
