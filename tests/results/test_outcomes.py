"""Outcomes of real runs: the published numbers."""

import pytest

from analysis.results.outcomes import outcome_report
from analysis.workspace import Workspace

pytestmark = pytest.mark.xdist_group("results")


@pytest.mark.shared_data
def test_outcomes_are_the_published_ones(imagenet: Workspace) -> None:
    found = outcome_report(imagenet, "resnet18_torchvision", "expert")
    counts = found["counts"]
    assert (counts["correct"], counts["overlapping"], counts["multi_label"]) == (13623, 107, 962)
    assert counts["not_scored"] == 50_000 - 18_692
    assert sum(counts.values()) == found["n"] == 50_000
    assert round(100 * found["class_mean_accuracy"], 4) == 78.3568
    assert "not run" in str(found["causes"])
