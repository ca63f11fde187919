"""Words around a class list, and where one of them fits better than any class."""

import numpy as np
import polars as pl
import pytest

from analysis.labels.classes import ClassList, imagenet_1k, make_class_list
from analysis.labels.hierarchy import hierarchy_of, superclasses
from analysis.labels.superclasses import make_superclasses
from analysis.vocabulary import FOUND_SCHEMA, SCHEMA, Vocabulary, better_outside, vocabulary


def words_near(classes: ClassList, name: str) -> set[str]:
    hierarchy = hierarchy_of(classes)
    assert hierarchy is not None
    found = vocabulary(classes, hierarchy)
    return {found.frame["name"][found.row[word]] for word in found.near[classes.names.index(name)]}


def test_imagenets_classes_have_wordnets_siblings_and_near_hypernyms() -> None:
    near = words_near(imagenet_1k(), "bagel")
    assert {"brioche", "crescent roll", "bun", "bread"} <= near  # siblings, parent, grandparent
    assert "baked goods" not in near  # three edges up
    assert not near & set(imagenet_1k().names)
    assert {"retriever", "sporting dog"} <= words_near(imagenet_1k(), "golden retriever")
    # The parent of a class may be too wide to name what is in an image.
    assert "device" not in words_near(imagenet_1k(), "can opener")


def test_a_word_that_is_a_name_or_a_synonym_of_a_class_is_none_outside() -> None:
    classes = imagenet_1k()
    hierarchy = hierarchy_of(classes)
    assert hierarchy is not None
    found = vocabulary(classes, hierarchy)
    assert dict(found.frame.schema) == SCHEMA
    assert found.frame["id"].is_unique().all()
    assert found.frame["id"][:1000].to_list() == classes.ids
    assert found.frame["class"][:1000].to_list() == list(range(1000))
    assert found.frame["class"][1000:].null_count() == found.frame.height - 1000 > 4000
    taken = {word.replace("_", " ").lower() for row in classes.frame["synonyms"] for word in row}
    taken |= {name.lower() for name in classes.names}
    assert not taken & {name.lower() for name in found.frame["name"][1000:]}


def test_of_a_part_of_imagenet_the_other_classes_are_outside() -> None:
    ids = [class_id for class_id in imagenet_1k().ids if class_id != "n02113023"]
    assert "Pembroke" in words_near(make_class_list("part", ids), "Cardigan")


def test_a_hierarchy_of_its_own_has_its_own_words() -> None:
    classes = make_class_list("x", ["crow", "jay", "car"], parents=["bird", "bird", None])
    assert words_near(classes, "crow") == {"bird"}
    assert words_near(classes, "car") == set()


# Classes 0 and 1 are alike, 2 is not; words 3 and 4 are outside: 3 is near class 0, 4 near class 2.
TABLE = make_superclasses([("s", "s", 0), ("s", "s", 1), ("t", "t", 2)], 3, "x")
WORDS = Vocabulary(
    pl.DataFrame({"id": list("abcde"), "name": list("ABCDE"), "class": [0, 1, 2, None, None]}, schema=SCHEMA),
    [["d"], [], ["e"]],
)
TEXTS = np.eye(5, dtype=np.float32)


def found(images: list[list[float]], predictions: list[int], nearest: list[list[int]]) -> list[tuple[int, int, str]]:
    frame = better_outside(
        np.arange(len(images), dtype=np.uint32) + 7,
        np.array(predictions, np.int32),
        np.array(images, np.float16),
        np.arange(len(images)),
        np.array(nearest, np.int32),
        TABLE,
        WORDS,
        TEXTS,
    )
    assert dict(frame.schema) == FOUND_SCHEMA
    return frame.rows()


def test_a_word_outside_the_list_is_found_where_it_fits_best() -> None:
    fits = [0.1, 0.2, 0.0, 0.9, 0.0]
    assert found([fits], [0], [[1, -1]]) == [(7, 0, "D")]
    assert found([fits], [1], [[1, -1]]) == []  # no word is near class 1
    assert found([fits], [-1], [[1, -1]]) == []


def test_no_class_of_the_predictions_kind_is_near() -> None:
    fits = [0.1, 0.2, 0.0, 0.9, 0.0]
    assert found([fits], [0], [[2, -1]]) == []
    assert found([fits], [0], [[-1, -1]]) == []


@pytest.mark.parametrize(
    "image", [[0.9, 0, 0, 0.8, 0], [0, 0.9, 0, 0.8, 0], [0, 0, 0.9, 0.8, 0.85], [0.5, 0, 0, 0.5, 0]]
)
def test_a_class_that_fits_better_or_as_well_goes_before(image: list[float]) -> None:
    """Only the prediction, its kind and the words near it compete: not class 2, nor the word near that."""
    assert found([image], [0], [[0, 1]]) == ([(7, 0, "D")] if image[2] else [])


def test_many_images_at_once_equal_each_alone() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((40, 5)).round(2)
    predictions, nearest = rng.integers(-1, 3, 40), rng.integers(-1, 3, (40, 3))
    together = found(images.tolist(), predictions.tolist(), nearest.tolist())
    alone = [
        (7 + i, predicted, text)
        for i in range(40)
        for _, predicted, text in found([images[i].tolist()], [int(predictions[i])], [nearest[i].tolist()])
    ]
    assert together == alone
    assert 0 < len(together) < 40


def test_imagenets_superclasses_and_words_fit_together() -> None:
    hierarchy = hierarchy_of(imagenet_1k())
    assert hierarchy is not None
    table = superclasses(hierarchy)
    bagel = imagenet_1k().names.index("bagel")
    assert imagenet_1k().names.index("pretzel") in table.alike(bagel)
    assert bagel in table.alike(bagel)
