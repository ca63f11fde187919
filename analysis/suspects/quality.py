"""How far a signal is to be trusted: measured against a label set that says more than the original labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.intervals import Floats, wilson
from analysis.labels.sets import LabelSet, Unclear
from analysis.suspects.combination import side_by_side, table

KS = (100, 1000)


def disputed(labels: LabelSet, original: NDArray[np.int32], *, unclear: Unclear = "lenient") -> pl.DataFrame:
    """item, disputed: whether a label set does not hold the original label valid, for the items that it scores."""
    items = np.flatnonzero(original >= 0).astype(np.uint32)
    items = items[labels.scored(items)]
    valid = labels.valid_mask(items, original[items], unclear=unclear)
    return pl.DataFrame({"item": pl.Series(items, dtype=pl.UInt32), "disputed": ~valid})


@dataclass(frozen=True, eq=False)
class Ranking:
    """A list sorted by suspicion and how many of its first items are disputed. Tied items count by their mean."""

    ends: NDArray[np.int64]
    """(g + 1,) lengths of the list, from 0, at which no tie is cut."""
    hits: NDArray[np.int64]
    """(g + 1,) how many items up to there are disputed."""

    @staticmethod
    def of(score: NDArray[np.floating], answer: NDArray[np.bool_]) -> "Ranking":
        """From the scores (n,) and whether each item is disputed (n,)."""
        order = np.argsort(-score, kind="stable")
        last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1) if len(order) else np.array([], int)
        hits = np.cumsum(answer[order], dtype=np.int64)[last]
        return Ranking(np.concatenate([[0], last + 1]), np.concatenate([[0], hits]))

    @property
    def n(self) -> int:
        return int(self.ends[-1])

    @property
    def n_disputed(self) -> int:
        return int(self.hits[-1])

    def expected(self, lengths: NDArray[np.integer]) -> Floats:
        """Disputed items among the first `lengths`; within a tie as if its items were drawn at random."""
        return np.interp(lengths, self.ends, self.hits)

    def auroc(self) -> float | None:
        """Area under the ROC curve, ties by half; None where all answers are of one kind."""
        if not 0 < self.n_disputed < self.n:
            return None
        area = np.trapezoid(self.hits, self.ends - self.hits)
        return float(area / self.n_disputed / (self.n - self.n_disputed))

    def average_precision(self) -> float | None:
        """Mean over the steps in recall of the precision there (ties in one step); None as for `auroc`."""
        if not 0 < self.n_disputed < self.n:
            return None
        return float((np.diff(self.hits) * (self.hits[1:] / self.ends[1:])).sum() / self.n_disputed)


def evaluate(signals: Mapping[str, pl.DataFrame], truth: pl.DataFrame, *, ks: Sequence[int] = KS) -> pl.DataFrame:
    """One row a signal, on the items that all of them and `truth` (from `disputed`) know: signal, n, base_rate,
    auroc, average_precision and precision_at_K for each k; null where truth is all of one kind or k is beyond n.
    """
    items, scores, _ = table(signals)
    answers = pl.DataFrame({"item": items}).join(truth, on="item", how="left", maintain_order="left")["disputed"]
    known = answers.is_not_null().to_numpy()
    return pl.DataFrame(
        [
            _row(name, Ranking.of(scores[known, place], answers.drop_nulls().to_numpy()), ks)
            for place, name in enumerate(signals)
        ],
        schema=_schema(ks),
        orient="row",
    )


def measured(signals: Mapping[str, pl.DataFrame], truth: pl.DataFrame, *, ks: Sequence[int] = KS) -> pl.DataFrame:
    """`evaluate` for signals that may speak of quite different items, so that a small one takes no items away.

    Those of `side_by_side` are measured on their common items, each other one on its own, as its n shows.
    """
    wide = side_by_side(signals)
    parts = [evaluate(wide, truth, ks=ks)] if wide else []
    for name, frame in signals.items():
        if name not in wide and frame.height:
            parts.append(evaluate({name: frame}, truth, ks=ks))
    return pl.concat(parts) if parts else pl.DataFrame(schema=_schema(ks))


def _schema(ks: Sequence[int]) -> dict[str, pl.DataType]:
    numbers = ("base_rate", "auroc", "average_precision", *(f"precision_at_{k}" for k in ks))
    return {"signal": pl.String(), "n": pl.Int64(), **{name: pl.Float64() for name in numbers}}


def _row(name: str, ranking: Ranking, ks: Sequence[int]) -> list[object]:
    hits = ranking.expected(np.array(ks, np.int64))
    precisions = [float(hit / k) if 0 < k <= ranking.n else None for hit, k in zip(hits, ks, strict=True)]
    rate = ranking.n_disputed / ranking.n if ranking.n else None
    return [name, ranking.n, rate, ranking.auroc(), ranking.average_precision(), *precisions]


def precision_curve(score: NDArray[np.floating], answer: NDArray[np.bool_], *, points: int = 120) -> pl.DataFrame:
    """How precise a list is by its length: length, disputed (expected, see Ranking), precision, low, high (Wilson).

    At most `points` lengths from 1 to n, evenly on a logarithmic scale, and those of KS.
    """
    ranking = Ranking.of(score, answer)
    spaced = np.geomspace(1, max(1, ranking.n), points - len(KS)).round().astype(np.int64)
    lengths = np.unique([*spaced, *KS])
    lengths = lengths[lengths <= ranking.n]
    hits = ranking.expected(lengths)
    low, high = wilson(hits, lengths)
    return pl.DataFrame({"length": lengths, "disputed": hits, "precision": hits / lengths, "low": low, "high": high})
