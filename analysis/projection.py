"""Two dimensions of an embedding for the map: UMAP on neighbours that FAISS found."""

import warnings

import numpy as np
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.progress import Progress, silent

BLOCK = 16_384
FEWEST_FOR_UMAP = 5  # below, a neighbourhood graph says nothing that the principal plane does not


def principal_plane(
    vectors: NDArray[np.float16] | NDArray[np.float32], progress: Progress = silent
) -> NDArray[np.float32]:
    """The first two principal components (n, 2) of vectors (n, d); where UMAP starts. Read in blocks.

    Each axis points to where its largest loading is positive, so that a rebuild is not mirrored.
    """
    n, d = vectors.shape
    if n == 0:
        return np.zeros((0, 2), dtype=np.float32)
    total, products = np.zeros(d), np.zeros((d, d))
    for start in range(0, n, BLOCK):
        progress("principal components", start, n)
        block = vectors[start : start + BLOCK].astype(np.float32)
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    mean = total / n
    _, directions = np.linalg.eigh(products / n - np.outer(mean, mean))
    axes = directions[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    plane = np.zeros((n, 2), dtype=np.float32)
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        plane[start : start + BLOCK, : axes.shape[1]] = block @ axes - mean @ axes
    progress("principal components", n, n)
    return plane


def project(
    knn_indices: NDArray[np.integer],
    knn_distances: NDArray[np.floating],
    start: NDArray[np.floating],
    *,
    seed: int = 0,
    neighbours: int = 15,
    min_dist: float = 0.1,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """UMAP's positions (n, 2), centred, in [-1, 1], both axes in one scale.

    `knn_indices` and `knn_distances` (n, k) hold each row's nearest rows, itself first (`search.knn_graph`); the
    first `neighbours` are used, or all where there are fewer. `start` (n, 2) is the first guess
    (`principal_plane`). The same input and seed give the same bytes. Raises InputError for shapes that do not fit
    and for NaN.
    """
    n, k = knn_indices.shape
    if knn_distances.shape != (n, k) or start.shape != (n, 2):
        raise InputError(
            f"a projection of {n} rows needs distances ({n}, {k}) and a start ({n}, 2), "
            f"not {knn_distances.shape} and {start.shape}"
        )
    if not (np.isfinite(knn_distances).all() and np.isfinite(start).all()):
        raise InputError("a projection needs finite distances and a finite start; there is NaN or infinity")
    used = min(neighbours, k)
    if n < FEWEST_FOR_UMAP or used < 2:
        return to_unit_square(start)

    progress("projection", 0, None)
    import umap  # here, because its first import compiles for ten seconds and the web process never needs it

    # A little noise parts equal vectors, and an axis on which all are equal, as UMAP's own initialisations do.
    spread = np.abs(start).max() or 1.0
    noise = np.random.default_rng(seed).normal(scale=1e-4, size=start.shape)
    first_guess = (10 * (start / spread + noise)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "transform is unavailable", "n_jobs is 1 for the seed": both meant
        model = umap.UMAP(
            n_neighbors=used,
            min_dist=min_dist,
            precomputed_knn=(
                np.ascontiguousarray(knn_indices[:, :used], dtype=np.int32),
                np.ascontiguousarray(knn_distances[:, :used], dtype=np.float32),
            ),
            init=first_guess,
            random_state=seed,
            tqdm_kwds={
                "disable": False, "file": _Epochs(progress), "bar_format": "{n} {total}", "mininterval": 0.3,
            },
        )  # fmt: skip
        # With neighbours and a start given, UMAP reads nothing of the data but its length.
        placed = model.fit_transform(first_guess)
    return to_unit_square(placed)


def place_new(
    positions: NDArray[np.float32],
    knn_rows: NDArray[np.integer],
    knn_distances: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Places (q, 2) for new items on a finished map: the weighted mean of their neighbours' positions (n, 2).

    `knn_rows` (q, k) are rows of `positions`, nearest first, -1 where there are fewer; `knn_distances` (q, k) are
    1 - similarity. The weight falls as in UMAP, exp(-(d - nearest d) / scale), with the mean excess as scale, so
    that the nearest count most. An item without any neighbour is put in the centre.
    """
    if not len(positions):
        return np.zeros((len(knn_rows), 2), dtype=np.float32)
    known = knn_rows >= 0
    distances = np.where(known, knn_distances, np.inf).astype(np.float64)
    nearest = distances.min(axis=1, keepdims=True, initial=np.inf)
    excess = np.where(known, distances - np.where(np.isfinite(nearest), nearest, 0), 0)
    scale = excess.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    weights = np.where(known, np.exp(-excess / np.where(scale > 0, scale, 1)), 0)
    sums = np.einsum("qk,qkc->qc", weights, positions[np.where(known, knn_rows, 0)])
    totals = weights.sum(axis=1, keepdims=True)
    return np.where(totals > 0, sums / np.where(totals > 0, totals, 1), 0).astype(np.float32)


def to_unit_square(positions: NDArray[np.floating]) -> NDArray[np.float32]:
    """Positions (n, 2) moved and scaled, alike in both axes, so that they just fit in [-1, 1]²."""
    if not len(positions):
        return np.zeros((0, 2), dtype=np.float32)
    low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
    half = (high - low).max() / 2
    fitted = (positions - (low + high) / 2) / (half or 1.0)
    return np.clip(fitted, -1, 1).astype(np.float32)


class _Epochs:
    """A file for tqdm's bar that reads "{n} {total}" back and tells our progress: UMAP has no other hook."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def write(self, text: str) -> None:
        numbers = text.split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            self.progress("projection", int(numbers[0]), int(numbers[1]))

    def flush(self) -> None:
        pass
