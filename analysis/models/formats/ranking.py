"""Ranked rows, which every reader of predictions returns: of dense scores, or of lists of the best classes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList

Kind = Literal["logits", "probabilities", "ranks"]

TOP_K = 10  # ranks kept of dense scores
_ROWS_AT_ONCE = 512  # of dense scores: a block of 1,000 classes stays in the processor's cache
BACKGROUND = {"background", "__background__", "_background_", "background_class", "null class"}


@dataclass(frozen=True, eq=False)
class PredictionFile:
    """What a file says, row for row: N rows of k classes, best first, -1 (score NaN) behind the last."""

    format: str
    classes: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    kind: Kind
    keys: pl.Series | None = None
    """The image that each row names, (N,); None where rows have no names."""
    logsumexp: NDArray[np.float32] | None = None
    dense: NDArray[np.float16] | None = None
    """(N, C) all scores over the class list, where the file has them; minus infinity where a class did not compete
    (probability 0). The ranks were taken before this cast."""
    competing: NDArray[np.int32] | None = None
    """Class indices that competed, sorted; None where the file holds only the best of them."""
    checks: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    """Why the file should not be taken as it is, unless forced: each with what is left out then."""


# ---- ranking


def top_k(scores: NDArray[np.floating], k: int) -> NDArray[np.int32]:
    """Columns (n, min(k, C)) of the highest scores in each row of (n, C), best first; of equals the first."""
    k = min(k, scores.shape[1])
    if k > TOP_K:
        return _stable_order(scores)[:, :k].astype(np.int32)
    # k times the first maximum: three times as fast as a partition, and stable as it is.
    left, rows = scores.copy(), np.arange(len(scores))
    ranked, masked = np.empty((len(scores), k), np.int32), np.zeros(len(scores), bool)
    for place in range(k):
        ranked[:, place] = best = left.argmax(axis=1)
        masked = np.isneginf(left[rows, best])
        left[rows, best] = -np.inf
    # Minus infinity itself (a class that did not compete) cannot be told from a class already taken.
    ranked[masked] = _stable_order(scores[masked])[:, :k]
    return ranked


def _stable_order(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    return np.argsort(-scores, axis=1, kind="stable")


def _rows_with_ties(ranked: NDArray[np.floating], there: NDArray[np.bool_]) -> int:
    """Rows in which two neighbours among the ranked scores are equal, of those that are there."""
    return int(((ranked[:, 1:] == ranked[:, :-1]) & there[:, 1:]).any(axis=1).sum())


def _score_kind(lowest: float, totals: NDArray[np.floating], *, dense: bool) -> Literal["logits", "probabilities"]:
    """Probabilities lie in 0 to 1 and sum to 1, to at most 1 where only the best are there (0.02 for float16)."""
    in_range = lowest >= 0 and totals.max(initial=0) <= 1.02
    return "probabilities" if in_range and not (dense and totals.min(initial=1) < 0.98) else "logits"


def row_name(row: int, keys: pl.Series | None) -> str:
    """A row as people find it in their file."""
    return f"row {row + 1}" if keys is None else f"the row of {keys[row]!r}"


def _bad_scores(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    # Minus infinity is the score of a class that was masked out.
    return np.isnan(scores) | (scores == np.inf)


def _nan_doubt(name: str, row: int, value: float, rows: int, keys: pl.Series | None) -> str:
    return (
        f"{name}: {row_name(row, keys)} holds the score {value} ({rows:,} rows hold such scores). --force leaves "
        f"these scores out."
    )


# ---- dense scores


def dense(
    format: str,
    name: str,
    scores: NDArray[np.floating],
    classes: ClassList,
    *,
    columns: NDArray[np.int32] | None = None,
    background: str | None = None,
    keys: pl.Series | None = None,
) -> PredictionFile:
    """Scores (N, C) over the class list; or over other columns, whose class indices (-1: none) are `columns`.

    One column more than classes is a background class, which stands first (as in TensorFlow's models); it is left
    out and probabilities are scaled to sum to 1 without it. The record says so.
    """
    n_classes = len(classes)
    if columns is None:
        if scores.shape[1] not in (n_classes, n_classes + 1):
            raise InputError(
                f"{name} has scores for {scores.shape[1]:,} classes, but the class list {classes.name} has "
                f"{n_classes:,}. Scores of k classes need their class indices in a second file or array."
            )
        extra = scores.shape[1] - n_classes
        columns = np.arange(-extra, n_classes, dtype=np.int32)
        background = "the first of 1 + C columns, by position" if extra else None
    same = np.array_equal(columns, np.arange(n_classes))
    blocks = _Blocks(scores, None if same else columns, n_classes, rescale=background is not None)
    with ThreadPoolExecutor(2) as pool:  # numpy lets go of the interpreter in its loops
        highest = np.max(list(pool.map(blocks.read, blocks.slices())), axis=0)
    good = np.ones(len(scores), bool)
    good[[row for row, _ in blocks.bad]] = False
    lowest, totals = float(blocks.lowest[good].min(initial=0)), blocks.totals
    percent = bool(good.any()) and lowest >= 0 and bool((np.abs(totals[good] - 100) < 2).all())
    kind = _score_kind(lowest, totals[good] / (100 if percent else 1), dense=True)
    best, stored = blocks.best, blocks.stored
    if kind == "probabilities":
        if percent and background is None:
            best, stored = best / 100, stored / np.float16(100)
        stored = np.maximum(stored, 0)  # a class that did not compete has no probability
    # A class that is nowhere above these did not compete; a 0 among others is a probability, in its stable place.
    competes = highest > (0 if kind == "probabilities" else -np.inf)
    competing = np.flatnonzero(competes).astype(np.int32)
    there = competes[blocks.ranked] & ~np.isneginf(best)
    doubts = []
    if blocks.bad:
        row, value = min(blocks.bad)
        doubts.append(_nan_doubt(name, row, value, len(blocks.bad), keys))
    checks: dict[str, Any] = {"rows_with_ties": _rows_with_ties(best, there)}
    checks |= {"rows_with_nan": len(blocks.bad)} if blocks.bad else {}
    checks |= {"background": background} if background else {}
    checks |= {"scale": "percent"} if percent else {}
    return PredictionFile(
        format,
        np.where(there, blocks.ranked, -1),
        np.where(there, best, np.nan).astype(np.float32),
        kind,
        keys,
        logsumexp=None if kind == "probabilities" else blocks.logsumexp,
        dense=stored,
        competing=competing,
        checks=checks,
        doubts=doubts,
    )


class _Blocks:
    """The pass over a dense file, some rows at a time, so that memory holds only what is kept."""

    def __init__(
        self, scores: NDArray[np.floating], columns: NDArray[np.int32] | None, n_classes: int, *, rescale: bool
    ) -> None:
        n, k = len(scores), min(TOP_K, n_classes)
        self.scores, self.columns, self.n_classes, self.rescale = scores, columns, n_classes, rescale
        self.ranked, self.best = np.empty((n, k), np.int32), np.empty((n, k), np.float64)
        self.stored = np.empty((n, n_classes), np.float16)
        self.logsumexp = np.empty(n, np.float32)
        self.lowest, self.totals = np.empty(n), np.empty(n)
        self.bad: list[tuple[int, float]] = []

    def slices(self) -> Iterator[slice]:
        for start in range(0, len(self.scores), _ROWS_AT_ONCE):
            yield slice(start, start + _ROWS_AT_ONCE)

    def read(self, rows: slice) -> NDArray[np.floating]:
        """Fill in these rows; returns the highest score of each class among them, (C,)."""
        block = np.asarray(self.scores[rows])
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float32)  # exact for float16, and much faster
        if not np.isfinite(block.max(axis=1)).all():  # NaN goes through max
            block = self._without_bad(block, rows.start)
        finite = np.where(np.isneginf(block), 0, block) if np.isneginf(block.min()) else block
        self.lowest[rows] = finite.min(axis=1)
        self.totals[rows] = finite.sum(axis=1, dtype=np.float64)
        if self.columns is not None:
            block = self._over_class_list(block)
        if self.rescale:
            block = self._without_background(block, self.lowest[rows], self.totals[rows])
        self.ranked[rows] = top_k(block, self.ranked.shape[1])
        self.best[rows] = np.take_along_axis(block, self.ranked[rows], axis=1)
        top = np.where(np.isneginf(self.best[rows, :1]), 0, self.best[rows, :1]).astype(block.dtype)
        with np.errstate(divide="ignore", over="ignore"):  # a row of masked scores; float16's small range
            self.logsumexp[rows] = np.log(np.exp(block - top).sum(axis=1)) + top[:, 0]
            # Scores that are float16 already are faster copied than cast back.
            exact = self.columns is None and self.scores.dtype == np.float16 and not self.bad
            self.stored[rows] = self.scores[rows] if exact else block
        return block.max(axis=0)

    def _without_bad(self, block: NDArray[np.floating], start: int) -> NDArray[np.floating]:
        bad = _bad_scores(block)
        for row in np.flatnonzero(bad.any(axis=1)):
            self.bad.append((start + int(row), float(block[row][bad[row]][0])))
        return np.where(bad, -np.inf, block)

    def _without_background(
        self, block: NDArray[np.floating], lowest: NDArray[np.floating], totals: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Rows of probabilities (or percent) made to sum to 1 again without the background class."""
        whole = (lowest >= 0) & ((np.abs(totals - 1) < 0.02) | (np.abs(totals - 100) < 2))
        kept = np.where(np.isneginf(block), 0, block).sum(axis=1)
        scale = np.where(whole, np.maximum(kept, np.finfo(np.float32).tiny), 1)
        return block / scale[:, None].astype(block.dtype)

    def _over_class_list(self, block: NDArray[np.floating]) -> NDArray[np.floating]:
        assert self.columns is not None
        there = self.columns >= 0
        spread = np.full((len(block), self.n_classes), -np.inf, block.dtype)
        spread[:, self.columns[there]] = block[:, there]
        return spread


# ---- the best classes and their scores


def ranked(
    format: str,
    name: str,
    found: NDArray[Any],
    scores: NDArray[np.floating] | None,
    classes: ClassList,
    *,
    scores_name: str = "",
    keys: pl.Series | None = None,
    gaps: bool = False,
    descending: bool = True,
    checks: dict[str, Any] | None = None,
    doubts: list[str] | None = None,
) -> PredictionFile:
    """Rows of class indices (N, k), ranked by their scores (N, k), if there are any.

    `gaps` allows -1 for no class (tables leave cells empty; the score beside is NaN). Not `descending`: the scores
    are ranks, the lowest of them the best.
    """
    checks, doubts = dict(checks or {}), list(doubts or [])
    none = (found == -1) & gaps
    out_of_range = ~none & ((found < 0) | (found >= len(classes)))
    if out_of_range.any():
        row = int(out_of_range.any(axis=1).argmax())
        hint = ""
        if found.min() >= 0 and found.max() == len(classes):
            hint = " Do its indices count from 1, or is 0 a background class? Then subtract 1 from each."
        raise InputError(
            f"{name}: {row_name(row, keys)} holds class index {found[row][out_of_range[row]][0]}, out of range: "
            f"{classes.name} has {len(classes):,} classes, from 0.{hint}"
        )
    found = found.astype(np.int32)
    kind: Kind = "ranks"
    if scores is not None:
        bad = _bad_scores(scores) & ~none
        if bad.any():
            row, rows = int(bad.any(axis=1).argmax()), int(bad.any(axis=1).sum())
            doubts.append(_nan_doubt(scores_name or name, row, float(scores[row][bad[row]][0]), rows, keys))
            checks["rows_with_nan"] = rows
        none |= bad
        found = np.where(none, np.int32(-1), found)
        scores = np.where(none, -np.inf, scores if descending else -scores)
        order = _stable_order(scores)
        checks["ranked_in_file"] = bool((order == np.arange(found.shape[1])).all())
        # Ranked before the cast to float32, which could make scores equal.
        found, scores = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        checks["rows_with_ties"] = _rows_with_ties(scores, found >= 0)
        scores = np.where(found == -1, np.nan, scores)
        if descending:
            kind = _score_kind(np.nanmin(scores, initial=0), np.nansum(scores, axis=1), dense=False)
        else:
            scores = None
    found, scores, checks["rows_with_repeated_classes"] = _without_repeats(found, scores)
    kept = None if scores is None else scores.astype(np.float32)
    return PredictionFile(format, found, kept, kind, keys, checks=checks, doubts=doubts)


def _without_repeats(
    found: NDArray[np.int32], scores: NDArray[np.floating] | None
) -> tuple[NDArray[np.int32], NDArray[np.floating] | None, int]:
    """Each class kept at its best rank in its row, the rest moved up; and in how many rows one came again."""
    again = np.zeros(found.shape, bool)
    for place in range(1, found.shape[1]):
        again[:, place] = (found[:, :place] == found[:, place, None]).any(axis=1)
    repeated = int((again & (found >= 0)).any(axis=1).sum())
    found = np.where(again, np.int32(-1), found)
    if (np.diff((found == -1).astype(np.int8), axis=1) < 0).any():  # a gap before a class
        order = np.argsort(found == -1, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        scores = None if scores is None else np.take_along_axis(scores, order, axis=1)
    if scores is not None:
        scores = np.where(found == -1, np.nan, scores)
    return found, scores, repeated


def are_ranks(numbers: NDArray[Any]) -> bool:
    """Whether each row (of at least two) holds the numbers 1 to k or 0 to k - 1, each once."""
    k = numbers.shape[1]
    if k < 2:
        return False
    ordered = np.sort(numbers, axis=1)
    return bool((ordered == np.arange(k)).all() or (ordered == np.arange(1, k + 1)).all())
