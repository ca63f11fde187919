"""Runs before and after review: what is known, what is estimated, what stays open, and what stands behind a change."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.errors import InputError, WorkspaceError
from analysis.labels.sets import label_set, original
from analysis.models.predictions import Predictions
from analysis.results.causes import causes
from analysis.results.judged import Design, Review, judgements
from analysis.results.outcomes import run_outcomes
from analysis.results.rescore import (
    CHANGES_SCHEMA,
    behind,
    changes,
    compare_after,
    publish_reviewed,
    score_runs,
    scores,
    share_none,
)
from analysis.review import log, queues
from analysis.review.designs import Stratum, complete, confidence_ordered, draw, simple_random, stratified
from analysis.review.imports import import_reviews
from analysis.review.kinds import Cause, Exhaustive, Judgement, Problem, Statement, Undo, Verdict
from analysis.review.queues import Protocol, Queue
from analysis.settings import settings
from analysis.workspace import Workspace
from tests.databases import database, postgres, workspace

__all__ = ["database", "postgres", "workspace"]

N = 20
LABELS = np.arange(N) % 5
A = np.where(np.arange(N) % 4 == 0, (LABELS + 1) % 5, LABELS)  # wrong on 0, 4, 8, 12, 16
B = np.where(np.arange(N) < 2, (LABELS + 2) % 5, LABELS)  # wrong on 0 and 1


def publish(workspace: Workspace, name: str, top1: np.ndarray) -> None:
    run = Predictions(np.arange(len(top1), dtype=np.uint32), top1.astype(np.int32)[:, None], None, "ranks", None)
    workspace.publish_run(name, run, inputs=("keys", "classes"), details={"source": "test"})


@pytest.fixture
def runs(workspace: Workspace) -> Workspace:
    publish(workspace, "a", A)
    publish(workspace, "b", B)
    return workspace.reopened()


def queue_of(
    workspace: Workspace,
    strata: Sequence[Stratum],
    name: str = "q",
    asked: Sequence[np.ndarray] = (LABELS, A, B),
    protocol: Protocol | None = None,
) -> Queue:
    """A queue whose candidates are these classes of each item."""
    items = [int(item) for stratum in strata for item in stratum.items]
    rows = sorted({(item, int(classes[item])) for item in items for classes in asked})
    candidates = pl.DataFrame(rows, schema=["item", "class"], orient="row").with_columns(source=pl.lit("run"))
    return queues.create(workspace, name, strata, protocol or Protocol(repeats=0), candidates, person="ann")


def served(workspace: Workspace, queue: Queue) -> list[int]:
    return queues.members(workspace, queue.id).drop_nulls("place").sort("place")["item"].to_list()


def say(
    workspace: Workspace, *said: Statement, queue: Queue | None = None, person: str = "ann", panel: bool = False
) -> None:
    log.append(
        workspace,
        [Judgement(says=one, person=person, panel=panel, queue=queue.id if queue else None) for one in said],
    )


def read(workspace: Workspace, queue: Queue, items: Sequence[int], valid: Sequence[tuple[int, int]] = ()) -> None:
    """Every candidate of the items gets a verdict: the original label and what `valid` names are valid."""
    places = {(item, index) for item, index in _asked(workspace, queue) if item in items}
    right = {(item, int(LABELS[item])) for item in items} | set(valid)
    say(
        workspace,
        *(Verdict(item, index, "valid" if (item, index) in right else "wrong") for item, index in sorted(places)),
        queue=queue,
    )


def _asked(workspace: Workspace, queue: Queue) -> list[tuple[int, int]]:
    return [
        (item, index) for item in served(workspace, queue) for index, _ in queues.sources(workspace, queue.id, item)
    ]


def row(frame: pl.DataFrame, run: str = "a", metric: str = "micro") -> dict:
    found = frame.filter(run=run, metric=metric)
    assert found.height == 1
    return found.row(0, named=True)


MISTAKES = [0, 4, 8, 12, 16]
NONE = [(4, int(A[4])), (8, int(A[8]))]
"""Two of a's mistakes that readers find valid."""


