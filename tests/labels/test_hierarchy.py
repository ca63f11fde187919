from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.hierarchy import (
    OWN,
    WORDNET,
    Hierarchy,
    distance_to_valid,
    distances,
    groups,
    hierarchy_of,
    level,
    superclasses,
    with_lower_classes,
)
from analysis.labels.readers import read_label_set
from analysis.labels.sets import label_set

ENTITY, DOG = "n00001740", "n02084071"


@pytest.fixture(scope="module")
def wordnet() -> Hierarchy:
    found = hierarchy_of(imagenet_1k())
    assert found is not None
    return found


def tree(**parents: str | None) -> Hierarchy:
    """A hierarchy over classes named by the keywords, each with its parent."""
    found = hierarchy_of(make_class_list("x", list(parents), parents=list(parents.values())))
    assert found is not None
    return found


ANIMALS = {"dog": "animal", "puppy": "dog", "cat": "animal", "animal": None, "car": "vehicle"}


# ---- WordNet


def test_wordnet_knows_every_class_of_imagenet(wordnet):
    assert wordnet.source == WORDNET
    assert len(wordnet.nodes) == 1860
    assert sum(len(above) > 1 for above in wordnet.parents) == 75
    assert len(wordnet.unknown_classes) == 0
    root = wordnet.nodes.index(ENTITY)
    assert [node for node, above in enumerate(wordnet.parents) if not above] == [root]
    assert wordnet.n_leaves[root] == 1000
    assert wordnet.classes_below[root] == list(range(1000))
    assert len(wordnet.pairs_above) == 0


def test_ancestors_and_what_two_classes_have_in_common(wordnet):
    dog = wordnet.nodes.index(DOG)
    assert wordnet.names[dog] == "dog"
    assert wordnet.n_leaves[dog] == 118
    tench, chihuahua, japanese_spaniel = 0, 151, 152
    assert dog in wordnet.ancestors[wordnet.of_class[chihuahua]]
    assert dog not in wordnet.ancestors[wordnet.of_class[tench]]
    lowest = wordnet.common_ancestors(chihuahua, japanese_spaniel)
    assert [wordnet.names[node] for node in lowest] == ["toy dog"]
    assert wordnet.common_ancestors(tench, tench) == [wordnet.of_class[tench]]


def test_groups_of_imagenet(wordnet):
    found = groups(wordnet, 1000)
    assert dict(found.value_counts().iter_rows()) == {"organism": 410, "artifact": 522, "other": 68}


