import json
from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, WorkspaceError
from analysis.labels.sets import original
from analysis.report import (
    COVERAGE_SCHEMA,
    REPORT_SCHEMA,
    ReportOptions,
    coverage,
    markdown,
    report,
    table,
    tabulate,
)
from analysis.workspace import Workspace
from tests.published import labelled, labels_of, published, ranks
from tests.workspaces import make_workspace

# ---- the table, from arrays


def values(frame, **wanted):
    return frame.filter(**wanted)["value"].to_list()


def test_the_report_has_its_columns_also_without_runs():
    frame = tabulate({}, [], labels_of())
    assert dict(frame.schema) == REPORT_SCHEMA
    assert frame.is_empty()
    assert "no runs" in table(frame)


def test_the_report_says_what_each_number_stands_on():
    truth = labels_of(0, 1, 2)
    runs = {"five": ranks([[0, 1, 2, 3, 4]] * 3), "two": ranks([[1, 2]], items=[2])}
    opened = labelled((0, 0, "valid"), (1, 1, "valid"), (1, 0, "rejected"), items=3, absent="unjudged")
    frame = tabulate(runs, [original(truth), opened], truth)
    accuracies = frame.filter(pl.col("metric").is_in(["top1", "top5", "accuracy", "class_mean_accuracy"]))
    assert accuracies.select("run", "labels", "metric", "k", "group", "value", "n", "n_unjudged").rows() == [
        ("five", "original", "top1", 1, None, 1 / 3, 3, None),
        ("five", "original", "top5", 5, None, 1.0, 3, None),
        ("five", "original", "accuracy", None, None, 1 / 3, 3, None),
        ("five", "original", "class_mean_accuracy", None, None, pytest.approx(1 / 3), 3, None),
        ("five", "x", "accuracy", None, None, 1 / 2, 2, 0),
        ("five", "x", "class_mean_accuracy", None, None, 1 / 2, 2, 0),
        ("two", "original", "top1", 1, None, 0.0, 1, None),
        ("two", "original", "top5", 5, None, None, 0, None),  # two ranks stored
        ("two", "original", "accuracy", None, None, 0.0, 1, None),
        ("two", "original", "class_mean_accuracy", None, None, 0.0, 1, None),
        ("two", "x", "accuracy", None, None, None, 0, 0),  # item 2 is not scored by that set
        ("two", "x", "class_mean_accuracy", None, None, None, 0, 0),
    ]


def test_one_image():
    truth = labels_of(2)
    frame = tabulate({"a": ranks([[2, 0, 1, 3, 4]])}, [original(truth)], truth)
    assert set(frame["value"]) == {1.0}
    # One image a class shows no variance between images: no interval rather than one of no width.
    assert frame.filter(metric="class_mean_accuracy").select("low", "high").row(0) == (None, None)


def test_one_class_and_no_mistakes_at_all():
    truth = labels_of(0, 0, 0)
    frame = tabulate({"a": ranks([0, 0, 0])}, [original(truth)], truth, top_k=(1,))
    assert set(frame["value"]) == {1.0}
    assert frame.filter(metric="accuracy")["low"][0] == pytest.approx(0.4385, abs=1e-4)


def test_all_wrong():
    truth = labels_of(0, 0, 1, 1)
    frame = tabulate({"a": ranks([1, 1, 0, 0])}, [original(truth)], truth, top_k=(1,))
    assert set(frame["value"]) == {0.0}
    assert frame.filter(metric="accuracy")["high"].to_list() == pytest.approx([0.489891], abs=1e-6)


def test_no_predictions_at_all():
    truth = labels_of(0, 1)
    frame = tabulate({"a": ranks(np.empty((0, 5)))}, [original(truth)], truth)
    assert set(frame["n"]) == {0}
    assert frame.select("value", "low", "high").null_count().row(0) == (frame.height,) * 3