# ---- before, estimates, bounds


def test_before_anything_is_read_there_are_bounds_only(runs: Workspace) -> None:
    queue_of(runs, complete(range(N)))
    found = row(scores(runs, "original"))
    assert (found["before"], found["estimate"], found["low"]) == (pytest.approx(0.75), None, None)
    assert (found["bound_low"], found["bound_high"], found["n"], found["n_reviewed"]) == (0, 1, N, 0)
    assert found["why"] == "nobody has read an item of a queue yet"


def test_a_complete_queue_gives_the_accuracy_under_the_reviewed_labels(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, range(N), NONE)
    after = scores(runs, "original")
    publish_reviewed(runs, "original", "ann")
    reviewed = runs.reopened().labels("reviewed")
    for name, top1, expected in (("a", A, 0.85), ("b", B, 0.9)):
        found = row(after, name)
        assert found["estimate"] == found["low"] == found["high"] == pytest.approx(expected)
        assert found["bound_low"] == found["bound_high"] == pytest.approx(expected)
        assert reviewed.valid_mask(np.arange(N), top1).mean() == pytest.approx(expected)
        assert (found["why"], found["n_unjudged"]) == (None, 0)
    assert (row(after)["gained"], row(after)["lost"]) == (2, 0)
    assert row(after)["design"] == "q: all 20 of 20 complete"
    # By class: each has four items, and a is wrong on one of each.
    assert row(after, metric="class_mean")["estimate"] == pytest.approx(0.85)


def test_a_complete_queue_in_progress_is_a_random_sample(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    first = served(runs, queue)[:10]
    read(runs, queue, first, NONE)
    found = row(scores(runs, "original"))
    gained = len({item for item, _ in NONE} & set(first))
    assert found["estimate"] == pytest.approx(0.75 + gained * 2 / N)
    assert found["low"] < found["estimate"] < found["high"]
    assert (found["n_reviewed"], found["design"]) == (10, "q: all 10 of 20 at random")
    # At an earlier position nothing was read yet.
    assert row(scores(runs, "original", upto=0))["estimate"] is None


def test_the_mistakes_alone_give_bounds_and_the_share_that_were_none(runs: Workspace) -> None:
    queue = queue_of(runs, complete(MISTAKES), asked=(LABELS, A))
    read(runs, queue, MISTAKES, NONE)
    found = row(scores(runs, "original"))
    assert (found["estimate"], found["bound_low"], found["bound_high"]) == (
        None,
        pytest.approx(0.1),
        pytest.approx(0.85),
    )
    assert found["why"] == "15 items are in no stratum that is random or complete"
    share = share_none(runs, "a", queue.id)
    assert (share.value, share.low, share.high) == (0.4, 0.4, 0.4)
    assert (share.n, share.size, share.mistakes, share.n_undecided, share.why) == (5, 5, 5, 0, None)
    other = share_none(runs, "b", queue.id)
    assert (other.value, other.n, other.size, other.mistakes) == (None, 1, 1, 2)
    assert other.why == "on 1 of them readers were not asked about this prediction"


def test_a_control_stratum_makes_the_mistakes_an_estimate(runs: Workspace) -> None:
    right = [item for item in range(N) if item not in MISTAKES]
    queue = queue_of(runs, stratified({"mistakes": MISTAKES, "control": right}, {"mistakes": 5, "control": 5}))
    read(runs, queue, served(runs, queue), NONE)
    found = row(scores(runs, "original"))
    assert found["estimate"] == pytest.approx(0.85)
    assert found["low"] < 0.85 <= found["high"]
    assert found["design"] == "q: mistakes 5 of 5 complete, control 5 of 15 at random"
    assert share_none(runs, "a", queue.id).value == 0.4


def test_what_is_read_in_order_counts_when_it_is_complete(runs: Workspace) -> None:
    confidence = np.linspace(1, 0, N)
    queue = queue_of(runs, confidence_ordered(range(N), confidence))
    read(runs, queue, range(19), NONE)
    halfway = row(scores(runs, "original"))
    assert (halfway["estimate"], halfway["bound_low"], halfway["bound_high"]) == (
        None,
        pytest.approx(0.8),
        pytest.approx(0.85),
    )
    assert halfway["why"] == "1 items are in no stratum that is random or complete; q: 19 of 20 read in its order"
    assert share_none(runs, "a", queue.id).value == pytest.approx(0.4)  # the last item is no mistake
    read(runs, queue, [19])
    assert row(scores(runs, "original"))["estimate"] == pytest.approx(0.85)


def test_an_ordered_queue_gives_no_share_before_its_end(runs: Workspace) -> None:
    queue = queue_of(runs, confidence_ordered(MISTAKES, range(5)))
    read(runs, queue, MISTAKES[:3], NONE)
    share = share_none(runs, "a", queue.id)
    assert (share.value, share.n, share.size) == (None, 3, 5)
    assert "not complete" in str(share.why)


def test_a_prediction_that_readers_were_not_asked_about_leaves_bounds(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)), asked=(LABELS, A))
    read(runs, queue, range(N), NONE)
    found = row(scores(runs, "original"), "b")
    assert (found["estimate"], found["bound_low"], found["bound_high"]) == (None, pytest.approx(0.9), 1)
    assert (found["n_unjudged"], found["n_reviewed"]) == (2, N)
    assert found["why"] == "on 2 of the items read, readers were not asked about this prediction"
    # Whoever says that nothing else is valid has judged it too.
    say(runs, Exhaustive(0), Exhaustive(1), queue=queue)
    assert row(scores(runs, "original"), "b")["estimate"] == pytest.approx(0.9)


