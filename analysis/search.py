"""Nearest neighbours by cosine similarity in FAISS: exact, and above 200,000 vectors an approximate one beside it.

The exact index holds unit vectors as float16 and is the one place where a space's vectors are stored. The
approximate index (IVF with one-bit RaBitQ codes) only proposes candidates; the exact one gives their similarities.
A *row* is a position in the index, an *item* the workspace's number of an image.
"""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from analysis.clustering import spherical_kmeans
from analysis.errors import InputError, WorkspaceError
from analysis.progress import Progress, silent

NO_ITEM = 2**32 - 1  # stands where there are fewer neighbours than asked for; its similarity is -inf
APPROXIMATE_ABOVE = 200_000
EXACT_GRAPH_UP_TO = 300_000
TARGET_RECALL = 0.95
CANDIDATES = 10  # the approximate index proposes ten times as many as are asked for
LARGEST_APPROXIMATE_K = 100
SPARE = 8  # searched beyond k, to see whether equal similarities go on there
QUERY_BLOCK = 2_048


@dataclass(frozen=True, eq=False)
class Approximate:
    """An IVF index whose nprobe is set so that `recall` (at 10, the query left out) was reached on `queries`."""

    index: faiss.IndexIVFRaBitQ
    recall: float
    queries: int


@dataclass(frozen=True, eq=False)
class SpaceIndex:
    """Where the embeddings of a space can be searched; safe for many readers at once.

    `items` (n,) is the item of each row, strictly rising.
    """

    exact: faiss.IndexScalarQuantizer
    items: NDArray[np.uint32]
    approximate: Approximate | None = None

    def __post_init__(self) -> None:
        if len(self.items) != self.exact.ntotal:
            raise InputError(f"the index holds {self.exact.ntotal} vectors, but {len(self.items)} items are named")
        if (np.diff(self.items.astype(np.int64)) <= 0).any():
            raise InputError("the items of an index must be rising and unique")

    @property
    def dimension(self) -> int:
        return self.exact.d

    @property
    def stored(self) -> NDArray[np.float16]:
        """The vectors (n, d) as they lie in the index, without a copy; read-only."""
        return _stored(self.exact)

    def vectors(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Unit vectors (m, d) of some rows, from their float16."""
        return _unit(self.stored[rows])

    def rows(self, items: NDArray[np.integer]) -> NDArray[np.int64]:
        """The row of each item (m,); -1 for an item without an embedding here."""
        if not len(self.items):
            return np.full(len(items), -1, dtype=np.int64)
        # In one type, or numpy converts all of self.items; numbers that do not fit are found unequal below.
        at = np.minimum(np.searchsorted(self.items, items.astype(np.uint32)), len(self.items) - 1)
        return np.where(self.items[at] == items, at, -1)

    def neighbours(
        self,
        vectors: NDArray[np.floating],
        k: int,
        *,
        within: NDArray[np.integer] | None = None,
        exclude: NDArray[np.integer] | None = None,
        exact: bool = False,
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """The k items most similar to each vector (q, d), and their cosine similarities, both (q, k), best first.

        Only items of `within` are found, where it is given; `exclude` (q,) is one item a vector that is not found.
        Equal similarities come by item number (among the found, where the search is approximate). Where there are
        fewer than k, `NO_ITEM` and -inf fill up. `exact` forbids the approximate index, which is also left aside
        where a slice is so small that the exact one is as fast, and where k is far from the 10 of its recall.

        Raises InputError for vectors of another dimension or with NaN, and for k below 1.
        """
        if k < 1:
            raise InputError(f"at least 1 neighbour must be asked for, not {k}")
        queries = _checked_unit(vectors, self.dimension)
        allowed = None if within is None else self._among(within)
        excluded = None if exclude is None else self.rows(exclude)
        available = len(self.items) if allowed is None else int(allowed.sum())
        # The one left out may be among the best, so one more is found.
        found = min(k + (excluded is not None), available)
        if not found or not len(queries):
            rows = np.zeros((len(queries), 0), dtype=np.int64)
            similarities = np.zeros((len(queries), 0), dtype=np.float32)
        elif self.approximate is None or exact or available < len(self.items) / 8 or k > LARGEST_APPROXIMATE_K:
            rows, similarities = _search_exact(self.exact, queries, found, available, allowed)
        else:
            # What a slice leaves out may be just what is near: then more lists must be probed.
            ivf = self.approximate.index
            probes = ivf.nprobe * (1 if allowed is None else 4)
            rows, similarities = _search_approximate(ivf, self.exact, queries, found, probes, available, allowed)
        if excluded is not None:
            left_out = (rows == excluded[:, None]) & (rows >= 0)
            rows, similarities = np.where(left_out, -1, rows), np.where(left_out, -np.inf, similarities)
            rows, similarities = _ordered(rows, similarities)
        return self._as_items(rows[:, :k], similarities[:, :k], k)

    def similar_to(
        self, item: int, k: int, *, within: NDArray[np.integer] | None = None, exact: bool = False
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """The items (k,) most similar to one, without itself, and their similarities (k,); see `neighbours`.

        Raises InputError for an item that has no embedding in this space.
        """
        asked = np.array([item], dtype=np.int64)
        rows = self.rows(asked)
        if rows[0] < 0:
            raise InputError(f"item {item} has no embedding in this space; build the space again to include it")
        items, similarities = self.neighbours(self.vectors(rows), k, within=within, exclude=asked, exact=exact)
        return items[0], similarities[0]

    def _among(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which rows (n,) are of these items; by a table, as half of a million items takes 30 ms to look up."""
        numbers = int(self.items[-1]) + 1 if len(self.items) else 0
        named = np.zeros(numbers, dtype=bool)
        named[items[(items >= 0) & (items < numbers)]] = True
        return named[self.items]

    def _as_items(
        self, rows: NDArray[np.int64], similarities: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        items = np.full((len(rows), k), NO_ITEM, dtype=np.uint32)
        padded = np.full((len(rows), k), -np.inf, dtype=np.float32)
        there = rows >= 0
        items[:, : rows.shape[1]][there] = self.items[rows[there]]
        padded[:, : rows.shape[1]][there] = np.clip(similarities[there], -1, 1)
        return items, padded


def build_exact(
    chunks: Iterable[NDArray[np.float32] | NDArray[np.float16]],
    dimension: int,
    *,
    count: int | None = None,
    progress: Progress = silent,
) -> faiss.IndexScalarQuantizer:
    """An exact inner-product index over the rows of `chunks` (m, d each), made unit vectors and kept as float16.

    With `count`, the number of rows to come, memory is that of the index and one chunk. A zero vector stays zero,
    that is similar (0) to nothing. Raises InputError, naming the row, for NaN, infinity, or another dimension.
    """
    index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    # FAISS's add() would grow its storage by doubling; filled in place, nothing is ever held twice.
    index.codes.resize((count or 0) * index.code_size)
    index.ntotal = count or 0
    rows = 0
    for chunk in chunks:
        unit = _checked_unit(chunk, dimension, first_row=rows)
        if rows + len(unit) > index.ntotal:
            index.codes.resize((rows + len(unit)) * index.code_size)
            index.ntotal = rows + len(unit)
        _stored(index, writable=True)[rows : rows + len(unit)] = unit
        rows += len(unit)
        progress("index", rows, count)
    index.codes.resize(rows * index.code_size)
    index.ntotal = rows
    return index


def build_approximate(
    exact: faiss.IndexScalarQuantizer,
    *,
    seed: int = 0,
    above: int = APPROXIMATE_ABOVE,
    target: float = TARGET_RECALL,
    progress: Progress = silent,
) -> Approximate | None:
    """An approximate index over the vectors of `exact`, probing as many lists as `target` recall@10 takes.

    Recall is measured on 1,000 sampled vectors (all, where there are fewer). None up to `above` vectors, and where
    the recall is not reached with a quarter of the lists, when it would save too little.
    """
    n, dimension = exact.ntotal, exact.d
    if n <= above:
        return None
    stored = _stored(exact)
    lists = min(2 ** round(math.log2(2 * n**0.5)), n)
    quantizer = faiss.IndexFlatIP(dimension)
    quantizer.add(spherical_kmeans(stored, lists, seed=seed, progress=progress))
    index = faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, n, QUERY_BLOCK * 8):
        progress("approximate index", start, n)
        block = stored[start : start + QUERY_BLOCK * 8].astype(np.float32)
        if start == 0:
            index.train(block)  # the lists are trained already; this only learns the mean for RaBitQ
        index.add(block)
    progress("approximate index", n, n)

    sampled = np.sort(np.random.default_rng(seed).choice(n, min(n, 1_000), replace=False))
    queries = _unit(stored[sampled])
    k = min(10, n - 1)
    truth = np.concatenate(
        [
            _search_exact(exact, queries[start : start + 50], k + 1, n, None)[1]
            for start in _steps(len(queries), 50, "measuring recall", progress)
        ]
    )[:, 1:]  # without the query itself
    index.nprobe = 8
    while index.nprobe <= lists // 4:
        _, similarities = _search_approximate(index, exact, queries, k + 1, index.nprobe, n, None)
        recall = recall_at(similarities[:, 1:], truth)
        if recall >= target:
            return Approximate(index, recall, len(queries))
        index.nprobe *= 2
    return None


def recall_at(found: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Recall@k from the similarities of what was found and of the true k nearest, both (q, k), best first.

    Whatever is as near as the k-th nearest counts as found, as in ann-benchmarks: of equal images any will do.
    NaN without queries.
    """
    if truth.size == 0:
        return math.nan
    return float((found >= truth[:, -1:] - 1e-5).mean())


def knn_graph(
    index: SpaceIndex, k: int, *, exact_up_to: int = EXACT_GRAPH_UP_TO, progress: Progress = silent
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k nearest rows (n, k) of each row, itself first, and their distances 1 - similarity (n, k), from 0.

    k includes the row itself and shrinks to n. Exact up to `exact_up_to` vectors (held once more as float32
    meanwhile); above, by the approximate index where there is one.
    """
    n = len(index.items)
    k = min(k, n)
    indices, distances = np.zeros((n, k), dtype=np.int32), np.zeros((n, k), dtype=np.float32)
    if k < 2:
        indices[:, :1] = np.arange(n)[:, None] if k else 0
        return indices, distances
    approximate = index.approximate if n > exact_up_to else None
    base = None if n > exact_up_to else _unit(index.stored)
    for start in _steps(n, QUERY_BLOCK, "neighbours", progress):
        own = np.arange(start, min(start + QUERY_BLOCK, n))
        if base is not None:
            similarities, rows = faiss.knn(base[own], base, k, metric=faiss.METRIC_INNER_PRODUCT)
        elif approximate is None:
            rows, similarities = _search_exact(index.exact, index.vectors(own), k, n, None)
        else:
            rows, similarities = _search_approximate(
                approximate.index, index.exact, index.vectors(own), k, approximate.index.nprobe, n, None
            )
        # Of equal vectors another may come before the row itself, or push it out: it is put first.
        others = np.where(rows == own[:, None], np.inf, 1 - similarities)
        others[~np.isinf(others).any(axis=1), -1] = np.inf
        nearest = np.lexsort((rows, others))[:, : k - 1]
        indices[own, 0] = own
        indices[own, 1:] = np.take_along_axis(rows, nearest, axis=1)
        distances[own, 1:] = np.clip(np.take_along_axis(others, nearest, axis=1), 0, 2)
    return indices, distances


def write_index(index: SpaceIndex, folder: Path) -> None:
    """Write index.faiss and items.npy, and approximate.faiss with approximate.json, into an existing folder."""
    _write(index.exact, folder / "index.faiss")
    np.save(folder / "items.npy", index.items)
    if index.approximate is not None:
        _write(index.approximate.index, folder / "approximate.faiss")
        measured = {"recall_at_10": index.approximate.recall, "queries": index.approximate.queries}
        (folder / "approximate.json").write_text(json.dumps(measured))


def _write(index: faiss.Index, path: Path) -> None:
    """Through Python's file, so that a full disk is an OSError like any other."""
    failed: list[OSError] = []
    with path.open("wb") as file:

        def write(block: bytes) -> None:
            try:
                file.write(block)
            except OSError as error:
                failed.append(error)
                raise

        try:
            faiss.write_index(index, faiss.PyCallbackIOWriter(write, 1 << 20))  # type: ignore[attr-defined]
        except Exception as error:  # FAISS turns what the callback raises into an error of its own
            raise failed[0] if failed else error from None


def open_index(folder: Path, *, mmap: bool = True) -> SpaceIndex:
    """What `write_index` wrote; with `mmap` the vectors stay in the file and are shared between processes.

    Raises WorkspaceError where the files are missing, broken, or of different lengths.
    """
    try:
        exact: Any = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
        items = np.load(folder / "items.npy", allow_pickle=False)
        approximate = None
        if (folder / "approximate.faiss").exists():
            measured = json.loads((folder / "approximate.json").read_text())
            ivf: Any = faiss.read_index(str(folder / "approximate.faiss"))
            approximate = Approximate(ivf, measured["recall_at_10"], measured["queries"])
        return SpaceIndex(exact, items, approximate)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, InputError) as error:
        message = f"the search index in {folder} cannot be read ({error}); build the space again"
        raise WorkspaceError(message) from error


def _search_exact(
    index: faiss.IndexScalarQuantizer,
    queries: NDArray[np.float32],
    k: int,
    available: int,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and similarities (q, k) of unit queries, equal ones by row; k <= available, the count of allowed."""
    parameters = None if allowed is None else faiss.SearchParameters(sel=_selector(allowed))  # type: ignore[call-arg]
    fetched = min(k + SPARE, available)
    with _threads_for(queries):
        similarities, rows = index.search(queries, fetched, params=parameters)
    # FAISS keeps any of those that are equal at the end of its list; where they reach into the k, all are fetched.
    reaching = np.flatnonzero(similarities[:, -1] == similarities[:, k - 1]) if fetched < available else ()
    rows, similarities = _ordered(rows, similarities)
    rows, similarities = rows[:, :k], similarities[:, :k]
    for query in reaching:
        wider, tied = fetched, True
        while tied:
            wider = min(8 * wider, available)
            with _threads_for(queries[[query]]):
                near, near_rows = index.search(queries[[query]], wider, params=parameters)
            tied = wider < available and near[0, -1] == near[0, k - 1]
        near_rows, near = _ordered(near_rows, near)
        rows[query], similarities[query] = near_rows[0, :k], near[0, :k]
    return rows, similarities


def _search_approximate(
    index: faiss.IndexIVFRaBitQ,
    exact: faiss.IndexScalarQuantizer,
    queries: NDArray[np.float32],
    k: int,
    probes: int,
    available: int,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As `_search_exact`, probing some lists; a query for which they hold fewer than k is answered exactly."""
    base = faiss.IVFRaBitQSearchParameters(  # type: ignore[call-arg]
        nprobe=min(probes, index.nlist), sel=None if allowed is None else _selector(allowed)
    )
    refined = faiss.IndexRefine(index, exact)
    parameters = faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
        k_factor=CANDIDATES, base_index_params=base
    )
    with _threads_for(queries):
        similarities, rows = refined.search(queries, k, params=parameters)
    rows, similarities = _ordered(rows, similarities)
    short = (rows < 0).any(axis=1)
    if short.any():
        rows[short], similarities[short] = _search_exact(exact, queries[short], k, available, allowed)
    return rows, similarities


@contextmanager
def _threads_for(queries: NDArray[np.float32]) -> Iterator[None]:
    """One thread for one query: FAISS parts the work by queries, and idle OpenMP threads spin (on a busy machine
    2 ms became 12). OpenMP keeps the setting for the calling thread alone: concurrent readers do not meet."""
    usual = faiss.omp_get_max_threads()
    if len(queries) == 1:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(usual)


def _selector(allowed: NDArray[np.bool_]) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))  # type: ignore[call-arg, arg-type]


