"""A cluster tree over embeddings: k-means to micro-clusters, Ward's method above them.

Ward's method on n items needs n(n-1)/2 distances (10 GB for 50,000 items), so that above `MICRO_CLUSTERS` items
its leaves are k-means clusters, weighted by their sizes. All vectors are unit vectors, float16 or float32, and are
read in blocks. *Rows* are row numbers of those vectors; who keeps items under other numbers translates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from analysis.progress import Progress, silent

Vectors = NDArray[np.float16] | NDArray[np.float32]

MICRO_CLUSTERS = 2_000
BLOCK = 16_384
NODES_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "node": pl.UInt32,
    "parent": pl.Int32,
    "left": pl.Int32,
    "right": pl.Int32,
    "size": pl.UInt32,
    "height": pl.Float64,
    "leaf": pl.Boolean,
    "order": pl.UInt32,
    "leaves": pl.UInt32,
}
DESCRIPTION_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "node": pl.UInt32,
    "size": pl.UInt32,
    "labelled": pl.UInt32,
    "typical": pl.List(pl.UInt32),
    "atypical": pl.List(pl.UInt32),
    "classes": pl.List(pl.UInt32),
    "shares": pl.List(pl.Float32),
    "spread": pl.Float32,
}


@dataclass(frozen=True, eq=False)
class ClusterTree:
    """A binary tree of clusters; every row belongs to one leaf.

    `nodes` has one row a node, row number == `node`: leaves first, then merges by rising height, the root last.
    `parent`, `left`, `right` are -1 where there is none; `left` is the larger child. `size` counts rows, `leaves`
    leaves. `height` is Ward's distance of the two children, in the unit of the vectors' Euclidean distance; 0 for
    a leaf, and never below a child's. `order` is where a node's first leaf stands when the tree is drawn: a node's
    leaves are those with order in [order, order + leaves).

    `leaf_of` (n,) is the leaf of each row.
    """

    nodes: pl.DataFrame
    leaf_of: NDArray[np.uint32]

    @property
    def root(self) -> int:
        """The last node; -1 in a tree of nothing."""
        return self.nodes.height - 1

    @property
    def leaf_count(self) -> int:
        return (self.nodes.height + 1) // 2


def build_tree(
    vectors: Vectors, *, micro_clusters: int = MICRO_CLUSTERS, seed: int = 0, progress: Progress = silent
) -> ClusterTree:
    """The cluster tree of unit vectors (n, d); the same vectors and seed give the same tree.

    Up to `micro_clusters` vectors each is a leaf of its own; above, the leaves are that many k-means clusters.
    """
    n = len(vectors)
    if n <= micro_clusters:
        leaf_of = np.arange(n, dtype=np.uint32)
        centroids, sizes = np.asarray(vectors, dtype=np.float64), np.ones(n, dtype=np.int64)
    else:
        centres = spherical_kmeans(vectors, micro_clusters, seed=seed, progress=progress)
        nearest = _nearest_centre(vectors, centres, progress)
        used, inverse = np.unique(nearest, return_inverse=True)  # k-means may leave a cluster empty
        leaf_of, sizes = inverse.astype(np.uint32), np.bincount(inverse)
        # Ward's cost is about means, not about the directions that spherical k-means keeps.
        centroids = _sums(vectors, leaf_of, len(used)) / sizes[:, None]
    progress("joining clusters", 0, max(len(sizes) - 1, 0))
    children, heights = ward(centroids, sizes)
    progress("joining clusters", len(children), len(children))
    return ClusterTree(_nodes(children, heights, sizes), leaf_of)


def spherical_kmeans(
    vectors: Vectors, k: int, *, iterations: int = 10, seed: int = 0, progress: Progress = silent
) -> NDArray[np.float32]:
    """k unit centroids (k, d) by FAISS's spherical k-means, trained on at most 64 sampled vectors a centroid.

    Needs at least k vectors. Repeatable by seed.
    """
    rng = np.random.default_rng(seed)
    sampled = np.sort(rng.choice(len(vectors), min(len(vectors), 64 * k), replace=False))
    sample = vectors[sampled].astype(np.float32)
    centres: NDArray[np.float32] = sample[np.sort(rng.choice(len(sample), k, replace=False))]
    # One iteration a call, so that progress can be told; FAISS keeps no other state between iterations.
    one_step = faiss.Kmeans(
        sample.shape[1], k, niter=1, spherical=True, seed=seed,
        min_points_per_centroid=1, max_points_per_centroid=64,
    )  # fmt: skip
    for iteration in range(iterations):
        progress("k-means", iteration, iterations)
        one_step.train(sample, init_centroids=centres)
        centres = np.asarray(one_step.centroids)
    progress("k-means", iterations, iterations)
    return centres


def ward(
    centroids: NDArray[np.floating], weights: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ward's method on weighted points (n, d): children (n-1, 2) and heights (n-1,) by rising height.

    Merge i makes node n + i, as in scipy's linkage; the height of a merge is
    sqrt(2 |A| |B| / (|A| + |B|)) * ||mean of A - mean of B||, which is scipy's "ward" where all weights are 1.
    Nearest-neighbour chains with the Lance-Williams update: O(n²) time and memory.
    """
    n = len(centroids)
    size = weights.astype(np.float64)
    pair = size[:, None] + size[None, :]
    cost = cdist(centroids, centroids, "sqeuclidean") * (2 * size[:, None] * size[None, :] / pair) if n else pair
    np.fill_diagonal(cost, np.inf)

    children = np.zeros((max(n - 1, 0), 2), dtype=np.int64)
    costs = np.zeros(len(children))
    node_in = np.arange(n)  # the node that now lives in each slot of `cost`
    floor = np.zeros(n)  # its height, squared
    alive = np.ones(n, dtype=bool)
    chain: list[int] = []
    for step in range(n - 1):
        if not chain:
            chain.append(int(alive.argmax()))
        while True:
            last = chain[-1]
            nearest = int(cost[last].argmin())
            if len(chain) > 1 and cost[last, chain[-2]] <= cost[last, nearest]:
                break
            chain.append(nearest)
        gone, kept = chain.pop(), chain.pop()
        merged = cost[gone, kept]

        children[step] = node_in[kept], node_in[gone]
        # Heights never fall along a branch; this guards against the last bit of rounding.
        costs[step] = floor[kept] = max(merged, floor[kept], floor[gone])
        node_in[kept] = n + step

        row = (size[gone] + size) * cost[gone] + (size[kept] + size) * cost[kept] - size * merged
        row /= size[gone] + size[kept] + size
        cost[gone] = cost[:, gone] = np.inf
        row[[gone, kept]] = np.inf
        cost[kept] = cost[:, kept] = np.maximum(row, 0)
        size[kept] += size[gone]
        alive[gone] = False

    by_height = np.argsort(costs, kind="stable")  # stable: a child stays before its parent
    renamed = np.arange(n + len(children))
    renamed[n + by_height] = n + np.arange(len(children))
    return renamed[children[by_height]], np.sqrt(costs[by_height])