def test_what_readers_differ_about_counts_as_before_and_widens_the_bounds(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, range(N), NONE)
    say(runs, Verdict(4, int(A[4]), "wrong"), person="bob", queue=queue)
    say(runs, Verdict(1, int(LABELS[1]), "unsure"), person="bob", queue=queue)
    found = row(scores(runs, "original"))
    assert found["estimate"] == pytest.approx(0.8)
    assert (found["bound_low"], found["bound_high"], found["n_unjudged"]) == (
        pytest.approx(0.75),
        pytest.approx(0.85),
        2,
    )
    say(runs, Verdict(4, int(A[4]), "valid"), person="bob", panel=True)
    assert row(scores(runs, "original"))["estimate"] == pytest.approx(0.85)


def test_in_a_sample_an_undecided_item_reaches_as_far_as_those_it_stands_for(runs: Workspace) -> None:
    queue = queue_of(runs, simple_random(range(N), 10))
    items = served(runs, queue)
    read(runs, queue, items)
    say(runs, Verdict(items[0], int(A[items[0]]), "unsure"), person="bob", queue=queue)
    found = row(scores(runs, "original"))
    assert found["bound_high"] - found["bound_low"] == pytest.approx(2 / N)


def test_an_excluded_item_counts_as_before_and_apart(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, range(2, N), NONE)
    say(runs, Problem(0, "unreadable"), Problem(1, "unreadable"), queue=queue)
    found = row(scores(runs, "original"))
    assert (found["n"], found["n_excluded"], found["excluded_right"], found["n_reviewed"]) == (N, 2, 1, N)
    assert found["estimate"] == pytest.approx(0.85)
    gone = changes(runs, "a", "original").filter(pl.col("after").is_null())
    assert gone.select("item", "before", "who").rows() == [(1, True, ["ann"]), (0, False, ["ann"])]


def test_an_item_without_any_valid_class_stays_as_a_mistake(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, range(N), NONE)
    say(runs, Verdict(1, int(LABELS[1]), "wrong"), queue=queue)
    found = row(scores(runs, "original"))
    assert (found["estimate"], found["lost"], found["n"], found["n_excluded"]) == (pytest.approx(0.8), 1, N, 0)


