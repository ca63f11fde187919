"""How long a search for similar images takes, over everything and within slices; medians and 95th percentiles.

python benchmarks/search.py [--items 50000 | 1281167] [--dimension 512] [--queries 200]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from space import class_vectors, timed

from analysis import search

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()

    chunks = class_vectors(options.items, options.dimension)
    exact = timed(
        "making vectors, exact index",
        lambda: search.build_exact(chunks, options.dimension, count=options.items),
    )
    approximate = timed("approximate index", lambda: search.build_approximate(exact))
    index = search.SpaceIndex(exact, np.arange(options.items, dtype=np.uint32), approximate)
    if approximate is not None:
        lists = f"{approximate.index.nprobe} of {approximate.index.nlist} lists"
        print(f"recall@10 {approximate.recall:.3f} with {lists}")
    with tempfile.TemporaryDirectory() as folder:
        timed("writing", lambda: search.write_index(index, Path(folder)))
        index = timed("opening, mapped", lambda: search.open_index(Path(folder)))
        measure(index, options.queries)


def measure(index: search.SpaceIndex, count: int) -> None:
    rng = np.random.default_rng(1)
    n = len(index.items)
    queries = rng.choice(index.items, count, replace=False)
    slices = {
        "everything": None,
        "1 % of the items": np.sort(rng.choice(index.items, n // 100, replace=False)),
        "half of the items": np.sort(rng.choice(index.items, n // 2, replace=False)),
    }
    for name, within in slices.items():
        truth = None
        for exact in (True, False) if index.approximate is not None else (True,):
            index.similar_to(int(queries[0]), K, within=within, exact=exact)
            milliseconds, found = [], []
            for item in queries:
                start = time.perf_counter()
                found.append(index.similar_to(int(item), K, within=within, exact=exact)[1])
                milliseconds.append(1_000 * (time.perf_counter() - start))
            truth = np.array(found) if exact else truth
            middle, high = np.percentile(milliseconds, [50, 95])
            kind = "exact" if exact else "approximate"
            recall = search.recall_at(np.array(found), truth)
            print(f"{name:20} {kind:12} p50 {middle:6.2f} ms  p95 {high:6.2f} ms  recall@10 {recall:.3f}", flush=True)


if __name__ == "__main__":
    main()
