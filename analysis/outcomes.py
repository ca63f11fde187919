"""The outcome of each item under one run and one label set: why its prediction counts as it does.

The outcomes stand in the order of their definition: the first that applies is taken. What counts as right is said
by the label set alone; the rest says why a prediction is right or wrong.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.causes import CATEGORIES, SEVERITIES, Causes, pair_key, valid_pairs
from analysis.labels.sets import LabelSet, Unclear
from analysis.metrics import judge, targets
from analysis.models.predictions import Predictions

OUTCOME_NAMES = (
    "not_scored",  # the label set does not count this item: no valid class, problematic, unknown; or no prediction
    "correct",  # the original label, and it is valid
    "agrees_with_rejected",  # the original label, which is not valid: wrong
    "overlapping",  # the twin of the original label: right where it is valid, else wrong and `forgiven` by the map
    "multi_label",  # another valid class: right
    *CATEGORIES,  # not valid, and why: see analysis.causes
)
OUTCOMES = pl.Enum(OUTCOME_NAMES)
MISTAKES = CATEGORIES
"""Outcomes of predictions that are not valid, are not the original label and are not its twin."""
ALWAYS_RIGHT = ("correct", "multi_label")
"""Outcomes that count as right whatever else; `overlapping` does where it is not forgiven."""

OUTCOMES_SCHEMA = {
    "item": pl.UInt32(),
    "target": pl.UInt32(),  # class index of the original label; null for none
    "prediction": pl.UInt32(),  # class index of the top-1; null for none
    "confidence": pl.Float32(),  # probability of the top-1; null where the scores do not give it
    "outcome": OUTCOMES,
    "right": pl.Boolean(),  # null where not scored, so that its mean is micro accuracy
    "unjudged": pl.Boolean(),  # an open label set says nothing of the prediction
    "forgiven": pl.Boolean(),  # overlapping, though the label set does not hold it valid: wrong
    "suggested": pl.Boolean(),  # a category by rule, which no panel has judged
    "severity": SEVERITIES,  # a panel's; null: unset
}

_FIRST_CATEGORY = len(OUTCOME_NAMES) - len(CATEGORIES)
_NO_CAUSES = Causes()


def outcomes(
    predictions: Predictions,
    labels: LabelSet,
    original: NDArray[np.int32],
    *,
    causes: Causes = _NO_CAUSES,
    unclear: Unclear = "lenient",
) -> pl.DataFrame:
    """One row for each item of the run, in the columns of OUTCOMES_SCHEMA.

    `original` (N,) is by item number, -1 for none. The rows that are right sum to micro accuracy exactly. Without
    causes, nothing overlaps and every mistake is a model failure.
    """
    items, target, top1 = predictions.items, targets(predictions, original), predictions.top1
    judged = judge(predictions, labels, unclear=unclear)
    same = top1 == target
    twin = np.zeros(len(items), bool)
    if causes.twins is not None:
        other = np.flatnonzero(~same)
        twin[other] = causes.twins.count(target[other], top1[other]) > 0
    forgiven = twin & judged.scored & ~judged.right
    # Codes are places in OUTCOME_NAMES; what comes first in the order is written last.
    code = np.full(len(items), _FIRST_CATEGORY, np.uint8)
    code[judged.right] = 4
    code[twin] = 3
    code[same] = 2
    code[same & judged.right] = 1
    code[~judged.scored] = 0
    mistakes = np.flatnonzero(code == _FIRST_CATEGORY)
    wrong, wrongly = items[mistakes], top1[mistakes]
    category = causes.categories(wrong, wrongly, *valid_pairs(labels, wrong, unclear=unclear))
    suggested, severity = np.zeros(len(items), bool), _nulls(len(items), SEVERITIES)
    suggested[mistakes] = True
    if causes.judgements is not None and causes.judgements.height:
        row, found = _places(causes.judged_keys, pair_key(wrong, wrongly))
        category[found] = causes.judgements["category"].to_physical().to_numpy()[row[found]]
        suggested[mistakes[found]] = False
        judgement = np.full(len(items), -1, np.int32)
        judgement[mistakes[found]] = row[found]
        severity = causes.judgements["severity"].gather(_or_null(judgement))
    code[mistakes] += category
    columns = {
        "item": pl.Series(items, dtype=pl.UInt32),
        "target": _or_null(target),
        "prediction": _or_null(top1),
        "confidence": _confidences(predictions),
        "outcome": pl.Series(OUTCOME_NAMES, dtype=OUTCOMES).gather(code),
        "right": pl.Series([False, True, None]).gather(np.where(judged.scored, judged.right, 2)),
        "unjudged": pl.Series(judged.unjudged),
        "forgiven": pl.Series(forgiven),
        "suggested": pl.Series(suggested),
        "severity": severity,
    }
    return pl.DataFrame(columns)


def _confidences(predictions: Predictions) -> pl.Series:
    found = predictions.confidence
    if found is None:
        return _nulls(len(predictions.items), pl.Float32())
    column = pl.Series(found, dtype=pl.Float32)
    return column.fill_nan(None) if np.isnan(found).any() else column


def _nulls(n: int, dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, n)


def _or_null(classes: NDArray[np.signedinteger[Any]]) -> pl.Series:
    column = pl.Series(classes.astype(np.int32))
    return (column.set(column < 0, None) if (classes < 0).any() else column).cast(pl.UInt32)


def _places(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each wanted key stands among sorted, unique ones, and whether it does."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


# ---- evidence

EVIDENCE_SCHEMA = {
    "item": pl.UInt32(),
    "outcome": OUTCOMES,
    "valid": pl.List(pl.UInt32()),  # the item's valid classes
    "because": pl.UInt32(),  # the class on which the outcome rests: the twin, the valid class that is alike ...
    "superclass": pl.String(),  # the name of the superclass shared with it
    "together": pl.UInt32(),  # in how many images it occurs together with the prediction
    "basis": pl.String(),  # the list, score, rule or panel that said so
}


def evidence(outcomes: pl.DataFrame, labels: LabelSet, causes: Causes, *, unclear: Unclear = "lenient") -> pl.DataFrame:
    """What the outcomes of a few shown rows rest upon, row for row, in the columns of EVIDENCE_SCHEMA."""
    items = outcomes["item"].to_numpy()
    rows, found = valid_pairs(labels, items, unclear=unclear)
    record, judged = causes.record(), {}
    if causes.judgements is not None:
        said = causes.judgements.join(outcomes, on=["item", "prediction"], how="semi")
        judged = {tuple(pair): source for *pair, source in said.select("item", "prediction", "source").iter_rows()}
    made = []
    shown = outcomes.select("item", "outcome", "target", "prediction", "suggested")
    for place, (item, outcome, target, prediction, suggested) in enumerate(shown.iter_rows()):
        valid = found[rows == place].tolist()
        told = {"because": None, "superclass": None, "together": None}
        if outcome in ("correct", "multi_label"):
            told["because"] = prediction
        elif outcome == "overlapping":
            told["because"] = target
        elif prediction is not None and outcome in CATEGORIES:
            told |= _relation(causes, outcome, prediction, valid)
        basis = record.get(outcome)
        if outcome in CATEGORIES and not suggested:
            basis = f"judged by {judged.get((item, prediction), 'a panel')}"
        elif outcome == "fine_grained_oov" and causes.outside is not None:
            at = (pl.col("item") == item) & (pl.col("prediction") == prediction)
            texts = causes.outside.found.filter(at)["text"]
            basis = f"{basis}: {texts[0]!r} fits better" if len(texts) else basis
        made.append({"item": item, "outcome": outcome, "valid": valid, **told, "basis": basis})
    return pl.DataFrame(made, schema=EVIDENCE_SCHEMA)


def _relation(causes: Causes, outcome: str, prediction: int, valid: list[int]) -> dict[str, Any]:
    """The valid class to which a mistake's category relates it, and by what."""
    if outcome == "fine_grained" and causes.superclasses is not None:
        for index in valid:
            if name := causes.superclasses.shared(prediction, index):
                return {"because": index, "superclass": name}
    if outcome == "too_coarse" and causes.hierarchy is not None:
        above = causes.hierarchy.pairs_above
        below = {int(lower) for higher, lower in above if higher == prediction}
        return {"because": next((index for index in valid if index in below), None)}
    if outcome == "spurious_correlation" and causes.together is not None and valid:
        counts = causes.together.count(np.full(len(valid), prediction), valid)
        if counts.max():
            return {"because": valid[int(counts.argmax())], "together": int(counts.max())}
    return {}