def test_undone_readings_are_none(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, range(N), NONE)
    rows = log.read(runs)
    one = rows.filter(item=4, **{"class": int(A[4])}).row(0, named=True)
    say(runs, Undo(4, one["id"]), queue=queue)
    found = row(scores(runs, "original"))
    assert (found["n_reviewed"], found["estimate"]) == (19, pytest.approx(0.75 + 1 / 19))


# ---- several queues


def test_an_item_of_two_queues_belongs_to_the_older_one(runs: Workspace) -> None:
    """A second look at what the first queue found does not count for those it did not draw."""
    everything = queue_of(runs, simple_random(range(N), 10), "first")
    drawn = served(runs, everything)
    found = [item for item in MISTAKES if item in drawn]
    assert found
    read(runs, everything, drawn, [(item, int(A[item])) for item in found])
    alone = row(scores(runs, "original"))
    again = queue_of(runs, complete(found), "second look")
    read(runs, again, found, [(item, int(A[item])) for item in found])
    both = row(scores(runs, "original"))
    assert both["estimate"] == alone["estimate"] == pytest.approx(min(0.75 + len(found) * 2 / N, 1))
    assert (both["low"], both["high"]) == (alone["low"], alone["high"])
    assert (
        f"second look: all {len(found)} of {len(found)} complete ({len(found)} items count in another queue)"
        in (both["design"])
    )
    # One that is asked for by itself stands for what it holds.
    only = row(scores(runs, "original", queues=[again.id]))
    assert (only["estimate"], only["design"].startswith("second look")) == (None, True)


def test_queues_that_share_no_item_add_up(runs: Workspace) -> None:
    right = [item for item in range(N) if item not in MISTAKES]
    first, second = queue_of(runs, complete(MISTAKES), "one"), queue_of(runs, simple_random(right, 5), "two")
    read(runs, first, MISTAKES, NONE)
    assert row(scores(runs, "original"))["estimate"] is None
    read(runs, second, served(runs, second))
    assert row(scores(runs, "original"))["estimate"] == pytest.approx(0.85)


def test_single_judgements_do_not_count_for_others(runs: Workspace) -> None:
    queue = queue_of(runs, simple_random(range(N), 10))
    read(runs, queue, served(runs, queue))
    before = row(scores(runs, "original"))
    picked = next(item for item in MISTAKES if item not in served(runs, queue))
    say(runs, Verdict(picked, int(A[picked]), "valid"))
    after = row(scores(runs, "original"))
    assert after["estimate"] == before["estimate"]
    assert after["gained"] == before["gained"] + 1


def test_a_slice_of_which_everything_is_known_needs_no_design(runs: Workspace) -> None:
    queue = queue_of(runs, simple_random(range(N), 10))
    read(runs, queue, served(runs, queue))
    picked = [item for item in MISTAKES if item not in served(runs, queue)]
    say(runs, *(Verdict(item, int(A[item]), "wrong") for item in MISTAKES))
    found = row(scores(runs, "original", items=np.array(MISTAKES, np.uint32)))
    assert picked
    assert (found["n"], found["estimate"], found["low"], found["high"]) == (5, 0, 0, 0)


def test_what_does_not_exist_is_refused(runs: Workspace) -> None:
    with pytest.raises(InputError, match="no queue 'x'"):
        scores(runs, "original", queues=["x"])
    with pytest.raises(WorkspaceError, match="no label set 'x'"):
        scores(runs, "x")
    with pytest.raises(WorkspaceError, match="no run 'x'"):
        changes(runs, "x", "original")


def test_an_open_base_counts_what_nobody_judged(runs: Workspace) -> None:
    labels = pl.DataFrame({"item": np.arange(N), "class": LABELS, "state": ["valid"] * N})
    runs.publish_labels(label_set("expert", labels, labels.select("item"), absent="unjudged"))
    opened = runs.reopened()
    assert row(scores(opened, "expert"))["n_unjudged"] == 5
    queue = queue_of(opened, complete(MISTAKES), asked=(LABELS, A))
    read(opened, queue, MISTAKES[:3], NONE)
    assert row(scores(opened, "expert"))["n_unjudged"] == 2


