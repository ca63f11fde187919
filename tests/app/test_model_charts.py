"""Charts of the Models page: what a click gives back, names kept plain, and nothing lost of a run's outcomes."""

import re
from urllib.parse import unquote

import polars as pl
import pytest

from analysis.calibration import RELIABILITY_SCHEMA
from analysis.results.standings import GROUPS_SCHEMA, OUTCOME_COUNTS_SCHEMA
from app.charts.calibration import reliability
from app.charts.groups import group_dots
from app.charts.models import STRIP_WIDTH, cost_dots, outcome_strip, rank_lines
from app.charts.progress import progress_lines

UGLY = "<b>bold</b> & more"


def counts(run: str, rows: list[tuple[str, bool, bool | None, int]]) -> pl.DataFrame:
    total = sum(n for _, _, right, n in rows if right is not None)
    right = sum(n for _, _, was, n in rows if was) / total
    return pl.DataFrame(
        [(run, outcome, unjudged, was, n, total, right) for outcome, unjudged, was, n in rows],
        schema=OUTCOME_COUNTS_SCHEMA,
        orient="row",
    )


def test_a_strip_shows_every_scored_item_once() -> None:
    rows = [
        ("not_scored", False, None, 50),
        ("correct", False, True, 60),
        ("multi_label", False, True, 15),
        ("fine_grained", False, False, 10),
        ("fine_grained", True, False, 5),
        ("model_failure", True, False, 10),
    ]
    picture = unquote(outcome_strip(counts("any", rows)).removeprefix("data:image/svg+xml;utf8,"))
    widths = [float(width) for width in re.findall(r'<rect x="[\d.]+" width="([\d.]+)"', picture)]
    assert len(widths) == 5
    assert sum(widths) == pytest.approx(STRIP_WIDTH, abs=0.05)
    assert widths[0] == pytest.approx(0.6 * STRIP_WIDTH, abs=0.01)
    assert "<rect" not in unquote(outcome_strip(counts("any", rows).filter(outcome="not_scored")))


def test_a_group_is_found_by_its_name_though_it_be_a_number_or_markup() -> None:
    rows = [("1", 20, 0, 0.5, 0.3, 0.7, 0.6, -0.1, -0.2, 0.0), (UGLY, 3, 1, 1.0, 0.4, 1.0, None, None, None, None)]
    groups = pl.DataFrame(rows, schema=GROUPS_SCHEMA, orient="row")
    figure = group_dots(groups, UGLY)
    assert list(figure.data[-1].customdata) == ["1", UGLY]
    assert figure.layout.yaxis.type == "category"
    assert "gap -10.0\u202f±10.0 points" in figure.data[-1].hovertext[0]
    assert "unjudged: 1" in figure.data[-1].hovertext[1]
    assert not [text for text in (*figure.layout.yaxis.ticktext, *figure.data[-1].hovertext) if "<b>bold" in text]
    alone = groups.with_columns(others=pl.lit(None, pl.Float64), gap=pl.lit(None, pl.Float64))
    assert "mean of the other runs" not in [trace.name for trace in group_dots(alone, "run").data]


def test_a_bin_gives_back_its_probabilities() -> None:
    table = pl.DataFrame(
        [(3, 0.2, 0.3, 7, 0.25, 0.5, 0.2, 0.8), (9, 0.9, 1.0, 90, 0.97, 0.9, 0.8, 0.95)],
        schema=RELIABILITY_SCHEMA,
        orient="row",
    )
    figure = reliability(table)
    for trace in (figure.data[-2], figure.data[-1]):
        assert [list(ends) for ends in trace.customdata] == [[0.2, 0.3], [0.9, 1.0]]
    assert list(figure.data[-1].y) == [7, 90]


def test_a_whisker_reaches_down_to_what_was_judged() -> None:
    rows = [
        ("a", 0.6, "model_failure", False, 40, 0.4, 10, 0.3),
        (UGLY, 0.8, "model_failure", False, 20, 0.2, 0, 0.2),
    ]
    columns = ["run", "accuracy", "outcome", "is_right", "n", "share", "n_unjudged", "share_judged"]
    figure = progress_lines(pl.DataFrame(rows, schema=columns, orient="row"))
    (line,) = figure.data
    assert list(line.error_y.arrayminus) == pytest.approx([10, 0])
    assert list(line.customdata[1]) == [UGLY, "model_failure", False]
    assert "nobody judged 10" in line.hovertext[0]
    assert "<b>bold" not in line.hovertext[1]
    closed = pl.DataFrame(rows, schema=columns, orient="row").with_columns(share_judged="share")
    assert progress_lines(closed).data[0].error_y.arrayminus is None


def test_costs_and_places_name_the_run_that_was_clicked() -> None:
    columns = ["run", "value", "low", "high", "milliseconds", "front"]
    costs = pl.DataFrame([("a", 0.6, 0.5, 0.7, 5.0, True), ("b", 0.5, 0.4, 0.6, 90.0, False)], columns, orient="row")
    figure = cost_dots(costs)
    assert {name for trace in figure.data for name in trace.customdata} == {"a", "b"}
    assert figure.layout.xaxis.type == "log"
    assert cost_dots(costs.head(1)).layout.xaxis.type is None
    ranks = pl.DataFrame(
        [("a", "2024", 0.6, 1), ("b", "2024", 0.5, 2), ("a", "real", 0.6, 2), ("b", "real", 0.7, 1)],
        ["run", "labels", "value", "rank"],
        orient="row",
    )
    figure = rank_lines(ranks, ["2024", "real"], "a")
    assert [list(trace.y) for trace in figure.data] == [[2, 1], [1, 2]]  # the chosen one is drawn last
    assert figure.layout.xaxis.type == "category"
    assert set(figure.data[-1].customdata) == {"a"}
