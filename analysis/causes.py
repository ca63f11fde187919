"""Why a wrong prediction is wrong: what is known of classes and images by which mistakes are sorted.

The categories are those of the panel of "When does dough become a bagel?" (Vasudevan et al., 2022), told apart by
rule as in "Automated Classification of Model Errors on ImageNet" (Peychev et al., 2023). What a rule says is a
suggestion; a panel's judgement goes before it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList, imagenet_1k, is_wnid
from analysis.labels.hierarchy import Hierarchy, hierarchy_of, superclasses
from analysis.labels.sets import STATES, LabelSet, Unclear
from analysis.labels.superclasses import Superclasses

CATEGORIES = (
    "too_coarse",  # above a valid class, where classes of the list are above others
    "fine_grained",  # shares a superclass with a valid class
    "fine_grained_oov",  # a class outside the class list would fit better
    "spurious_correlation",  # often seen together with a valid class
    "non_prototypical",  # the image is atypical of its class
    "model_failure",  # none of these
)
SEVERITIES = pl.Enum(["major", "minor", "borderline"])
TOGETHER = 2
"""Images in which two classes must occur together to be called co-occurring."""

# Original label -> predictions that the collapsed map of ImageNet's classes takes for it; directed as published.
_TWINS = {
    250: (248,), 249: (248,), 836: (837,), 837: (836,), 385: (101,), 386: (101,), 504: (968,), 638: (639,),
    639: (638,), 657: (744,), 744: (657,), 620: (681,), 681: (620,), 664: (782,), 782: (664,), 482: (848,),
    356: (357, 358, 359), 357: (356, 358, 359), 358: (356, 357, 359), 359: (356, 357, 358), 435: (876,),
}  # fmt: skip


_NOT_RUN = {
    "overlapping": "no map of overlapping classes for this class list",
    "too_coarse": "the class list has no hierarchy",
    "fine_grained": "no superclasses",
    "fine_grained_oov": "no open_clip space",
    "spurious_correlation": "no label set with several labels an image",
    "non_prototypical": "no list and no typicality score",
    "panel": "no judgements",
}


@dataclass(frozen=True, eq=False)
class ClassPairs:
    """Ordered pairs of classes with a count; looked up many at a time."""

    keys: NDArray[np.int64]
    """(m,) first * n_classes + second, sorted and unique."""
    counts: NDArray[np.int64]
    """(m,)"""
    n_classes: int
    basis: str

    @staticmethod
    def of(first: ArrayLike, second: ArrayLike, n_classes: int, basis: str) -> "ClassPairs":
        """Pairs (m,) in any order; one that comes again counts again."""
        found = np.asarray(first, np.int64) * n_classes + np.asarray(second, np.int64)
        keys, counts = np.unique(found, return_counts=True)
        return ClassPairs(keys, counts, n_classes, basis)

    def count(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
        """How often each pair (n,) comes; 0 for those with class -1."""
        first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
        if not len(self.keys):
            return np.zeros(np.broadcast(first, second).shape, np.int64)
        wanted = first * self.n_classes + second
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        # Class -1 would else be read as the last class of another row.
        found = (self.keys[place] == wanted) & (first >= 0) & (second >= 0)
        return np.where(found, self.counts[place], 0)


@dataclass(frozen=True, eq=False)
class Atypical:
    """Images that are atypical of their class."""

    items: NDArray[np.uint32]
    """(n,) item numbers, in any order."""
    basis: str
    """The list, or the score and its threshold, that says so."""

    @staticmethod
    def by_score(items: ArrayLike, typicality: ArrayLike, share: float, basis: str) -> "Atypical":
        """The `share` of items (n,) that are the least typical, by a score (n,) that is high for typical ones.

        Items without a score (NaN) are not among them; ties at the threshold are.
        """
        score = np.asarray(typicality, np.float64)
        known = np.isfinite(score)
        if not known.any():
            return Atypical(np.zeros(0, np.uint32), f"{basis}: no image has a score")
        threshold = float(np.quantile(score[known], share, method="lower"))
        chosen = np.asarray(items)[known & (score <= threshold)].astype(np.uint32)
        return Atypical(chosen, f"{basis} at most {threshold:.3g} (the least typical {share:.1%})")


@dataclass(frozen=True, eq=False)
class OutsideVocabulary:
    """Where a class that is not in the class list fits better than the prediction, as an open_clip space says."""

    found: pl.DataFrame
    """item u32, prediction u32, text str: the words that fit best."""
    basis: str


@dataclass(frozen=True, eq=False)
class Causes:
    """What mistakes are sorted by. What is None was not run, and its category never comes up."""

    twins: ClassPairs | None = None
    hierarchy: Hierarchy | None = None
    superclasses: Superclasses | None = None
    together: ClassPairs | None = None
    """Co-occurrence: both orders of each pair of classes, with the number of images that show both."""
    atypical: Atypical | None = None
    outside: OutsideVocabulary | None = None
    judgements: pl.DataFrame | None = None
    """A panel's: item, prediction, category, severity, source; as `panel_judgements` makes it."""
    at_least: int = TOGETHER

    def record(self) -> dict[str, str]:
        """What each outcome that needs more than a label set was told by, or that it was not run and why."""
        told = {name: f"not run: {why}" for name, why in _NOT_RUN.items()}
        if self.twins:
            told["overlapping"] = self.twins.basis
        if self.hierarchy:
            told["too_coarse"] = f"{self.hierarchy.source}: {len(self.hierarchy.pairs_above):,} classes above others"
        if self.superclasses:
            told["fine_grained"] = self.superclasses.basis
        if self.outside:
            told["fine_grained_oov"] = self.outside.basis
        if self.together:
            told["spurious_correlation"] = f"{self.together.basis}, in at least {self.at_least} images"
        if self.atypical:
            told["non_prototypical"] = self.atypical.basis
        if self.judgements is not None:
            sources = ", ".join(self.judgements["source"].unique().sort().head(3))
            told["panel"] = f"{self.judgements.height:,} judgements ({sources})"
        return told

    @cached_property
    def _above(self) -> ClassPairs | None:
        """(higher, lower) pairs of classes of the list."""
        if self.hierarchy is None or not len(pairs := self.hierarchy.pairs_above):
            return None
        return ClassPairs.of(pairs[:, 0], pairs[:, 1], len(self.hierarchy.of_class), self.hierarchy.source)

    @cached_property
    def _outside_keys(self) -> NDArray[np.int64]:
        return pair_keys(self.outside.found) if self.outside else np.zeros(0, np.int64)

    @cached_property
    def judged_keys(self) -> NDArray[np.int64]:
        """(m,) keys of the panel's judgements, in their order, which is sorted."""
        return np.zeros(0, np.int64) if self.judgements is None else pair_keys(self.judgements)

    def categories(
        self, items: NDArray[np.uint32], top1: NDArray[np.int32], rows: NDArray[np.intp], valid: NDArray[np.uint32]
    ) -> NDArray[np.uint8]:
        """The category by rule of wrong predictions, as places in CATEGORIES, (n,).

        `items` and `top1` (n,) are of the mistakes; `rows` (m,) and `valid` (m,) say which classes are valid for
        which of them: valid[j] is for mistake rows[j].
        """

        def some(holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
            """Whether something holds for any valid class of a mistake."""
            found = np.zeros(len(items), bool)
            found[rows[holds]] = True
            return found

        none = np.zeros(len(items), bool)
        predicted = top1[rows]
        above = none if self._above is None else some(self._above.count(predicted, valid) > 0)
        alike = none if self.superclasses is None else some(self.superclasses.share(predicted, valid))
        outside = none if self.outside is None else np.isin(pair_key(items, top1), self._outside_keys)
        seen = none if self.together is None else some(self.together.count(predicted, valid) >= self.at_least)
        odd = none if self.atypical is None else np.isin(items, self.atypical.items)
        return np.select([above, alike, outside, seen, odd], range(5), default=5).astype(np.uint8)


def valid_pairs(
    labels: LabelSet, items: NDArray[np.uint32], *, unclear: Unclear = "lenient"
) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """The valid classes of items (n,): rows (m,), classes (m,); classes[j] is valid for items[rows[j]]."""
    item = labels.labels["item"].to_numpy()
    # first[i]: how many labels come before item i's; the last stands for every item beyond the set's own.
    first = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=1)), [len(item)]])
    place = np.minimum(items.astype(np.intp), len(first) - 2)
    start, n = first[place], first[place + 1] - first[place]
    rows = np.repeat(np.arange(len(items)), n)
    label = np.arange(len(rows)) + np.repeat(start - (np.cumsum(n) - n), n)
    last = STATES.categories.to_list().index("unclear" if unclear == "lenient" else "valid")
    accepted = labels.labels["state"].to_physical().to_numpy()[label] <= last
    return rows[accepted], labels.labels["class"].to_numpy()[label[accepted]]