# ---- two runs


def test_two_runs_are_compared_where_they_differ(runs: Workspace) -> None:
    differ = np.flatnonzero(A != B).tolist()
    assert differ == [0, 1, 4, 8, 12, 16]
    queue = queue_of(runs, complete(differ))
    read(runs, queue, differ, NONE)
    micro = compare_after(runs, "a", "b", "original").row(0, named=True)
    assert (micro["before"], micro["estimate"], micro["low"]) == (
        pytest.approx(-0.15),
        pytest.approx(-0.05),
        micro["high"],
    )
    assert (micro["n"], micro["n_differ"], micro["n_reviewed"], micro["n_undecided"]) == (N, 6, 6, 0)
    back = compare_after(runs, "b", "a", "original").row(0, named=True)
    assert back["estimate"] == pytest.approx(0.05)


def test_the_mistakes_of_one_run_do_not_decide_between_two(runs: Workspace) -> None:
    queue = queue_of(runs, complete(MISTAKES))
    read(runs, queue, MISTAKES, NONE)
    micro = compare_after(runs, "a", "b", "original").row(0, named=True)
    assert (micro["estimate"], micro["n_reviewed"]) == (None, 5)
    assert (micro["bound_low"], micro["bound_high"]) == (pytest.approx(-0.15), pytest.approx(-0.05))
    say(runs, Verdict(4, int(LABELS[4]), "unsure"), person="bob")
    wider = compare_after(runs, "a", "b", "original").row(0, named=True)
    assert (wider["bound_low"], wider["bound_high"]) == (pytest.approx(-0.15), pytest.approx(0.0))


def test_a_run_is_level_with_itself(runs: Workspace) -> None:
    same = compare_after(runs, "a", "a", "original").row(0, named=True)
    assert (same["before"], same["n_differ"], same["bound_low"], same["bound_high"]) == (0, 0, 0, 0)


# ---- what stands behind a change


def test_each_change_names_who_and_when(runs: Workspace) -> None:
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, MISTAKES, NONE)
    say(runs, Verdict(8, int(A[8]), "valid"), person="bob", queue=queue)
    found = changes(runs, "a", "original")
    assert dict(found.schema) == CHANGES_SCHEMA
    assert found.select("item", "class", "before", "after", "who", "panel").rows() == [
        (8, int(A[8]), False, True, ["ann", "bob"], False),
        (4, int(A[4]), False, True, ["ann"], False),
    ]
    assert found["key"].to_list() == ["008.jpg", "004.jpg"]
    assert found["position"].to_list() == sorted(found["position"], reverse=True)
    assert changes(runs, "b", "original").is_empty()
    assert changes(runs, "a", "original", upto=0).is_empty()


# ---- the label set


def test_the_reviewed_labels_are_published_with_their_position(runs: Workspace) -> None:
    assert behind(runs) is None
    queue = queue_of(runs, complete(range(N)))
    read(runs, queue, MISTAKES, NONE)
    made = publish_reviewed(runs, "original", "ann")
    assert {key: made.manifest[key] for key in ("base", "base_version", "position", "person")} == {
        "base": "original",
        "base_version": None,
        "position": log.last(runs),
        "person": "ann",
    }
    opened = runs.reopened()
    assert opened.labels("reviewed").absent == "wrong"
    assert behind(opened) is None
    say(opened, Verdict(1, int(LABELS[1]), "wrong"))
    assert behind(opened) == f"as of position {made.manifest['position']} of the review log; 1 rows were added since"
    earlier = publish_reviewed(opened, "original", "ann", upto=2)
    assert earlier.manifest["position"] == 2
    assert earlier.version > made.version
    for refused, words in (({"base": "reviewed"}, "another label set"), ({"upto": 99}, "ends at position")):
        with pytest.raises(InputError, match=words):
            publish_reviewed(opened.reopened(), **({"base": "original", "person": "ann"} | refused))