@pytest.mark.parametrize("absent", ["wrong", "unjudged"])
def test_an_empty_label_set(absent):
    truth = labels_of(0, 1)
    frame = tabulate({"a": ranks([0, 1])}, [labelled(items=0, absent=absent)], truth).filter(labels="x")
    assert set(frame["n"]) == {0}
    assert set(frame["value"]) == {None}
    assert set(frame["n_unjudged"]) == {None if absent == "wrong" else 0}
    assert set(frame["bound_high"]) == {None}


def test_a_label_set_for_other_items_scores_nothing():
    truth = labels_of(0, 1)
    frame = tabulate({"a": ranks([0, 1])}, [labelled((5, 0, "valid"), items=6)], truth).filter(labels="x")
    assert set(frame["n"]) == {0}


def test_calibration_has_a_row_only_where_there_are_probabilities():
    truth = labels_of(0, 1)
    runs = {"ranks": ranks([0, 1]), "scores": ranks([0, 1], scores=[0.9, 0.7], kind="probabilities")}
    frame = tabulate(runs, [original(truth)], truth)
    assert frame.filter(metric="ece")["run"].to_list() == ["scores"]
    assert values(frame, metric="ece") == pytest.approx([(0.1 + 0.3) / 2])


def test_rows_by_k_and_items_with_more_labels_than_ranks():
    labels = labelled(*[(0, c, "valid") for c in range(7)], (1, 0, "valid"), (2, 0, "valid"), (2, 1, "valid"), items=3)
    frame = tabulate({"a": ranks([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 2, 1, 3, 4]])}, [labels], labels_of(0, 0, 0))
    rows = frame.filter(metric="overlap_at_k").select("k", "value", "n").rows()
    assert rows == [(None, 0.75, 2), (1, 1.0, 1), (2, 0.5, 1)]
    assert values(frame, metric="exact_at_k_subgroup_mean") == [0.5]


def test_groups_are_each_group_alone():
    rng = np.random.default_rng(0)
    n = 300
    truth, top1 = (rng.integers(0, 5, n).astype(np.int32) for _ in range(2))
    top1 = np.where(rng.random(n) < 0.6, truth, top1)
    scores = rng.random(n)
    member = rng.random((n, 3)) < 0.4
    items, group = np.nonzero(member)
    frame = pl.DataFrame({"item": items, "group": group})
    said = [(i, truth[i], "valid") for i in range(n)] + [(i, (truth[i] + 1) % 5, "valid") for i in range(0, n, 3)]
    labels = labelled(*said, items=n, absent="unjudged")
    run = ranks(
        np.stack([top1, (top1 + 1) % 5], axis=1),
        scores=np.stack([scores, 0 * scores], axis=1),
        kind="probabilities",
    )
    whole = tabulate({"a": run}, [labels], truth, groups=lambda _: frame)
    assert whole["group"].unique().sort().to_list() == [None, "0", "1", "2"]
    for g in range(3):
        chosen = np.flatnonzero(member[:, g])
        part = ranks(run.classes[chosen], items=chosen, scores=run.scores[chosen], kind="probabilities")
        alone = tabulate({"a": part}, [labels], truth)
        numbers = whole.filter(group=str(g)).drop("group")
        assert numbers.sort("labels", "metric", "k").to_dicts() == [
            {k: pytest.approx(v) if isinstance(v, float) else v for k, v in row.items()}
            for row in alone.filter(pl.col("n") > 0).drop("group").sort("labels", "metric", "k").to_dicts()
        ]


