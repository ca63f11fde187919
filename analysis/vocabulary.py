"""Words around a class list, and whether one that is not in the list fits an image better than the prediction.

The check of "Automated Classification of Model Errors on ImageNet" (Peychev et al., 2023): an image may show something
like the predicted class for which the list has no class. It needs an encoder of images and texts.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.labels.classes import ClassList
from analysis.labels.hierarchy import MOST_LEAVES, WORDNET, Hierarchy
from analysis.labels.superclasses import Superclasses
from analysis.typicality import one_thread

NEIGHBOURS = 10
"""Labelled images nearest to an image, among which the predicted class must have one of its kind."""
LEVELS = 2
"""How many edges above a class a hypernym is near; one with more than MOST_LEAVES leaf classes is too wide."""
SCHEMA = {
    "id": pl.String(),  # of the class, else of the node or synset
    "name": pl.String(),  # as it is put into a prompt
    "class": pl.UInt32(),  # class index; null for a word that is no class of the list
}
FOUND_SCHEMA = {"item": pl.UInt32(), "prediction": pl.UInt32(), "text": pl.String()}
_SIBLINGS = Path(__file__).with_name("labels") / "imagenet_siblings.json.gz"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The classes of a list, then the words around them that are none."""

    frame: pl.DataFrame
    """One row a word, in the columns of SCHEMA; the classes first, by index."""
    near: Sequence[Sequence[str]]
    """By class: ids of the words that are no class and compete with it: siblings and near hypernyms."""

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each id in `frame`."""
        return {word: place for place, word in enumerate(self.frame["id"])}


def vocabulary(classes: ClassList, hierarchy: Hierarchy) -> Vocabulary:
    """The words around each class: hypernyms up to LEVELS above it, and what else stands directly below its parents.

    WordNet's siblings of ImageNet's classes are shipped; another hierarchy has its own nodes alone. A word that is
    also a name or synonym of a class is left out: it would be that class.
    """
    taken = {_plain(name) for name in classes.names} | {
        _plain(word) for row in classes.frame["synonyms"] for word in row
    }
    class_nodes, ids = set(hierarchy.of_class.tolist()), set(classes.ids)
    words: dict[str, str] = {}
    below: dict[int, list[tuple[str, str]]] = {}
    if hierarchy.source == WORDNET:
        number = {node: place for place, node in enumerate(hierarchy.nodes)}
        for synset, (parents, name) in _siblings().items():
            for parent in parents:
                below.setdefault(number[parent], []).append((synset, name))

    def word(node: int) -> tuple[str, str]:
        return hierarchy.nodes[node], hierarchy.names[node]

    near: list[list[str]] = []
    for node in hierarchy.of_class.tolist():
        found: list[tuple[str, str]] = []
        level = [node] if node >= 0 else []
        for height in range(LEVELS):
            level = list(dict.fromkeys(parent for child in level for parent in hierarchy.parents[child]))
            found += [
                word(parent)
                for parent in level
                if hierarchy.n_leaves[parent] <= MOST_LEAVES and parent not in class_nodes
            ]
            if height == 0:
                for parent in level:
                    found += [word(child) for child in hierarchy.children[parent] if child not in class_nodes]
                    found += below.get(parent, [])
        named = {synset: name for synset, name in found if _plain(name) not in taken and synset not in ids}
        words |= named
        near.append(list(named))
    rows = [
        *zip(classes.ids, classes.names, range(len(classes)), strict=True),
        *((*word, None) for word in words.items()),
    ]
    return Vocabulary(pl.DataFrame(rows, schema=SCHEMA, orient="row"), near)


@cache
def _siblings() -> dict[str, tuple[list[str], str]]:
    """Synsets of WordNet 3.0 directly below a parent of an ImageNet class that lead to none: parents, first lemma.

    WordNet's licence stands beside the file (labels/LICENSE-WordNet-3.0.txt).
    """
    content: dict[str, dict[str, list[str]]] = json.loads(gzip.decompress(_SIBLINGS.read_bytes()))
    return {synset: (entry["parents"], entry["lemmas"][0].replace("_", " ")) for synset, entry in content.items()}


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()


def better_outside(
    items: NDArray[np.uint32],
    predictions: NDArray[np.int32],
    vectors: NDArray[np.floating],
    rows: NDArray[np.integer],
    nearest: NDArray[np.int32],
    superclasses: Superclasses,
    words: Vocabulary,
    word_vectors: NDArray[np.floating],
) -> pl.DataFrame:
    """Where a word outside the class list fits best: rows of FOUND_SCHEMA, sorted by item and prediction.

    `items`, `predictions` (n,) with the `rows` (n,) of the images among unit `vectors` (m, d), and the class indices
    (n, k) of the labelled images `nearest` to each, -1 for none. An image is looked at when a class of the
    prediction's kind is among these; then the best text of the prediction, its superclasses' classes and the words
    near it is taken. `word_vectors` (w, d) are unit vectors in the rows of `words.frame`. Of equal texts the
    prediction wins, then another class.
    """
    known = predictions >= 0
    alike = np.zeros(len(items), bool)
    alike[known] = superclasses.share(predictions[known, None], nearest[known]).any(axis=1)
    found: list[tuple[int, int, str]] = []
    names = words.frame["name"]
    by_prediction = np.argsort(np.where(alike, predictions, -1), kind="stable")[np.count_nonzero(~alike) :]
    starts = np.flatnonzero(np.diff(predictions[by_prediction])) + 1
    with one_thread():
        for asked in np.split(by_prediction, starts) if len(by_prediction) else []:
            predicted = int(predictions[asked[0]])
            outside = [words.row[word] for word in words.near[predicted]]
            if not outside:
                continue
            kind = superclasses.alike(predicted)
            inside = [predicted, *kind[kind != predicted].tolist()]
            texts = np.asarray(word_vectors[inside + outside], np.float32)
            best = (np.asarray(vectors[rows[asked]], np.float32) @ texts.T).argmax(axis=1)
            found += [
                (int(items[row]), predicted, names[outside[place - len(inside)]])
                for row, place in zip(asked.tolist(), best.tolist(), strict=True)
                if place >= len(inside)
            ]
    return pl.DataFrame(found, schema=FOUND_SCHEMA, orient="row").sort("item", "prediction")
