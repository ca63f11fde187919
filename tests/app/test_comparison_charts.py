"""Charts of comparisons: the numbers they are given are where they are drawn, and what a click says."""

import numpy as np
import pytest

from analysis.intervals import Difference
from analysis.many_runs import Member
from app.charts.agreement import square_map, staircase, wrong_together
from app.charts.comparison import ForestRow, forest


def row(key: str, difference: float | None, low: float | None, high: float | None, **more: float) -> ForestRow:
    return ForestRow(key, f"<b>{key}</b>", difference, low, high, "n", f"{key}\n<i>", **more)


def test_a_forest_tells_apart_what_excludes_zero() -> None:
    rows = [
        row("up", 0.1, 0.05, 0.2),
        row("even", 0.01, -0.1, 0.12),
        row("one", 1.0, None, None),
        row("down", -0.1, -0.2, -0.05),
    ]
    figure = forest(rows, side="n")
    shown, quiet = figure.data
    assert [point[0] for point in shown.customdata] == ["up", "down"]
    assert [point[0] for point in quiet.customdata] == ["even", "one"]
    assert list(shown.x) == pytest.approx([10, -10])
    assert list(shown.error_x.array) == pytest.approx([10, 5])
    assert list(shown.error_x.arrayminus) == pytest.approx([5, 10])
    assert list(quiet.error_x.array) == pytest.approx([11, 0])  # without an interval there is no reach
    assert "&lt;i&gt;" in shown.hovertext[0]
    assert all("<b>" not in name for name in figure.layout.yaxis.ticktext)
    assert figure.layout.xaxis.range[0] < -20
    assert figure.layout.xaxis.range[1] > 100


def test_a_forest_reaches_as_far_as_judging_could() -> None:
    rows = [
        row("open", 0.1, 0.05, 0.2, bound_low=-0.3, bound_high=0.25),
        row("closed", 0.1, 0, 0.2, bound_low=0.1, bound_high=0.1),
    ]
    figure = forest(rows, side="n")
    bars = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(bar.x0, bar.x1) for bar in bars] == [(pytest.approx(-30), pytest.approx(25))]
    assert bars[0].y0 < 1 < bars[0].y1  # the first row stands on top
    assert figure.layout.xaxis.range[0] < -30


def test_a_heat_map_is_in_its_order_and_a_cell_names_two_runs() -> None:
    matrix = np.array([[1, 0.2, 0.9], [0.2, 1, 0.3], [0.9, 0.3, 1]])
    figure = square_map(["a", "<b>", "c"], matrix, [1, 2, 0], what="same class")
    cells, points = figure.data
    assert np.isnan(np.diag(cells.z)).all()
    assert cells.z[0][1] == pytest.approx(30)
    assert [list(two) for two in points.customdata] == [
        ["<b>", "c"],
        ["<b>", "a"],
        ["c", "<b>"],
        ["c", "a"],
        ["a", "<b>"],
        ["a", "c"],
    ]
    assert points.hovertext[0].replace("\u202f", " ") == "&lt;b&gt;<br>c<br>same class: 30.0 %"
    assert (points.x[0], points.y[0]) == (1, 0)
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;  1", "c  2", "a  3"]
    assert matrix[0, 0] == 1  # the caller's is untouched


def test_a_heat_map_of_a_hundred_runs_keeps_its_rows_apart() -> None:
    matrix = np.full((100, 100), 0.5)
    figure = square_map([f"run {n}" for n in range(100)], matrix, list(range(100)), what="same class")
    assert figure.layout.height >= 11 * 100
    assert len(figure.layout.yaxis.tickvals) == 100
    assert len(figure.layout.xaxis.tickvals) == 20
    assert figure.data[0].texttemplate is None


def test_a_pair_without_a_common_item_has_no_number() -> None:
    figure = square_map(["a", "b"], np.full((2, 2), np.nan), [0, 1], what="CKA", as_percent=False)
    assert figure.data[1].hovertext[0].endswith("CKA: –")


def test_bars_of_shared_mistakes_say_from_how_many_runs() -> None:
    bars = wrong_together([30, 20, 5], 2).data[0]
    assert [point[0] for point in bars.customdata] == [1, 2, 3]
    assert list(bars.y) == [30, 20, 5]
    assert list(bars.marker.opacity) == [0.45, 1.0, 0.45]


def test_a_staircase_has_a_step_a_member_with_the_interval_of_its_gain() -> None:
    members = [
        Member("<first>", 0.7, Difference(0.7, None, None)),
        Member("second", 0.75, Difference(0.05, 0.02, 0.09)),
    ]
    steps = staircase(members).data[0]
    assert list(steps.x) == pytest.approx([70, 75])
    assert list(steps.error_x.array) == pytest.approx([0, 4])
    assert list(steps.error_x.arrayminus) == pytest.approx([0, 3])
    assert steps.hovertext[0].startswith("&lt;first&gt;")
    assert "adds" not in steps.hovertext[0]
    assert steps.hovertext[1].endswith("adds +5.0 points (+2.0 to +9.0)")