@pytest.mark.shared_data
def test_groups_of_the_expert_items(shared_data: Path, wordnet):
    table = pl.read_csv(shared_data / "imagenet-val/labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    expert = read_label_set(shared_data / "imagenet-val/multilabel_v3.csv", "expert", items, imagenet_1k())
    of_class = groups(wordnet, 1000)
    scored = expert.items.filter("scored")
    labels = expert.labels.filter(pl.col("state") != "rejected").join(scored, on="item", how="semi")
    found = labels.select("item", group=of_class.gather(labels["class"])).unique()
    counts = dict(found["group"].value_counts().iter_rows())
    assert scored.height == 18_692
    assert counts == {"organism": 7624, "artifact": 10184, "other": 1596}


def test_part_of_imagenet_keeps_the_superclasses_of_the_whole(wordnet):
    ids = imagenet_1k().ids
    some = [151, 152, 281, 817]
    part = hierarchy_of(make_class_list("part", [ids[index] for index in some]))
    table, whole = superclasses(part), superclasses(wordnet)
    for a in range(4):
        for b in range(4):
            assert table.share(a, b) == whole.share(some[a], some[b])
    assert table.share(0, 1)
    assert not table.share(0, 3)


def test_classes_that_wordnet_does_not_know_share_nothing():
    mixed = hierarchy_of(make_class_list("mixed", ["n02085620", "n02085782", "unheard of"], names=["a", "b", "c"]))
    assert mixed.unknown_classes.tolist() == [2]
    assert groups(mixed, 3).to_list() == ["organism", "organism", None]
    assert mixed.common_ancestors(0, 2) == []
    table = superclasses(mixed)
    assert table.share([0, 0, 2], [1, 2, 2]).tolist() == [True, False, False]


def test_no_hierarchy_without_parents_or_wordnet():
    classes = make_class_list("letters", ["a", "b"])
    assert hierarchy_of(classes) is None
    assert groups(hierarchy_of(classes), 2) is None


# ---- a class list's own parents


def test_own_parents_come_before_wordnet():
    own = hierarchy_of(make_class_list("x", ["n02085620", "n02085782"], parents=["small", "small"]))
    assert own.source == OWN
    assert groups(own, 2) is None


def test_own_parents_are_the_superclasses():
    found = superclasses(tree(**ANIMALS))
    assert found.table.select("name", "classes").rows() == [
        ("dog", [0, 1]),
        ("animal", [0, 2, 3]),
        ("vehicle", [4]),
    ]


def test_classes_above_classes():
    hierarchy = tree(**ANIMALS)
    assert hierarchy.pairs_above.tolist() == [[0, 1], [3, 0], [3, 1], [3, 2]]


def test_a_circle_is_refused():
    with pytest.raises(InputError, match="circle"):
        tree(a="b", b="c", c="a", d=None)
    with pytest.raises(InputError, match="circle"):
        tree(a="a")


def test_what_is_below_a_valid_class_becomes_valid_unless_rejected():
    rows = pl.DataFrame(
        [(0, 3, "valid"), (0, 1, "rejected"), (1, 0, "unclear"), (2, 4, "valid")],
        schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String},
        orient="row",
    )
    known = pl.DataFrame({"item": range(4), "exhaustive": [True, False, False, False]})
    labels = label_set("x", rows, known, absent="unjudged", note="noted")
    closed = with_lower_classes(labels, tree(**ANIMALS))
    assert closed.labels.rows() == [
        (0, 0, "valid"),
        (0, 1, "rejected"),
        (0, 2, "valid"),
        (0, 3, "valid"),
        (1, 0, "unclear"),
        (1, 1, "unclear"),
        (2, 4, "valid"),
    ]
    assert closed.items.equals(labels.items)
    assert (closed.absent, closed.note, closed.name) == ("unjudged", "noted", "x")


def test_a_list_without_inner_classes_keeps_its_label_sets(wordnet):
    labels = label_set(
        "x",
        pl.DataFrame({"item": [0], "class": [5], "state": ["valid"]}),
        pl.DataFrame({"item": [0]}),
        absent="wrong",
    )
    assert with_lower_classes(labels, wordnet) is labels


# ---- superclasses and levels


@pytest.mark.parametrize("at_most", [1, 10, 40, 1000])
def test_two_classes_share_a_superclass_when_a_common_ancestor_is_narrow_enough(wordnet, at_most):
    table = superclasses(wordnet, at_most)
    rng = np.random.default_rng(at_most)
    near = rng.integers(0, 990, 300)
    pairs = np.concatenate([rng.integers(0, 1000, (300, 2)), np.stack([near, near + rng.integers(0, 10, 300)], 1)])
    expected = [
        any(
            wordnet.n_leaves[node] <= at_most
            for node in wordnet.ancestors[wordnet.of_class[a]] & wordnet.ancestors[wordnet.of_class[b]]
        )
        for a, b in pairs
    ]
    assert table.share(pairs[:, 0], pairs[:, 1]).tolist() == expected
    assert len(set(expected)) == (1 if at_most == 1000 else 2)


def test_no_default_superclass_lies_within_another(wordnet):
    members = [set(row) for row in superclasses(wordnet).table["classes"].to_list()]
    assert not any(a <= b for i, a in enumerate(members) for j, b in enumerate(members) if i != j)
    assert set().union(*members) == set(range(1000))


