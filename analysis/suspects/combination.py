"""Signals combined into one."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from analysis.errors import InputError
from analysis.suspects.signals import signal_frame


def rank_average(signals: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The mean of the signals' ranks, 0 to 1; for items that all of them speak of. Needs no truth.

    Suggested is what most signals suggest, of equals the first signal's.
    """
    items, scores, suggested = table(signals)
    ranks = np.stack([rankdata(column) / max(1, len(items)) for column in scores.T], axis=1)
    return signal_frame(items, ranks.mean(axis=1), suggested)


def combine(
    signals: Mapping[str, pl.DataFrame],
    disputed: pl.DataFrame,
    original: NDArray[np.int32],
    *,
    folds: int = 5,
    seed: int = 0,
) -> pl.DataFrame:
    """Probability that a label is disputed, by a logistic regression, cross-fitted.

    It sees each signal's score and rank, and how often labels of the same class, and of the same class with the
    same suggestion, are disputed. `disputed` (from the function of that name) says for which items the answer is
    known. No item's own answer enters its score: the items are split into `folds`, each scored by what the other
    folds taught, rates included; items of which nothing is known get the mean over the folds. Raises InputError
    where either answer is rarer than there are folds.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped, unused-ignore]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped, unused-ignore]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped, unused-ignore]

    items, scores, suggested = table(signals)
    rows = pl.DataFrame({"item": items})
    answers = rows.join(disputed, on="item", how="left", maintain_order="left")["disputed"]
    known = answers.is_not_null().to_numpy()
    answer = answers.fill_null(False).to_numpy()
    fewest = min(int((answer & known).sum()), int((~answer & known).sum()))
    if fewest < folds:
        raise InputError(
            f"A combination of signals needs at least {folds} disputed and {folds} undisputed items to learn "
            f"from; of one kind there are {fewest}. Use rank averaging."
        )
    ranks = np.stack([rankdata(column) / len(items) for column in scores.T], axis=1)
    # A rank's logit tells apart what is far out in the tail, where the errors are.
    features = np.concatenate([scores, np.log(ranks / (1 + 1 / len(items) - ranks)), ranks**4], axis=1)
    classes = original[items].astype(np.int64)
    pairs = np.unique(classes * (int(suggested.max()) + 2) + suggested + 1, return_inverse=True)[1]
    fold = np.full(len(items), -1)
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(known))
    fold[shuffled[np.argsort(answer[shuffled], kind="stable")]] = np.arange(len(shuffled)) % folds
    score = np.zeros(len(items))
    for number in range(folds):
        learnt, mine = known & (fold != number), fold == number
        rates = np.stack([_rates(group, answer, fold, learnt) for group in (classes, pairs)], axis=1)
        seen = np.concatenate([features, rates], axis=1)
        model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
        model.fit(seen[learnt], answer[learnt])
        score[mine] = model.predict_proba(seen[mine])[:, 1]
        if not known.all():
            score[~known] += model.predict_proba(seen[~known])[:, 1] / folds
    return signal_frame(items, score, suggested)


def _rates(
    group: NDArray[np.int64], answer: NDArray[np.bool_], fold: NDArray[np.int64], learnt: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Logit of how often each item's group is disputed among the learnt items, less those of the item's own fold.

    Groups of few items are drawn to the mean of all, as by ten more items.
    """
    size = int(group.max()) + 1
    rates = np.empty(len(group))
    for number in np.unique(fold):
        mine, source = fold == number, learnt & (fold != number)
        n = np.bincount(group[source], minlength=size)
        n_disputed = np.bincount(group[source & answer], minlength=size)
        mean = (answer[source].sum() + 0.5) / (source.sum() + 1)
        rates[mine] = ((n_disputed + 10 * mean) / (n + 10))[group[mine]]
    return np.log(rates / (1 - rates))


def table(
    signals: Mapping[str, pl.DataFrame],
) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.int32]]:
    """Items that all signals speak of (n,), their scores (n, signals) and the suggestion (n,), -1 for none: the
    winning vote where that is among the signals, else what most of them suggest."""
    if not signals:
        raise InputError("No signal to combine. Name at least one run.")
    frames = list(signals.values())
    joined = frames[0].select("item", score_0="score", suggested_0="suggested")
    for place, frame in enumerate(frames[1:], 1):
        more = frame.select("item", pl.col("score", "suggested").name.suffix(f"_{place}"))
        joined = joined.join(more, on="item", how="inner", maintain_order="left")
    if joined.is_empty():
        raise InputError(f"No item is spoken of by all of the signals {', '.join(signals)}.")
    scores = joined.select(f"score_{place}" for place in range(len(frames))).to_numpy()
    suggested = joined.select(pl.col(f"suggested_{place}").fill_null(-1) for place in range(len(frames))).to_numpy()
    if "votes" in signals:
        chosen = suggested[:, list(signals).index("votes")]
    else:
        same = (suggested[:, :, None] == suggested[:, None, :]).sum(axis=2) * (suggested >= 0)
        chosen = suggested[np.arange(len(suggested)), same.argmax(axis=1)]
    return joined["item"].to_numpy(), scores, chosen


def side_by_side(signals: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The signals that can be combined or compared on their common items without losing most of these.

    They are those that speak of at least half as many items as the widest one; none, where these have not so many
    in common.
    """
    widest = max((frame.height for frame in signals.values()), default=0)
    wide = {name: frame for name, frame in signals.items() if 2 * frame.height >= widest > 0}
    if not wide:
        return {}
    spoken_of = pl.concat([frame.select("item") for frame in wide.values()]).group_by("item").len()
    return wide if 2 * int((spoken_of["len"] == len(wide)).sum()) >= widest else {}
