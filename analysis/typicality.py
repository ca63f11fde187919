"""How typical an image is of its class, by its embedding."""

from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

NEAREST = 10
"""Images of the same class that typicality looks at."""
_COMPARED = 2_000  # of a larger class a sample: all pairs of a class of 25,000 would take half a minute


def typicality(
    vectors: NDArray, classes: NDArray[np.int32], k: int = NEAREST, *, compared: int = _COMPARED, seed: int = 0
) -> NDArray[np.float32]:
    """Mean cosine similarity of each image to its k nearest of the same class, (n,): low for atypical ones.

    `vectors` (n, d) of any length, `classes` (n,), -1 for none. NaN where the class has no other image. In a class of
    more than `compared` images the nearest are looked for among so many of them, drawn by `seed`.
    """
    score = np.full(len(classes), np.nan, np.float32)
    order = np.argsort(classes, kind="stable")
    order = order[classes[order] >= 0]
    rng = np.random.default_rng(seed)
    with one_thread():
        for rows in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
            if len(rows) < 2:
                continue
            others = rows if len(rows) <= compared else np.sort(rng.choice(rows, compared, replace=False))
            unit = _unit(vectors[others])
            nearest = min(k, len(others) - 1)
            for start in range(0, len(rows), compared):
                block = rows[start : start + compared]
                similarity = _unit(vectors[block]) @ unit.T
                similarity[block[:, None] == others] = -np.inf  # an image is not its own neighbour
                score[block] = np.partition(similarity, -nearest, axis=1)[:, -nearest:].mean(axis=1)
    return score


def one_thread() -> AbstractContextManager[object]:
    """Within: matrix products take one thread. Many small ones are faster so: on a busy machine the threads of BLAS
    wait for each other at each (50,000 images in 1,000 classes took 50 s instead of 1)."""
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def _unit(vectors: NDArray) -> NDArray[np.float32]:
    found = vectors.astype(np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
