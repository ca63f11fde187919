"""How long a space takes to build: index, neighbours, projection, clusters.

python benchmarks/space.py [--items 50000] [--dimension 512] [--without-projection]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis import clustering, projection, search

T = TypeVar("T")
CHUNK = 65_536


def class_vectors(items: int, dimension: int = 512, classes: int = 1_000, seed: int = 0) -> Iterator[NDArray]:
    """Chunks of unit vectors: Gaussian class centres, 48 directions in which all classes vary, and noise."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dimension), dtype=np.float32) / dimension**0.5
    directions = rng.standard_normal((48, dimension), dtype=np.float32) / dimension**0.5
    for start in range(0, items, CHUNK):
        count = min(CHUNK, items - start)
        vectors = centres[rng.integers(classes, size=count)]
        vectors += 0.12 * rng.standard_normal((count, 48), dtype=np.float32) @ directions
        vectors += 0.02 * rng.standard_normal((count, dimension), dtype=np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def timed(what: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    print(f"{what:32} {time.perf_counter() - start:8.2f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--without-projection", action="store_true")
    options = parser.parse_args()

    chunks = list(class_vectors(options.items, options.dimension))
    exact = timed("exact index", lambda: search.build_exact(chunks, options.dimension, count=options.items))
    approximate = timed("approximate index", lambda: search.build_approximate(exact))
    index = search.SpaceIndex(exact, np.arange(options.items, dtype=np.uint32), approximate)
    indices, distances = timed("15 neighbours of each", lambda: search.knn_graph(index, 15))
    if not options.without_projection:
        start = timed("principal plane", lambda: projection.principal_plane(index.stored))
        timed("import umap", lambda: __import__("umap"))
        timed("UMAP", lambda: projection.project(indices, distances, start))
    tree = timed("cluster tree", lambda: clustering.build_tree(index.stored))
    nodes = clustering.frontier(tree, clustering.suggested_cut(tree))
    labels = np.zeros(options.items, dtype=np.int32)
    timed(f"describing {len(nodes)} clusters", lambda: clustering.describe(tree, nodes, index.stored, labels))


if __name__ == "__main__":
    main()
