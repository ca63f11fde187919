"""Sampling designs: who is drawn, how likely, in which order; decoys."""

from collections import Counter

import numpy as np
import polars as pl
import pytest

from analysis.errors import InputError
from analysis.review.designs import (
    DECOY,
    Stratum,
    complete,
    confidence_ordered,
    draw,
    nearest,
    simple_random,
    stratified,
    with_decoys,
)

ITEMS = np.arange(100, 140)


def served(frame: pl.DataFrame) -> list[int]:
    return frame.filter(pl.col("place").is_not_null()).sort("place")["item"].to_list()


def test_complete_serves_all_in_random_order() -> None:
    found = draw(complete(ITEMS), seed=1)
    assert sorted(served(found)) == found["item"].to_list() == ITEMS.tolist()
    assert served(found) != ITEMS.tolist()
    assert set(found["probability"]) == {1.0}
    assert draw(complete(ITEMS), seed=1).equals(found)
    assert served(draw(complete(ITEMS), seed=2)) != served(found)


def test_every_item_is_drawn_as_often_as_its_probability_says() -> None:
    strata = stratified({"mistakes": ITEMS[:10], "control": ITEMS[10:]}, {"mistakes": 5, "control": 3})
    drawn: Counter[int] = Counter()
    first: Counter[str] = Counter()
    for seed in range(2000):
        found = draw(strata, seed)
        order = served(found)
        assert len(order) == 8
        drawn.update(order)
        first["mistakes" if order[0] < 110 else "control"] += 1
    frequency = np.array([drawn[item] / 2000 for item in ITEMS])
    assert found["probability"].to_list() == [0.5] * 10 + [0.1] * 30
    # Four standard errors of a share of 2,000 draws.
    assert np.abs(frequency - found["probability"].to_numpy()).max() < 4 * 0.5 / 2000**0.5
    assert 0.57 < first["mistakes"] / 2000 < 0.68  # strata are mixed: 5 of the 8 served are mistakes


def test_a_beginning_of_the_order_is_a_random_sample() -> None:
    """So that those read so far stand for the stratum."""
    among_first = Counter(item for seed in range(2000) for item in served(draw(simple_random(ITEMS, 20), seed))[:4])
    assert max(abs(among_first[item] / 2000 - 0.1) for item in ITEMS) < 4 * 0.3 / 2000**0.5


def test_confidence_ordered() -> None:
    found = draw(confidence_ordered([5, 6, 7, 8], [0.2, 0.9, 0.9, 0.5], 3), seed=0)
    assert served(found) == [6, 7, 8]
    assert found.select("item", "probability").rows() == [(6, 1.0), (7, 1.0), (8, 1.0)]


def test_certainty_strata_follow_the_random_ones() -> None:
    found = draw([*confidence_ordered([1, 2, 3], [1, 2, 3]), *complete([7, 8])], seed=0)
    assert served(found)[2:] == [3, 2, 1]


@pytest.mark.parametrize(
    ("strata", "words"),
    [
        (simple_random(ITEMS, 41), "'all' has 40 items: 41"),
        (simple_random(ITEMS, -1), "-1 of them"),
        ([Stratum("odd", ITEMS, 3, random=False)], "cannot be drawn"),
        ([*complete([1, 2]), *complete([2, 3])], "Item 2 is in two strata"),
        (complete([]), "No item is drawn"),
    ],
)
def test_what_cannot_be_drawn(strata: list[Stratum], words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw(strata, 0)


def named(n: int) -> pl.DataFrame:
    """Two candidates an item; the second source names the first's class once more for every third item."""
    rows = [(item, item % 7, "label") for item in range(n)]
    rows += [(item, (item + (item % 3 > 0)) % 7, "run") for item in range(n)]
    schema = {"item": pl.UInt32, "class": pl.UInt32, "source": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_tenth_are_decoys_near_the_candidates() -> None:
    distances = np.abs(np.arange(9)[:, None] - np.arange(9))
    found = with_decoys(named(300), nearest(distances), seed=0)
    decoys = found.filter(pl.col("source") == DECOY)
    assert decoys.height / found.height == pytest.approx(0.1, abs=0.002)
    assert decoys.height / found.height >= 0.1
    assert not found.select("item", "class").is_duplicated().any()
    assert decoys["item"].is_unique().all()
    own = found.filter(pl.col("source") != DECOY)
    assert own.height == 100 + 2 * 200
    gaps = decoys.join(own, on="item").select(
        (pl.col("class").cast(int) - pl.col("class_right").cast(int)).abs().min().over("item")
    )
    assert gaps["class"].max() <= 2
    assert with_decoys(named(300), nearest(distances), seed=0).equals(found)
    assert not with_decoys(named(300), nearest(distances), seed=1).equals(found)


def test_decoys_run_out() -> None:
    one = pl.DataFrame({"item": [0, 0], "class": [0, 1], "source": ["label", "run"]})
    found = with_decoys(one, lambda index: [0, 1, 2], seed=0, share=0.9)
    assert sorted(found["class"]) == [0, 1, 2]