def test_another_version_of_the_base_is_told(runs: Workspace) -> None:
    labels = pl.DataFrame({"item": np.arange(N), "class": LABELS, "state": ["valid"] * N})
    base = label_set("expert", labels, labels.select("item"), absent="unjudged")
    runs.publish_labels(base)
    publish_reviewed(runs.reopened(), "expert", "ann")
    assert runs.reopened().labels("reviewed").absent == "unjudged"
    runs.publish_labels(base)
    assert behind(runs.reopened()) == "the base 'expert' changed since"


# ---- causes


def test_what_people_say_of_a_mistake_goes_before_the_rule(runs: Workspace) -> None:
    item, index = 0, int(A[0])
    assert run_outcomes(runs, "a", "original").filter(item=item)["suggested"].item()
    say(runs, Verdict(item, index, "wrong"), Cause(item, index, "spurious_correlation", "major"))
    found = run_outcomes(runs, "a", "original").filter(item=item).row(0, named=True)
    assert (found["outcome"], found["severity"], found["suggested"]) == ("spurious_correlation", "major", False)
    assert causes(runs, "original").record()["panel"] == "1 judgements (reviewers)"
    say(runs, Verdict(item, index, "wrong"), Cause(item, index, "fine_grained_multi_label"), person="bob")
    assert causes(runs, "original").judgements is None  # they differ
    say(runs, Verdict(item, index, "wrong"), Cause(item, index, "fine_grained_multi_label"), panel=True)
    judged = causes(runs, "original").judgements
    assert judged is not None
    assert judged.rows() == [(item, index, "fine_grained", "major", "the panel")]


# ---- slices of the panel's making


def test_slices_ask_who_reviewed_and_what_is_major(runs: Workspace) -> None:
    say(runs, Verdict(0, int(A[0]), "wrong"), Cause(0, int(A[0]), "model_failure", "major"))
    say(runs, Verdict(0, int(A[0]), "wrong"), Verdict(3, 1, "wrong"), person="bob")
    say(runs, Verdict(0, int(A[0]), "wrong"), panel=True)
    say(runs, Verdict(4, int(A[4]), "wrong"), Cause(4, int(A[4]), "model_failure", "minor"))
    assert runs.slice("reviewed_by >= 1")["reviewed_by"].to_list() == [3, 1, 1]
    assert runs.slice("reviewed_by=0").height == N - 3
    assert runs.slice("major=true")["item"].to_list() == [0]
    assert runs.slice("severity@a=major", run="b", labels="original")["item"].to_list() == [0]
    assert runs.slice("severity@b=major", run="a", labels="original").is_empty()
    major = runs.slice("major=true")["item"].to_numpy()
    found = scores(runs, "original", items=major)
    assert [(one["before"], one["estimate"], one["n"]) for one in (row(found), row(found, "b"))] == [
        (0, 0, 1),
        (0, None, 1),  # nobody was asked about what b says there
    ]