# ---- summaries


def counts(outcomes: pl.DataFrame) -> dict[str, Any]:
    """How often each outcome comes: n, counts, overlapping_forgiven, unjudged, class_mean_accuracy, accuracy.

    `counts` has every outcome, also those that never come, and sums to n, the items of the run; too_coarse joins
    where it comes. Those forgiven are among `overlapping`, and wrong. `unjudged` has the categories, and other
    outcomes with unjudged predictions. Both accuracies are of scored items, None where there is none; the class
    mean is over the classes of original labels.
    """
    found, unjudged = _n_each(outcomes), _n_each(outcomes.filter("unjudged"))
    reported = {*CATEGORIES, *unjudged} - ({"too_coarse"} - found.keys())
    scored = outcomes.filter(pl.col("right").is_not_null())
    labelled = scored.filter(pl.col("target").is_not_null())
    # In one order, so that the sum of the means is the same at each call.
    per_class = labelled.group_by("target", maintain_order=True).agg(pl.col("right").mean())
    return {
        "n": outcomes.height,
        "counts": {name: found.get(name, 0) for name in OUTCOME_NAMES if name in found or name != "too_coarse"},
        "overlapping_forgiven": int(outcomes["forgiven"].sum()),
        "unjudged": {name: unjudged.get(name, 0) for name in OUTCOME_NAMES if name in reported},
        "class_mean_accuracy": per_class["right"].mean(),
        "accuracy": int(scored["right"].sum()) / scored.height if scored.height else None,
    }


def severities(outcomes: pl.DataFrame) -> dict[str, int]:
    """How many mistakes a panel calls major and minor (borderline ones are minor), and how many have none."""
    mistakes = outcomes.filter(pl.col("outcome").is_in(MISTAKES))["severity"].cast(pl.String)
    found = dict(mistakes.replace("borderline", "minor").fill_null("unset").value_counts().iter_rows())
    return {name: found.get(name, 0) for name in ("major", "minor", "unset")}


def _n_each(outcomes: pl.DataFrame) -> dict[str, int]:
    return dict(outcomes["outcome"].value_counts().iter_rows())


def confusions(outcomes: pl.DataFrame, *, sample: int = 12) -> pl.DataFrame:
    """Pairs of original label and wrong prediction, most frequent first: target, prediction, n, items.

    `items` (list[u32]) holds up to `sample` of the pair's items, the most confident first. Only predictions that
    are wrong and not the original label; items without an original label are in no pair.
    """
    return (
        outcomes.filter(~pl.col("right"), pl.col("target") != pl.col("prediction"))
        .sort("confidence", "item", descending=[True, False], nulls_last=True)
        .group_by("target", "prediction", maintain_order=True)
        .agg(n=pl.len().cast(pl.UInt32), items=pl.col("item").head(sample))
        .sort("n", "target", "prediction", descending=[True, False, False])
    )