def frontier(tree: ClusterTree, clusters: int, root: int | None = None) -> NDArray[np.uint32]:
    """The nodes got by splitting the open node of greatest height until `clusters` are open, in drawing order.

    Starts at `root` (default: the whole tree). Fewer where the tree has fewer leaves.
    """
    if not tree.nodes.height:
        return np.zeros(0, dtype=np.uint32)
    if clusters < 1:
        raise ValueError(f"a tree is cut into 1 or more clusters, not {clusters}")
    left, right = tree.nodes["left"].to_numpy(), tree.nodes["right"].to_numpy()
    open_nodes = {tree.root if root is None else root}
    while len(open_nodes) < clusters:
        highest = max(open_nodes)  # nodes are numbered by height
        if left[highest] < 0:
            break
        open_nodes.remove(highest)
        open_nodes |= {int(left[highest]), int(right[highest])}
    order = tree.nodes["order"].to_numpy()
    return np.array(sorted(open_nodes, key=lambda node: order[node]), dtype=np.uint32)


def cut(tree: ClusterTree, clusters: int, root: int | None = None) -> NDArray[np.int32]:
    """The node of `frontier(tree, clusters, root)` that holds each row (n,); -1 for rows outside `root`."""
    return assign(tree, frontier(tree, clusters, root))


def assign(tree: ClusterTree, nodes: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int32]:
    """Which of these disjoint nodes holds each row (n,); -1 where none does."""
    order, leaves = tree.nodes["order"].to_numpy(), tree.nodes["leaves"].to_numpy()
    at = np.full(tree.leaf_count, -1, dtype=np.int32)  # by place in the drawing order
    for node in nodes:
        at[order[node] : order[node] + leaves[node]] = node
    return at[order[tree.leaf_of]]


def members(tree: ClusterTree, node: int) -> NDArray[np.uint32]:
    """The rows under a node, rising."""
    order, leaves = tree.nodes["order"].to_numpy(), tree.nodes["leaves"].to_numpy()
    place = order[tree.leaf_of]
    return np.flatnonzero((place >= order[node]) & (place < order[node] + leaves[node])).astype(np.uint32)


def path(tree: ClusterTree, node: int) -> list[int]:
    """The nodes from the root down to this one, both included."""
    parent = tree.nodes["parent"].to_numpy()
    upward = [node]
    while parent[upward[-1]] >= 0:
        upward.append(int(parent[upward[-1]]))
    return upward[::-1]


def suggested_cut(tree: ClusterTree, *, fewest: int = 12, most: int = 40) -> int:
    """How many clusters to show first: the cut in [fewest, most] with the widest gap in height (a ratio) below it.

    Both bounds shrink to sqrt(n), so that small sets are not cut to crumbs, and nothing of height 0 (equal
    vectors) is split. 0 for an empty tree.
    """
    n = len(tree.leaf_of)
    if n == 0:
        return 0
    heights = tree.nodes.filter(~pl.col("leaf"))["height"].to_numpy()[::-1]  # falling; split i makes i + 2
    splits = int((heights > 1e-6).sum())
    most = min(most, max(1, round(n**0.5)), splits + 1)
    fewest = min(fewest, most)
    candidates = np.arange(max(fewest, 2), most + 1)
    if not len(candidates):
        return 1
    upcoming = np.append(heights[:splits], 1e-6)  # the split that would come after each cut
    ratio = upcoming[candidates - 2] / upcoming[candidates - 1]
    # Where all is split there is no gap to see; such a cut is taken only when nothing else is left.
    ratio[candidates == splits + 1] = 0
    return int(candidates[ratio.argmax()])