def _ordered(
    rows: NDArray[np.int64], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    order = np.lexsort((rows, -similarities))
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarities, order, axis=1)


def _checked_unit(vectors: NDArray[np.floating], dimension: int, first_row: int = 0) -> NDArray[np.float32]:
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(f"vectors (m, {dimension}) are needed from row {first_row} on, not {vectors.shape}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InputError(f"the vector of row {first_row + int(finite.argmin())} holds NaN or infinity")
    return _unit(vectors)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Float32 vectors of length 1, or zero where they were; scaled first, so that no square overflows."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0).astype(np.float32)
    scaled = np.divide(vectors, np.where(largest > 0, largest, 1), dtype=np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    scaled /= np.where(lengths > 0, lengths, 1)
    return scaled


class _Codes:
    """Lets numpy see an index's codes; whoever holds the array holds the index, so that its memory stays."""

    def __init__(self, index: faiss.IndexScalarQuantizer, writable: bool) -> None:
        self.index = index
        self.__array_interface__ = {
            "version": 3,
            "shape": (index.ntotal, index.d),
            "typestr": np.dtype(np.float16).str,
            "data": (int(index.codes.data()), not writable),
        }


def _stored(index: faiss.IndexScalarQuantizer, writable: bool = False) -> NDArray[np.float16]:
    if not index.ntotal:
        return np.zeros((0, index.d), dtype=np.float16)
    return np.asarray(_Codes(index, writable))


def _steps(total: int, step: int, what: str, progress: Progress) -> Iterator[int]:
    for start in range(0, total, step):
        progress(what, start, total)
        yield start
    progress(what, total, total)
