"""Real labels and predictions, opened once for all tests of this folder: they run in one process."""

from pathlib import Path

import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.imports import import_labels, import_run
from analysis.workspace import Workspace


@pytest.fixture(scope="session")
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