def describe(
    tree: ClusterTree,
    nodes: Sequence[int] | NDArray[np.integer],
    vectors: Vectors,
    labels: NDArray[np.integer],
    *,
    k: int = 9,
    progress: Progress = silent,
) -> pl.DataFrame:
    """What to tell about some clusters: one row a node, in the order given.

    `labels` (n,) is a class index for each row, -1 for none. The columns: `size`; `labelled`, the rows with a
    label; `typical` and `atypical`, the k rows nearest to the mean direction, and the k farthest, the farthest
    first; `classes`, the three commonest (ties: the lower index), and `shares`, their shares of the labelled;
    `spread`, the mean cosine distance to the mean direction, from 0.
    """
    rows = [_description(node, members(tree, int(node)), vectors, labels, k) for node in _told(nodes, progress)]
    return pl.DataFrame(rows, schema=DESCRIPTION_SCHEMA, orient="row")


def _description(node: int, rows: NDArray[np.uint32], vectors: Vectors, labels: NDArray[np.integer], k: int) -> tuple:
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    mean = np.sum([vectors[block].sum(axis=0, dtype=np.float64) for block in blocks], axis=0) / len(rows)
    length = float(np.linalg.norm(mean))
    direction = (mean / length if length else mean).astype(np.float32)
    nearness = np.concatenate([vectors[block].astype(np.float32) @ direction for block in blocks])
    ranked = rows[np.argsort(-nearness, kind="stable")]  # stable: equal ones by row
    given = labels[rows]
    classes, counts = np.unique(given[given >= 0], return_counts=True)
    top = np.argsort(-counts, kind="stable")[:3]
    labelled = int(counts.sum())
    shares = (counts[top] / labelled).tolist() if labelled else []
    spread = max(0.0, 1 - float(nearness.mean(dtype=np.float64)))
    return (
        int(node), len(rows), labelled, ranked[:k].tolist(), ranked[::-1][:k].tolist(),
        classes[top].tolist(), shares, spread,
    )  # fmt: skip


def _told(nodes: Sequence[int] | NDArray[np.integer], progress: Progress) -> Iterator[int]:
    for done, node in enumerate(nodes):
        progress("describing clusters", done, len(nodes))
        yield int(node)
    progress("describing clusters", len(nodes), len(nodes))


def _nearest_centre(vectors: Vectors, centres: NDArray[np.float32], progress: Progress = silent) -> NDArray[np.int64]:
    nearest = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        progress("assigning to clusters", start, len(vectors))
        block = vectors[start : start + BLOCK].astype(np.float32)
        _, found = faiss.knn(block, centres, 1, metric=faiss.METRIC_INNER_PRODUCT)
        nearest[start : start + BLOCK] = found[:, 0]
    progress("assigning to clusters", len(vectors), len(vectors))
    return nearest


def _sums(vectors: Vectors, group: NDArray[np.uint32], groups: int) -> NDArray[np.float64]:
    """The sum of the vectors of each group (groups, d)."""
    sums = np.zeros((groups, vectors.shape[1]))
    for start in range(0, len(vectors), BLOCK):
        np.add.at(sums, group[start : start + BLOCK], vectors[start : start + BLOCK].astype(np.float64))
    return sums


def _nodes(children: NDArray[np.int64], heights: NDArray[np.float64], sizes: NDArray[np.integer]) -> pl.DataFrame:
    leaf_count = len(sizes)
    count = leaf_count + len(children)
    size, leaves = np.ones(count, dtype=np.int64), np.ones(count, dtype=np.int64)
    parent, left, right = (np.full(count, -1, dtype=np.int32) for _ in range(3))
    size[:leaf_count] = sizes
    for node, (one, other) in enumerate(children, start=leaf_count):
        larger, smaller = sorted((int(one), int(other)), key=lambda child: (-size[child], child))
        left[node], right[node] = larger, smaller
        parent[[larger, smaller]] = node
        size[node] = size[larger] + size[smaller]
        leaves[node] = leaves[larger] + leaves[smaller]
    order = np.zeros(count, dtype=np.int64)
    for node in range(count - 1, leaf_count - 1, -1):  # parents before children
        order[left[node]] = order[node]
        order[right[node]] = order[node] + leaves[left[node]]
    columns = {
        "node": np.arange(count),
        "parent": parent,
        "left": left,
        "right": right,
        "size": size,
        "height": np.concatenate([np.zeros(leaf_count), heights]),
        "leaf": np.arange(count) < leaf_count,
        "order": order,
        "leaves": leaves,
    }
    return pl.DataFrame(columns, schema_overrides=NODES_SCHEMA)