@pytest.mark.shared_data
def test_the_panels_major_mistakes_are_a_slice_for_any_run(
    imagenet: Workspace, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    settings.cache_clear()
    own = Workspace.open(shutil.copytree(imagenet.path, tmp_path / "val"))
    import_reviews(own, shared_data / "imagenet-mistakes" / "vit3b_mistakes.json", "vit3b", complete=True)
    major = own.slice("major=true")["item"].sort().to_numpy()
    assert len(major) == 154
    found = scores(own, "expert", items=major).filter(metric="micro")
    assert found["run"].to_list() == ["resnet18_torchvision", "resnet50_pytorch", "vgg16_pytorch"]
    assert found["n"].unique().to_list() == [154]
    for name, before in found.select("run", "before").iter_rows():
        outcomes = run_outcomes(own, name, "expert").filter(pl.col("item").is_in(pl.Series(major).implode()))
        assert before == pytest.approx(outcomes["right"].mean())
    # What the panel said of a mistake stands for every run that made it.
    told_ = causes(own, "expert").record()["panel"]
    assert told_ == "378 judgements (imported: vit3b)"
    assert run_outcomes(own, "resnet50_pytorch", "expert")["severity"].drop_nulls().len() > 20


# ---- simulated reviewers


SIMULATED = 100
"""Draws of each design; benchmarks/review.py makes more of them, on the demo's truth."""
SIZE = 1000


def simulated(kind: str, before: np.ndarray) -> tuple[list[Stratum], int]:
    """The strata of a design and how many of those drawn are read."""
    everything, wrong, right = np.arange(SIZE), np.flatnonzero(~before), np.flatnonzero(before)
    match kind:
        case "random":
            return simple_random(everything, 300), 300
        case "stratified":
            return stratified({"mistakes": wrong, "control": right}, {"mistakes": 120, "control": 180}), 300
    return complete(everything), 350


def test_intervals_hold_the_truth_19_times_in_20() -> None:
    """Readers who know the truth, through the same log and designs as people; each time another draw."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 20, SIZE).astype(np.int32)
    top1 = np.where(rng.random(SIZE) < 0.75, labels, (labels + 1) % 20).astype(np.int32)
    before = top1 == labels
    true = np.where(before, rng.random(SIZE) > 0.05, rng.random(SIZE) < 0.4)
    items = pl.DataFrame({"item": np.arange(SIZE, dtype=np.uint32)}).with_columns(
        hash=pl.lit(None, pl.String), missing=pl.lit(False)
    )
    run = {"a": Predictions(np.arange(SIZE, dtype=np.uint32), top1[:, None], None, "ranks", None)}
    base, n = original(labels), np.bincount(labels)
    truths = {"micro": true.mean(), "class_mean": (np.bincount(labels, true) / n).mean()}
    held = {}
    for kind in ("random", "stratified", "complete"):
        for seed in range(SIMULATED):
            given = reading_of(simulated(kind, before), top1, true, seed)
            found = score_runs(given, judgements(given.rows, base, items, None), run, labels)
            for metric, truth in truths.items():
                one = row(found, metric=metric)
                held[kind, metric, seed] = one["low"] <= truth <= one["high"]
    assert 0.93 <= np.mean(list(held.values())) <= 0.97
    for kind in ("random", "stratified", "complete"):
        assert 0.91 <= np.mean([hit for (of, *_), hit in held.items() if of == kind]) <= 0.985, kind


def reading_of(design: tuple[list[Stratum], int], top1: np.ndarray, true: np.ndarray, seed: int) -> Review:
    """A drawn queue, read as far as the design goes by somebody who knows the truth."""
    strata, n_read = design
    drawn = draw(strata, seed).with_columns(pl.col("item").cast(pl.UInt32))
    served_ = drawn.drop_nulls("place").sort("place").head(n_read)["item"].to_numpy()
    described = tuple({"name": s.name, "size": len(s.items), "draw": s.draw, "random": s.random} for s in strata)
    made = Queue("q", "q", "ann", datetime.now(UTC), Protocol(), described)
    asked = (
        drawn.drop_nulls("place")
        .select("item")
        .with_columns(pl.Series("class", top1[drawn.drop_nulls("place")["item"].to_numpy()], dtype=pl.UInt32))
    )
    rows = pl.DataFrame(
        {
            "position": np.arange(1, len(served_) + 1),
            "kind": "verdict",
            "item": served_,
            "class": top1[served_],
            "value": np.where(true[served_], "valid", "wrong"),
            "person": "ann",
            "panel": False,
            "queue": "q",
        }
    )
    missing = [pl.lit(None, kind_).alias(name) for name, kind_ in log.SCHEMA.items() if name not in rows.columns]
    cast = rows.with_columns(missing).select(pl.col(name).cast(kind_) for name, kind_ in log.SCHEMA.items())
    return Review(cast, [Design(made, drawn.select("item", "stratum"), asked)])