def pair_key(items: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """One sortable number an (item, class)."""
    return (items.astype(np.int64) << 32) + classes.astype(np.int64)


def pair_keys(frame: pl.DataFrame) -> NDArray[np.int64]:
    """One sortable number a row of item, prediction."""
    return pair_key(frame["item"].to_numpy(), frame["prediction"].to_numpy())


# ---- from what is at hand


def causes_of(
    classes: ClassList, label_sets: Sequence[LabelSet], original: NDArray[np.int32], *, under: str | None = None
) -> Causes:
    """What a class list and label sets give by themselves: twins, hierarchy, superclasses, co-occurrence.

    Co-occurrence comes from ReaL where it is at hand, else from the set that gives the most images several valid
    classes; images that the set `under` scores are left out when it is another one. `original` (N,) is by item
    number, -1 for none. The rest (`dataclasses.replace`) comes from files and spaces.
    """
    hierarchy = hierarchy_of(classes)
    several = {labels.name: _n_several(labels) for labels in label_sets}
    best = "real" if several.get("real") else max(several, key=lambda name: several[name], default=None)
    together = None
    if best is not None and several[best]:
        source = next(labels for labels in label_sets if labels.name == best)
        held_out = next((labels for labels in label_sets if labels.name == under != best), None)
        together = co_occurrence(source, original, len(classes), without=held_out)
    return Causes(
        twins=twins_of(classes),
        hierarchy=hierarchy,
        superclasses=superclasses(hierarchy) if hierarchy else None,
        together=together,
    )


def twins_of(classes: ClassList) -> ClassPairs | None:
    """(original label, prediction) pairs of ImageNet's overlapping classes; None where the list has none."""
    index = {class_id: place for place, class_id in enumerate(classes.ids) if is_wnid(class_id)}
    if not index:
        return None
    ids = imagenet_1k().ids
    pairs = [
        (index[ids[label]], index[ids[twin]])
        for label, others in _TWINS.items()
        for twin in others
        if ids[label] in index and ids[twin] in index
    ]
    basis = "collapsed map of ImageNet's overlapping classes"
    labels, twins = np.array(pairs, np.int64).reshape(-1, 2).T
    return ClassPairs.of(labels, twins, len(classes), basis) if pairs else None


def co_occurrence(
    labels: LabelSet, original: NDArray[np.int32], n_classes: int, *, without: LabelSet | None = None
) -> ClassPairs:
    """How many images show two classes: the set's valid ones and the original label of each image that it knows.

    Images that `without` knows are left out, so that what is found can be tried on them.
    """
    items = labels.items["item"]
    basis = f"pairs of classes counted over {labels.name}"
    if without is not None:
        items = items.filter(~items.is_in(without.items["item"].implode()))
        basis += f" outside the images of {without.name}"
    known = pl.DataFrame({"item": items})
    numbers = items.to_numpy()
    own = pl.Series("class", original[numbers[numbers < len(original)]], dtype=pl.Int64)
    added = pl.DataFrame({"item": items.head(len(own)), "class": own}).filter(pl.col("class") >= 0)
    valid = labels.labels.filter(pl.col("state") == "valid").join(known, on="item", how="semi")
    said = pl.concat([valid.select("item", pl.col("class").cast(pl.Int64)), added]).unique()
    several = said.filter(pl.len().over("item") > 1)
    pairs = several.join(several, on="item").filter(pl.col("class") != pl.col("class_right"))
    return ClassPairs.of(pairs["class"].to_numpy(), pairs["class_right"].to_numpy(), n_classes, basis)


def _n_several(labels: LabelSet) -> int:
    valid = labels.labels.filter(pl.col("state") == "valid")
    return valid.height - valid["item"].n_unique()


# ---- a panel's judgements

FINER_CATEGORIES = {"fine_grained_multi_label": "fine_grained"}
"""Categories that published files tell apart and reports do not -> the one that they are counted as."""
CATEGORY_WORDS = {
    "fine grained error": "fine_grained",
    "fine grained": "fine_grained",
    "fine grained with multilabel options": "fine_grained_multi_label",
    "fine grained with multi label options": "fine_grained_multi_label",
    "fine grained multi label": "fine_grained_multi_label",
    "fine grained error with oov": "fine_grained_oov",
    "fine grained with oov": "fine_grained_oov",
    "fine grained oov": "fine_grained_oov",
    "spurious correlation": "spurious_correlation",
    "non prototypical": "non_prototypical",
    "model failure": "model_failure",
    "too coarse": "too_coarse",
}
JUDGEMENTS_SCHEMA = {
    "item": pl.UInt32(),
    "prediction": pl.UInt32(),
    "category": pl.Enum(CATEGORIES),
    "severity": SEVERITIES,  # null: unset
    "source": pl.String(),
}


def panel_judgements(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """A panel's judgements in the columns of JUDGEMENTS_SCHEMA, sorted by item and prediction.

    `rows` has item, prediction (class index), category and perhaps severity and source (else `source`); categories
    and severities in any of the spellings of published files. Raises InputError, naming the row, for a word that is
    unknown, and where two judgements of one (item, prediction) differ.
    """
    frame = rows.select(
        "item",
        "prediction",
        spelled("category"),
        spelled("severity") if "severity" in rows.columns else pl.lit(None, pl.String).alias("severity"),
        pl.col("source") if "source" in rows.columns else pl.lit(source).alias("source"),
    )
    numbered = frame.with_row_index("row", offset=1)
    _refuse_unknown(numbered, "category", CATEGORY_WORDS, source)
    judged = numbered.filter(pl.col("severity").is_not_null())
    _refuse_unknown(judged, "severity", SEVERITIES.categories.to_list(), source)
    found = (
        frame.with_columns(
            pl.col("category").replace_strict(CATEGORY_WORDS, return_dtype=pl.String).replace(FINER_CATEGORIES)
        )
        .select(pl.col(name).cast(kind) for name, kind in JUDGEMENTS_SCHEMA.items())
        .unique(["item", "prediction", "category", "severity"], keep="first", maintain_order=True)
        .sort("item", "prediction")
    )
    twice = found.filter(pl.struct("item", "prediction").is_duplicated())
    if twice.height:
        item, prediction = twice.row(0)[:2]
        raise InputError(
            f"{source}: item {item} with prediction {prediction} is judged in two ways "
            f"({', '.join(map(str, twice.filter(pl.col('item') == item)['category']))}). Keep one of them."
        )
    return found


def spelled(column: str) -> pl.Expr:
    """A column of words as CATEGORY_WORDS and SEVERITIES spell them; empty is null.

    Lower case, with single spaces for `-`, `_` and runs of spaces.
    """
    plain = pl.col(column).cast(pl.String).str.to_lowercase().str.replace_all(r"[\s_-]+", " ").str.strip_chars()
    return pl.when(plain != "").then(plain).alias(column)


def _refuse_unknown(frame: pl.DataFrame, column: str, known: Iterable[str], source: str) -> None:
    words = list(known)
    strange = frame.filter(~pl.col(column).is_in(words).fill_null(False))
    if strange.height:
        row = strange.row(0, named=True)
        raise InputError(
            f"{source}: row {row['row']}, item {row['item']}, prediction {row['prediction']} has the {column} "
            f"{row[column]!r}; known are {', '.join(words)}."
        )