def test_dense_scores_give_likelihood_and_brier():
    truth = labels_of(0, 1, 0)
    p = np.array([[0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
    run = ranks(p.argmax(axis=1))
    frame = tabulate({"a": run}, [original(truth)], truth, dense={"a": (p, "probabilities")})
    assert values(frame, metric="brier") == pytest.approx([(0.5 + 0.08 + 2) / 3])
    # A valid class of probability 0: infinite, which no table can show.
    assert values(frame, metric="set_nll") == [None]
    assert frame.filter(metric="set_nll")["n"][0] == 3
    first = tabulate({"a": ranks([0, 1])}, [original(truth)], truth, dense={"a": (p[:2], "probabilities")})
    assert values(first, metric="set_nll") == pytest.approx([-np.log(0.5 * 0.8) / 2])


def test_distances_between_classes_give_a_graded_error_and_another_decoder():
    truth = labels_of(0, 1, 2)
    line = np.abs(np.arange(3)[:, None] - np.arange(3))
    p = np.array([[0.4, 0.2, 0.4], [0.1, 0.8, 0.1], [1.0, 0.0, 0.0]])
    run = ranks(p.argmax(axis=1))
    labels = labelled((0, 0, "valid"), (1, 1, "valid"), (2, 2, "valid"), (2, 1, "valid"), items=3)
    frame = tabulate({"a": run}, [labels], truth, dense={"a": (p, "probabilities")}, distances=line)
    # The third is one step from the nearer of its two valid classes; Loki takes the middle class for the first.
    assert values(frame, metric="graded_error") == pytest.approx([1 / 3])
    assert values(frame, metric="loki_accuracy") == pytest.approx([1 / 3])
    assert values(frame, metric="accuracy") == pytest.approx([2 / 3])
    assert frame.filter(metric="graded_error")["high"][0] <= 2
    shown = {line.split()[2]: line.split()[3:] for line in table(frame).splitlines()[1:-1]}
    assert shown["graded_error"][0] == "0.333"
    assert "edges" in shown["graded_error"]
    assert shown["accuracy"][0] == "66.7"
    alone = tabulate({"a": run}, [labels], truth, distances=line)
    assert values(alone, metric="graded_error") == pytest.approx([1 / 3])
    assert alone.filter(metric="loki_accuracy").is_empty()


def test_what_counts_as_right_may_be_wider_than_the_k_valid_classes():
    truth = labels_of(0, 1)
    wider = labelled((0, 0, "valid"), (0, 2, "valid"), (1, 1, "valid"), items=2, name="original")
    frame = tabulate({"a": ranks([2, 1])}, [original(truth)], truth, accepting=lambda labels: wider)
    assert values(frame, metric="accuracy") == [1.0]
    assert frame.filter(metric="exact_at_k").select("k", "value").rows() == [(None, 0.5), (1, 0.5)]


# ---- from a workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("report")
    return make_workspace(folder / "ws", folder / "images")


def test_every_run_under_every_label_set(workspace):
    frame = report(workspace)
    assert dict(frame.schema) == REPORT_SCHEMA
    assert frame["run"].unique().sort().to_list() == workspace.run_names()
    assert frame["labels"].unique().sort().to_list() == ["original", "panel"]
    assert json.dumps({"rows": frame.to_dicts()}, allow_nan=False)
    assert set(frame.filter(labels="panel", metric="accuracy")["n_unjudged"]) != {None}
    one = report(workspace, ReportOptions(runs=("strong",), labels=("panel",)))
    assert set(one["run"]) == {"strong"}
    assert set(one.filter(pl.col("metric") != "top1", pl.col("metric") != "top5")["labels"]) == {"panel"}


def test_stored_scores_of_all_classes_are_used_where_asked_for(tmp_path):
    workspace = partial_workspace(tmp_path)
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16)
    run = ranks(logits.argmax(axis=1), items=[1, 2, 3, 4, 5], scores=logits.max(axis=1), kind="logits")
    workspace.publish_run(
        "dense",
        run,
        inputs=("classes",),
        details={},
        fill=lambda folder: np.save(folder / "scores.f16.npy", logits),
    )
    workspace = Workspace.open(tmp_path / "ws")
    options = ReportOptions(labels=("original",), dense=True)
    frame = report(workspace, options).filter(metric="set_nll")
    assert frame.select("run", "n").rows() == [("dense", 3)]  # on the items of the other runs: 1, 2, 3
    truth = workspace.original_labels[[1, 2, 3]]
    rows = logits[:3].astype(float)
    expected = -(rows[np.arange(3), truth] - np.log(np.exp(rows).sum(axis=1)))
    assert frame["value"][0] == pytest.approx(expected.mean())
    assert "set_nll" not in report(workspace)["metric"].to_list()


def test_names_that_do_not_exist_are_refused(workspace):
    for options in (
        ReportOptions(runs=("no",)),
        ReportOptions(labels=("no",)),
        ReportOptions(by="cluster", space="no"),
    ):
        with pytest.raises(WorkspaceError, match="no"):
            report(workspace, options)
    for options in (ReportOptions(by="no"), ReportOptions(resample="no")):
        with pytest.raises(InputError, match="no column 'no'"):
            report(workspace, options)
    with pytest.raises(InputError, match="has no hierarchy"):
        report(workspace, ReportOptions(by="superclass"))
    with pytest.raises(InputError, match="depth is a number"):
        report(workspace, ReportOptions(by="level:x"))


def test_by_class_counts_every_item_once(workspace):
    frame = report(workspace, ReportOptions(by="class")).filter(labels="original", metric="accuracy", run="strong")
    assert frame["group"].to_list() == [None, *sorted(workspace.classes().ids)]
    whole, groups = frame["n"][0], frame["n"][1:]
    assert groups.sum() == whole
    assert (frame["value"][1:] * groups).sum() == pytest.approx(frame["value"][0] * whole)


def test_by_cluster_and_by_a_column(workspace):
    frame = report(workspace, ReportOptions(by="cluster")).filter(labels="original", metric="accuracy", run="strong")
    assert frame["n"][1:].sum() == frame["n"][0]
    by_column = report(workspace, ReportOptions(by="width")).filter(metric="top1", run="strong")
    assert by_column["group"].to_list() == [None, "64"]
    assert by_column["value"][0] == by_column["value"][1]


def test_a_slice_narrows_the_report(workspace):
    frame = report(workspace, items=np.array([1, 2, 3], np.uint32))
    assert set(frame.filter(metric="top1")["n"]) == {3}


def test_resampling_by_a_column_draws_equal_values_as_a_whole(workspace):
    plain = report(workspace, ReportOptions(runs=("strong",), labels=("original",)))
    again = [
        report(workspace, ReportOptions(runs=("strong",), labels=("original",), resample="key", seed=1))
        for _ in range(2)
    ]
    assert again[0].equals(again[1])
    assert plain["value"].to_list() == again[0]["value"].to_list()
    # Every item is drawn as often as any other of its class: all in one group leaves nothing to vary.
    whole = report(workspace, ReportOptions(runs=("strong",), labels=("original",), resample="width"))
    row = whole.filter(metric="accuracy").row(0, named=True)
    assert row["low"] == row["high"] == pytest.approx(row["value"])


def partial_workspace(tmp_path) -> Workspace:
    """Six items, one run over all of them and one over four; labels `some` over three."""
    rows = pl.DataFrame({"file": [f"{i}.jpg" for i in range(6)], "label": list("aabbcc")})
    rows.write_csv(tmp_path / "items.csv")
    create(str(tmp_path / "ws"), DatasetOptions(images=None, table=tmp_path / "items.csv", key="file", label="label"))
    for name, run in (("all", ranks([0, 0, 1, 1, 2, 0])), ("four", ranks([0, 1, 1, 0], items=[0, 1, 2, 3]))):
        Workspace.open(tmp_path / "ws").publish_run(name, run, inputs=("classes",), details={})
    some = labelled((0, 0, "valid"), (1, 0, "valid"), (5, 0, "valid"), items=6, name="some")
    Workspace.open(tmp_path / "ws").publish_labels(some)
    return Workspace.open(tmp_path / "ws")


def test_runs_over_different_items_stand_side_by_side_on_common_ones(tmp_path):
    workspace = partial_workspace(tmp_path)

    def counted(common):
        frame = report(workspace, ReportOptions(common_items=common)).filter(metric="accuracy")
        found = defaultdict(dict)
        for row in frame.iter_rows(named=True):
            found[row["run"]][row["labels"]] = row["n"]
        return dict(found)

    assert counted("runs") == {"all": {"original": 4, "some": 2}, "four": {"original": 4, "some": 2}}
    assert counted("all") == {"all": {"original": 2, "some": 2}, "four": {"original": 2, "some": 2}}
    assert counted("own") == {"all": {"original": 6, "some": 3}, "four": {"original": 4, "some": 2}}


def test_coverage_says_what_was_left_out_and_why(tmp_path):
    workspace = partial_workspace(tmp_path)
    frame = coverage(workspace)
    assert dict(frame.schema) == COVERAGE_SCHEMA

    def reasons(run):
        return dict(frame.filter(run=run, labels="some").select("reason", "n").rows())

    assert reasons("all") == {
        "counted": 2,
        "not common to the runs or label sets": 2,
        "not scored by the label set": 2,
        "scores give no probability": 2,
    }
    assert reasons("four")["no prediction"] == 2
    sums = frame.filter(pl.col("metrics").is_null()).group_by("run", "labels").agg(pl.col("n").sum())
    assert set(sums["n"]) == {6}


# ---- as text


def test_text_and_markdown_carry_names_as_data(workspace):
    frame = report(workspace)
    text = table(frame)
    assert "strong" in text
    assert "overlap_at_k_subgroup_mean" not in text
    *lines, empty, note = markdown(frame).splitlines()
    assert (empty, note) == ("", text.splitlines()[-1])
    assert "label uncertainty is not included" in note
    assert lines[1].startswith("| --- |")
    assert any(r"weak \!\[r\](http:y)" in line for line in lines)
    unescaped = [line.replace(r"\|", "").count("|") for line in lines]
    assert set(unescaped) == {8}
    grouped = report(workspace, ReportOptions(by="class"))
    assert "group" in table(grouped).splitlines()[0]


# ---- published, in per cent: top-1, top-5, ReaL, MLA, micro under expert

PUBLISHED = {
    "resnet50_pytorch": (75.062, 92.476, 81.982, 83.850, 84.111),
    "vgg16_pytorch": (70.664, 89.926, 77.970, 79.404, 79.606),
    "alexnet_pytorch": (54.502, 77.644, 60.790, 61.684, 62.069),
    "nasnetlarge_keras": (80.826, 95.272, 86.090, 89.460, 89.664),
    "resnet50_keras": (70.350, 89.548, 77.110, 79.002, 79.269),
    # 14,692 of 18,692 are 78.60047 %; rounded to four digits first, that is printed as 78.601 elsewhere.
    "resnet18_torchvision": (69.758, 89.076, 77.285, 78.357, 78.600),
    "vgg16_torchvision": (71.592, 90.382, 79.040, 80.417, 80.585),
    "densenet161_torchvision": (77.138, 93.560, 83.701, 86.281, 86.449),
}
# Top-1 under the expert labels: mistakes, of them unjudged, micro accuracy in per cent with these wrong and right.
UNJUDGED = {
    "alexnet_pytorch": (7090, 2603, 62.1, 76.0),
    "resnet50_keras": (3875, 1022, 79.3, 84.7),
    "resnet50_pytorch": (2970, 310, 84.1, 85.8),
    "vgg16_torchvision": (3629, 62, 80.6, 80.9),
}
MLA = {"resnet18_torchvision": 78.3568, "vgg16_torchvision": 80.4173, "densenet161_torchvision": 86.2806}


@pytest.fixture(scope="module")
def published_report(shared_data) -> pl.DataFrame:
    data = published(shared_data)
    return tabulate(data.runs, list(data.labels.values()), data.truth)


def row(frame, name, labels, metric) -> dict:
    (found,) = frame.filter(
        pl.col("k").is_null() | pl.col("metric").str.starts_with("top"), run=name, labels=labels, metric=metric
    ).to_dicts()
    return found


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracies_to_the_printed_digits(published_report, name):
    wanted = [
        ("original", "top1", 50_000),
        ("original", "top5", 50_000),
        ("real", "accuracy", 46_837),
        ("expert", "class_mean_accuracy", 18_692),
        ("expert", "accuracy", 18_692),
    ]
    for (labels, metric, n), expected in zip(wanted, PUBLISHED[name], strict=True):
        found = row(published_report, name, labels, metric)
        assert round(100 * found["value"], 3) == expected, (labels, metric)
        assert found["n"] == n
        assert found["low"] < found["value"] < found["high"]
    top1 = row(published_report, name, "original", "top1")
    same = row(published_report, name, "original", "accuracy")
    assert [top1[column] for column in ("value", "low", "high", "n")] == [
        same[column] for column in ("value", "low", "high", "n")
    ]
    strict = row(published_report, name, "expert", "strict_class_mean_accuracy")
    assert strict["value"] < row(published_report, name, "expert", "class_mean_accuracy")["value"]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", MLA)
def test_published_mla_to_four_digits(published_report, name):
    assert round(100 * row(published_report, name, "expert", "class_mean_accuracy")["value"], 4) == MLA[name]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", UNJUDGED)
def test_published_unjudged_counts_and_bounds(published_report, name):
    mistakes, unjudged, low, high = UNJUDGED[name]
    found = row(published_report, name, "expert", "accuracy")
    assert round(found["n"] * (1 - found["value"])) == mistakes
    assert found["n_unjudged"] == unjudged
    assert round(100 * found["bound_low"], 1) == low
    assert round(100 * found["bound_high"], 1) == high
    assert row(published_report, name, "real", "accuracy")["n_unjudged"] is None


@pytest.mark.shared_data
def test_published_variable_top_k_in_the_report(published_report):
    found = [row(published_report, "resnet50_pytorch", "real", metric) for metric in ("overlap_at_k", "exact_at_k")]
    assert [round(100 * one["value"], 3) for one in found] == [80.103, 75.836]
    by_k = published_report.filter(run="resnet50_pytorch", labels="real", metric="overlap_at_k").drop_nulls("k")
    assert by_k["n"].to_list() == [39_394, 5_408, 1_319, 411, 161]


@pytest.mark.shared_data
def test_published_groups_of_the_expert_items(shared_data, tmp_path):
    data = published(shared_data)
    source = tmp_path / "labels.csv"
    pl.read_csv(shared_data / "imagenet-val" / "labels.csv").select("filename", "wnid").write_csv(source)
    options = DatasetOptions(images=None, table=source, key="filename", label="wnid", classes="imagenet-1k")
    create(str(tmp_path / "ws"), options)
    workspace = Workspace.open(tmp_path / "ws")
    workspace.publish_run("vgg", data.runs["vgg16_torchvision"], inputs=("classes",), details={})
    workspace.publish_labels(data.labels["expert"])
    workspace = Workspace.open(tmp_path / "ws")
    frame = report(workspace, ReportOptions(labels=("expert",), by="group")).filter(metric="accuracy")
    assert dict(frame.select("group", "n").rows()) == {
        None: 18_692,
        "organism": 7_624,
        "artifact": 10_184,
        "other": 1_596,
    }
    for by in ("superclass", "level:6"):
        grouped = report(workspace, ReportOptions(labels=("original",), by=by)).filter(metric="accuracy")
        assert grouped.height > 10
        assert grouped["group"].is_unique().all()
