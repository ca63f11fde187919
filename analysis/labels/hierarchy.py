"""The hierarchy over a class list: what lies above what, how far apart classes are, and superclasses.

From a class list's own `parent` column, else from WordNet 3.0 (the hypernyms of ImageNet's 1,000 classes are
shipped, with WordNet's licence beside them), else there is none. Nodes form a directed acyclic graph: 75 synsets
of that extract have several parents.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.sets import LabelSet, label_set
from analysis.labels.superclasses import Superclasses, make_superclasses

WORDNET = "WordNet 3.0"
OWN = "parent column"
GROUPS = {"organism": "n00004475", "artifact": "n00021939"}
"""Synsets of the two groups of ImageNet's classes; a class below neither is `other`."""
MOST_LEAVES = 40
_EXTRACT = Path(__file__).with_name("imagenet_hypernyms.json.gz")


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Nodes above classes. Raises InputError where a node is above itself."""

    source: str
    """Where it comes from: WORDNET or OWN."""
    nodes: Sequence[str]
    """Ids by node."""
    names: Sequence[str]
    """Names by node; they need not be unique."""
    parents: Sequence[Sequence[int]]
    """Node numbers directly above each node; none for a root."""
    of_class: NDArray[np.int32]
    """(C,) the node of each class; -1 for a class that the hierarchy does not know."""

    def __post_init__(self) -> None:
        self._order  # noqa: B018  # a cycle is found here

    @cached_property
    def _order(self) -> list[int]:
        """Nodes, each behind its parents."""
        waiting = [len(above) for above in self.parents]
        ready = [node for node, n in enumerate(waiting) if n == 0]
        for node in ready:  # grows while it is walked
            for child in self.children[node]:
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        if len(ready) < len(self.nodes):
            stuck = next(node for node, n in enumerate(waiting) if n)
            raise InputError(
                f"The {self.source} of the class list goes in a circle: {self.nodes[stuck]!r} or something above "
                f"it is its own ancestor. Correct the parents."
            )
        return ready

    @cached_property
    def children(self) -> list[list[int]]:
        """Node numbers directly below each node."""
        below: list[list[int]] = [[] for _ in self.nodes]
        for node, above in enumerate(self.parents):
            for parent in above:
                below[parent].append(node)
        return below

    @cached_property
    def ancestors(self) -> list[frozenset[int]]:
        """Each node's ancestors, itself among them."""
        found: list[frozenset[int]] = [frozenset()] * len(self.nodes)
        for node in self._order:
            found[node] = frozenset((node,)).union(*(found[parent] for parent in self.parents[node]))
        return found

    @cached_property
    def depth(self) -> NDArray[np.int32]:
        """(nodes,) edges from the nearest root."""
        depth = np.zeros(len(self.nodes), np.int32)
        for node in self._order:
            if self.parents[node]:
                depth[node] = 1 + min(depth[parent] for parent in self.parents[node])
        return depth

    @cached_property
    def n_leaves(self) -> NDArray[np.int32]:
        """(nodes,) how many nodes without children are at or below each.

        In WordNet's extract these are ImageNet's 1,000 classes: so a few of them keep their superclasses.
        """
        count = np.zeros(len(self.nodes), np.int32)
        for node, below in enumerate(self.children):
            if not below:
                count[list(self.ancestors[node])] += 1
        return count

    @cached_property
    def classes_below(self) -> list[list[int]]:
        """Class indices at or below each node, ascending."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.of_class.tolist()):
            if node >= 0:
                for ancestor in self.ancestors[node]:
                    found[ancestor].append(index)
        return found

    @property
    def unknown_classes(self) -> NDArray[np.intp]:
        """Class indices that the hierarchy does not know: they share nothing with any class."""
        return np.flatnonzero(self.of_class < 0)

    def common_ancestors(self, a: int, b: int) -> list[int]:
        """The lowest nodes above (or at) both of two classes (indices), fewest leaves first; several in a DAG."""
        if self.of_class[a] < 0 or self.of_class[b] < 0:
            return []
        shared = self.ancestors[self.of_class[a]] & self.ancestors[self.of_class[b]]
        above = {higher for node in shared for higher in self.ancestors[node] if higher != node}
        return sorted(shared - above, key=lambda node: (self.n_leaves[node], node))

    @cached_property
    def pairs_above(self) -> NDArray[np.int32]:
        """(n, 2) class indices (higher, lower) of classes that are above other classes; none in ImageNet-1k."""
        node_classes: dict[int, list[int]] = {}
        for index, node in enumerate(self.of_class.tolist()):
            node_classes.setdefault(node, []).append(index)
        found = [
            (higher, lower)
            for lower, node in enumerate(self.of_class.tolist())
            if node >= 0
            for ancestor in self.ancestors[node] - {node}
            for higher in node_classes.get(ancestor, [])
        ]
        return np.array(sorted(found), np.int32).reshape(-1, 2)


# ---- where a hierarchy comes from


def hierarchy_of(classes: ClassList) -> Hierarchy | None:
    """The hierarchy of a class list: its own parents, else WordNet's where it knows any class, else None.

    Raises InputError where the parents go in a circle.
    """
    parents: list[str | None] = classes.frame["parent"].to_list()
    if any(parent is not None for parent in parents):
        return _from_parents(classes, parents)
    nodes, names, above = _wordnet()
    number = {node: place for place, node in enumerate(nodes)}
    of_class = np.array([number.get(class_id, -1) for class_id in classes.ids], np.int32)
    return Hierarchy(WORDNET, nodes, names, above, of_class) if (of_class >= 0).any() else None


def _from_parents(classes: ClassList, parents: list[str | None]) -> Hierarchy:
    """A parent is a class's id, or the name of something above the classes that is none itself."""
    nodes = list(dict.fromkeys([*classes.ids, *(parent for parent in parents if parent is not None)]))
    number = {node: place for place, node in enumerate(nodes)}
    above: list[list[int]] = [[] if parent is None else [number[parent]] for parent in parents]
    above += [[] for _ in range(len(nodes) - len(classes))]
    names = [*classes.names, *nodes[len(classes) :]]
    return Hierarchy(OWN, nodes, names, above, np.arange(len(classes), dtype=np.int32))


