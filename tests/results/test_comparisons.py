"""Comparisons of real runs: the published numbers."""

import pytest

from analysis.results.comparisons import compare_runs
from analysis.workspace import Workspace

pytestmark = pytest.mark.xdist_group("results")


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
    found = compare_runs(imagenet, "resnet50_pytorch", "vgg16_pytorch", labels).to_dict()
    assert tuple(found[name] for name in ("both_right", "only_a_wrong", "only_b_wrong", "both_wrong")) == table
    assert round(found["mcnemar_chi2"], 2) == chi2
    assert found["decidable"] is True
