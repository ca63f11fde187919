"""Suspected errors among real labels, against the published baseline."""

from pathlib import Path

import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError
from analysis.results.suspects import suspected_errors
from analysis.workspace import Workspace
from tests.workspaces import make_images

pytestmark = pytest.mark.xdist_group("results")


@pytest.mark.shared_data
def test_suspects_are_measured_where_labels_are_disputed(imagenet: Workspace) -> None:
    """The expert set leaves out images whose label is wrong, so ReaL judges the signals."""
    listed, quality = suspected_errors(imagenet)
    assert listed.columns == ["item", "key", "original", "suggested", "score", "signal"]
    baseline = quality.filter(signal="1 - p(t) of resnet50_pytorch").row(0, named=True)
    assert round(baseline["auroc"], 3) == 0.850
    assert round(baseline["average_precision"], 3) == 0.336
    assert round(baseline["base_rate"], 4) == 0.0998
    assert quality["average_precision"][0] > baseline["average_precision"]
    assert listed["signal"].unique().to_list() == [quality["signal"][0]]
    with pytest.raises(InputError, match="There is no signal 'guess'"):
        suspected_errors(imagenet, signal="guess")


def test_without_runs_there_are_no_suspects(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    with pytest.raises(InputError, match="no run yet"):
        suspected_errors(made)