def test_levels_part_the_classes_more_finely_the_deeper(wordnet):
    assert level(wordnet, 0).table["n"].to_list() == [1000]
    for depth in (3, 7, 50):
        found = level(wordnet, depth)
        assert found.frame["class"].n_unique() == 1000
    assert level(wordnet, 50).table.height == 1000
    assert level(wordnet, 3).table.height < level(wordnet, 7).table.height
    # A class at depth 1 stands for itself at depth 2.
    assert level(tree(**ANIMALS), 1).table.select("name", "classes").rows() == [
        ("dog", [0, 1]),
        ("cat", [2]),
        ("animal", [3]),
        ("car", [4]),
    ]


# ---- distance


def test_distances_by_hand():
    #       animal      vehicle
    #      /      \        |
    #    dog      cat     car
    #     |
    #   puppy
    found = distances(tree(**ANIMALS))
    dog, puppy, cat, animal, car = range(5)
    assert found[dog, puppy] == 1
    assert found[puppy, cat] == 3
    assert found[dog, cat] == 2
    assert found[animal, puppy] == 2
    assert found[puppy, car] == 2 + 1 + 1 + 1  # up to animal, over the root of all, down through vehicle


def test_a_class_that_the_hierarchy_does_not_know_hangs_at_the_root():
    ids = ["n02085620", "x", "y", ENTITY]
    found = distances(hierarchy_of(make_class_list("mixed", ids, names=["a", "b", "c", "d"])))
    assert found[1, 2] == 2
    assert found[1, 1] == 0
    assert found[0, 1] == found[1, 0] == found[0, 3] + 2


def test_distances_of_imagenet_are_a_metric(wordnet):
    found = distances(wordnet)
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 1000, (3, 20_000))
    assert (found[a, c] <= found[a, b].astype(int) + found[b, c]).all()
    assert found.shape == (1000, 1000)
    assert (found == found.T).all()
    assert (np.diag(found) == 0).all()
    assert found[~np.eye(1000, dtype=bool)].min() == 2
    assert found[151, 152] == 2
    assert found[151, 817] > found[151, 207]  # a sports car is further from a chihuahua than a golden retriever


parent_lists = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*(st.one_of(st.none(), st.integers(0, n + 2)) for _ in range(n)))
)


@settings(deadline=None)
@given(parent_lists)
def test_own_trees_equal_a_plain_walk(parents):
    """Parents point to later numbers only, so there is no circle; numbers beyond the classes are not classes."""
    n = len(parents)
    above = [None if parent is None or parent <= child else parent for child, parent in enumerate(parents)]
    if not any(parent is not None for parent in above):
        above[0] = n + 1
    ids = [f"c{number}" for number in range(n)]
    hierarchy = hierarchy_of(
        make_class_list("x", ids, parents=[None if parent is None else f"c{parent}" for parent in above])
    )

    def way_up(child: int) -> list[int]:
        way = [child]
        while way[-1] < n and (parent := above[way[-1]]) is not None:
            way.append(parent)
        return way

    found = distances(hierarchy)
    for a in range(n):
        assert {hierarchy.nodes[node] for node in hierarchy.ancestors[a]} == {f"c{node}" for node in way_up(a)}
        for b in range(n):
            up, down = way_up(a), way_up(b)
            steps = [i + down.index(node) for i, node in enumerate(up) if node in down]
            assert found[a, b] == min(steps, default=len(up) + len(down))
            assert (
                hierarchy.common_ancestors(a, b)
                == [hierarchy.nodes.index(f"c{node}") for node in up if node in down][:1]
            )
    assert {(h, low) for h, low in hierarchy.pairs_above.tolist()} == {
        (higher, low) for low in range(n) for higher in way_up(low)[1:] if higher < n
    }


def test_distance_to_the_nearest_valid_class():
    between = np.array([[0, 2, 5], [2, 0, 4], [5, 4, 0]], np.uint8)
    top1 = np.array([0, 0, 2, -1, 1], np.int32)
    rows, valid = np.array([0, 1, 1, 2, 3]), np.array([0, 1, 2, 1, 0], np.uint32)
    found = distance_to_valid(between, top1, rows, valid)
    assert found[:3].tolist() == [0, 2, 4]
    assert np.isnan(found[3:]).all()  # no prediction; no valid class