@cache
def _wordnet() -> tuple[list[str], list[str], list[list[int]]]:
    """Synsets, their first lemmas and the numbers of their hypernyms, of the shipped extract."""
    synsets: dict[str, dict[str, list[str]]] = json.loads(gzip.decompress(_EXTRACT.read_bytes()))
    number = {synset: place for place, synset in enumerate(synsets)}
    names = [entry["lemmas"][0].replace("_", " ") for entry in synsets.values()]
    return list(synsets), names, [[number[parent] for parent in entry["parents"]] for entry in synsets.values()]


# ---- distance


def distances(hierarchy: Hierarchy) -> NDArray[np.uint8]:
    """(C, C) edges on the shortest way between two classes, up and down the hierarchy; 0 on the diagonal.

    A metric, as Loki's Fréchet mean wants it: with several parents the way may turn more than once. Where there is
    no other way it leads over a root above all roots, at which a class that the hierarchy does not know hangs too.
    """
    n_classes, root = len(hierarchy.of_class), len(hierarchy.nodes)
    edges = [(node, parent) for node, above in enumerate(hierarchy.parents) for parent in above or [root]]
    unknown = root + 1 + np.arange(len(hierarchy.unknown_classes))
    edges += [(node, root) for node in unknown.tolist()]
    nodes = hierarchy.of_class.copy()
    nodes[hierarchy.unknown_classes] = unknown
    start, end = np.array(edges, np.int64).reshape(-1, 2).T
    n_nodes = root + 1 + len(unknown)
    graph = csr_matrix((np.ones(len(edges), np.int8), (start, end)), shape=(n_nodes, n_nodes))
    found = np.empty((n_classes, n_classes), np.uint8)
    for first in range(0, n_classes, 512):  # a block at a time: the ways to all nodes are many
        block = nodes[first : first + 512]
        found[first : first + 512] = shortest_path(graph, directed=False, unweighted=True, indices=block)[:, nodes]
    return found


def distance_to_valid(
    between: NDArray[np.uint8], top1: NDArray[np.int32], rows: NDArray[np.intp], valid: NDArray[np.uint32]
) -> NDArray[np.float32]:
    """A graded error: edges from each prediction (n,) to the nearest class that is valid for it, 0 where right.

    `between` (C, C) is from `distances`; valid[j] is valid for row rows[j], as of `analysis.causes.valid_pairs`.
    NaN without a prediction or a valid class.
    """
    nearest = np.full(len(top1), np.inf, np.float32)
    np.minimum.at(nearest, rows, between[top1[rows], valid].astype(np.float32))
    return np.where(np.isfinite(nearest) & (top1 >= 0), nearest, np.float32(np.nan))


# ---- superclasses, levels, groups


def superclasses(hierarchy: Hierarchy, at_most: int = MOST_LEAVES) -> Superclasses:
    """The default table of superclasses.

    WordNet: the widest synsets with at most `at_most` leaf classes; two classes share one exactly when they have a
    common ancestor that narrow. It joins some pairs wrongly, and so is data: a file replaces it. A class list with
    its own parents: each parent with the classes directly below it.
    """
    if hierarchy.source == OWN:
        nodes = [node for node, below in enumerate(hierarchy.children) if below]
        n_classes = len(hierarchy.of_class)  # a node with a number below this is the class of that number
        rows = [[one for one in (*hierarchy.children[node], node) if one < n_classes] for node in nodes]
        return _table(hierarchy, nodes, rows, "the class list's own parents")
    narrow = [node for node, n in enumerate(hierarchy.n_leaves) if n <= at_most and hierarchy.classes_below[node]]
    # Of synsets with the same classes the lowest names them best; one within another adds nothing.
    sets = {frozenset(hierarchy.classes_below[node]): node for node in sorted(narrow, key=hierarchy.depth.item)}
    widest = [node for below, node in sets.items() if not any(below < other for other in _holding(below, sets))]
    widest.sort()
    basis = f"{hierarchy.source}: a common ancestor with at most {at_most} leaf classes"
    return _table(hierarchy, widest, [hierarchy.classes_below[node] for node in widest], basis)


def _holding(below: frozenset[int], sets: Mapping[frozenset[int], int]) -> list[frozenset[int]]:
    first = next(iter(below))
    return [other for other in sets if first in other]


def level(hierarchy: Hierarchy, depth: int) -> Superclasses:
    """The classes under each node at a depth (edges from the root); a class above it stands for itself."""
    nodes, rows = [], []
    for node, below in enumerate(hierarchy.classes_below):
        if hierarchy.depth[node] < depth:
            below = np.flatnonzero(hierarchy.of_class == node).tolist()
        if below and hierarchy.depth[node] <= depth:
            nodes.append(node)
            rows.append(below)
    return _table(hierarchy, nodes, rows, f"{hierarchy.source}: ancestors at depth {depth}")


def _table(hierarchy: Hierarchy, nodes: list[int], members: list[list[int]], basis: str) -> Superclasses:
    rows = [
        (hierarchy.nodes[node], hierarchy.names[node], index)
        for node, below in zip(nodes, members, strict=True)
        for index in sorted(below)
    ]
    return make_superclasses(rows, len(hierarchy.of_class), basis)


def groups(hierarchy: Hierarchy | None, n_classes: int) -> pl.Series | None:
    """organism, artifact or other of each class (C,), by WordNet; null where it does not know the class.

    None where there is no WordNet: these groups have no meaning then.
    """
    if hierarchy is None or hierarchy.source != WORDNET:
        return None
    found: list[str | None] = [None] * n_classes
    node_of = {node: place for place, node in enumerate(hierarchy.nodes)}
    for index in np.flatnonzero(hierarchy.of_class >= 0).tolist():
        above = hierarchy.ancestors[hierarchy.of_class[index]]
        found[index] = next((name for name, synset in GROUPS.items() if node_of[synset] in above), "other")
    return pl.Series("group", found, dtype=pl.String)


def with_lower_classes(labels: LabelSet, hierarchy: Hierarchy) -> LabelSet:
    """The label set in which what lies below a valid (or unclear) class is valid (unclear) too, unless rejected.

    So a prediction below a valid class is right under every metric alike. The same set where no class of the list
    is above another. k, the number of valid labels, must be taken from the set as it was.
    """
    pairs = hierarchy.pairs_above
    if not len(pairs):
        return labels
    below = pl.DataFrame({"class": pairs[:, 0], "lower": pairs[:, 1]}).cast(pl.UInt32)
    inherited = (
        labels.labels.filter(pl.col("state") != "rejected")
        .join(below, on="class")
        .select("item", pl.col("lower").alias("class"), "state")
        .join(labels.labels.filter(pl.col("state") == "rejected"), on=["item", "class"], how="anti")
    )
    said = pl.concat([labels.labels, inherited.select(labels.labels.columns)])
    return label_set(labels.name, said, labels.items, absent=labels.absent, note=labels.note)
