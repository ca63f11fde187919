"""What tells the causes of mistakes in a workspace: reviewers, files, spaces and rules; and how good the rules are."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import search, spaces
from analysis.causes import (
    CATEGORIES,
    FINER_CATEGORIES,
    JUDGEMENTS_SCHEMA,
    Atypical,
    Causes,
    ClassPairs,
    OutsideVocabulary,
    causes_of,
    valid_pairs,
)
from analysis.errors import WorkspaceError
from analysis.labels.hierarchy import Hierarchy
from analysis.labels.superclasses import Superclasses
from analysis.merges import merge_map
from analysis.results.review_log import Tip, current, tip
from analysis.results.taxonomy import accepting, basis_of, hierarchy, superclass_table
from analysis.review import state
from analysis.typicality import NEAREST, typicality
from analysis.vocabulary import FOUND_SCHEMA, better_outside, vocabulary
from analysis.workspace import Space, Workspace

LEAST_TYPICAL = 0.05
"""The share of images that are called atypical where embeddings say it: of the panel's mistakes 8 % were."""

# A snapshot never changes, so what is derived from one can be kept as long as it is in use; so can what is derived
# from the review log, as long as the log ends where it did.


def causes(workspace: Workspace, labels: str) -> Causes:
    """What tells the causes of mistakes under a label set: the team's judgements, files, else Errata's own rules.

    Raises WorkspaceError for a label set that does not exist.
    """
    return _causes(workspace, labels, tip(workspace))


@lru_cache(maxsize=32)
def _causes(workspace: Workspace, labels: str, at: Tip) -> Causes:
    known = _by_rule(workspace, labels)
    return replace(known, judgements=_judgements(workspace, known.judgements, at))


@lru_cache(maxsize=32)
def _by_rule(workspace: Workspace, labels: str) -> Causes:
    """Without the team's judgements; those of a file are among it."""
    workspace.labels(labels)
    sets = [workspace.labels(name) for name in workspace.label_set_names()]
    found = causes_of(workspace.classes(), sets, workspace.original_labels, under=labels)
    tables = workspace.cause_tables()
    judged = tables.get("judgements")
    return replace(
        found,
        twins=_merged(workspace) or found.twins,
        superclasses=superclass_table(workspace),
        atypical=_atypical(workspace),
        outside=_outside(workspace),
        judgements=None if judged is None else judged.table,
    )


def _merged(workspace: Workspace) -> ClassPairs | None:
    """Pairs of classes that a file makes one, both ways round."""
    stored = workspace.cause_tables().get("merges")
    if stored is None:
        return None
    n_classes = len(workspace.classes())
    group = merge_map(stored.table.select("class", "into").iter_rows(), n_classes)
    members = pl.DataFrame({"class": range(n_classes), "group": group})
    pairs = members.join(members, on="group").filter(pl.col("class") != pl.col("class_right"))
    basis = f"{basis_of(workspace, stored)}: classes that count as one"
    return ClassPairs.of(pairs["class"].to_numpy(), pairs["class_right"].to_numpy(), n_classes, basis)


def _judgements(workspace: Workspace, of_file: pl.DataFrame | None, at: Tip) -> pl.DataFrame | None:
    """A panel's file with the team's consensus in its place, in the columns of analysis.causes.JUDGEMENTS_SCHEMA.

    Of the consensus only what has a category. The source is who said it: the panel, readers, or an import.
    """
    rows = current(workspace) if at[0] else None
    if rows is None or (agreed := state.causes(rows).filter(pl.col("category").is_not_null())).is_empty():
        return of_file
    by = state.readings(rows, "cause").group_by("item", "class").agg(pl.col("person").unique().sort())
    imported = pl.col("person").list.eval(pl.element().str.starts_with("imported: ")).list.all()
    source = (
        pl.when("panel")
        .then(pl.lit("the panel"))
        .when(imported)
        .then(pl.col("person").list.join(", "))
        .otherwise(pl.lit("reviewers"))
    )
    said = agreed.join(by, on=["item", "class"], how="left").select(
        "item",
        pl.col("class").alias("prediction"),
        pl.col("category").cast(pl.String).replace(FINER_CATEGORIES).cast(JUDGEMENTS_SCHEMA["category"]),
        "severity",
        source.alias("source"),
    )
    if of_file is not None:
        said = pl.concat([said, of_file.join(said, on=["item", "prediction"], how="anti")])
    return said.sort("item", "prediction")


# ---- from the images of a space


@lru_cache(maxsize=8)
def _atypical(workspace: Workspace) -> Atypical | None:
    """The images of a list, else the least typical by a space's embeddings; None where there is neither."""
    stored = workspace.cause_tables().get("atypical")
    if stored is not None:
        return Atypical(stored.table["item"].to_numpy(), basis_of(workspace, stored))
    fresh = [space for space in workspace.spaces() if workspace.stale(space) is None]
    if not fresh:
        return None
    space = min(fresh, key=lambda space: (space.file("members.parquet") is None, space.name))
    try:
        index = search.open_index(space.folder)
    except WorkspaceError as error:
        return Atypical(np.zeros(0, np.uint32), f"not run: {error}")
    score = typicality(index.stored, workspace.original_labels[index.items])
    basis = f"mean similarity to the {NEAREST} nearest images of the same class in {space.name}"
    return Atypical.by_score(index.items, score, LEAST_TYPICAL, basis)


@lru_cache(maxsize=8)
def _outside(workspace: Workspace) -> OutsideVocabulary | None:
    """Predictions of any run for which a word outside the class list fits better; None without an open_clip space."""
    found = [space for space in workspace.spaces() if spaces.has_text_tower(space.name)]
    fresh = [space for space in found if "texts" in spaces.fresh_steps(workspace, space) and not workspace.stale(space)]
    table, above = superclass_table(workspace), hierarchy(workspace)
    if table is None or above is None:
        return _not_run("the class list has no hierarchy") if found else None
    if not fresh:
        build = f"`errata space build {workspace.path.name} {found[0].name}`" if found else ""
        return _not_run(f"{found[0].name} has no texts, or not of these classes; run {build}") if found else None
    try:
        rows = _better_outside(workspace, fresh[0], above, table)
    except WorkspaceError as error:
        return _not_run(str(error))
    basis = f"a word outside the class list fits better in {fresh[0].name}, prompts {spaces.TEMPLATES}"
    return OutsideVocabulary(rows, basis)


def _better_outside(workspace: Workspace, space: Space, above: Hierarchy, table: Superclasses) -> pl.DataFrame:
    """See analysis.vocabulary.better_outside. Raises WorkspaceError where a file of the space is damaged."""
    index = search.open_index(space.folder)
    texts = space.frame("texts")
    words = vocabulary(workspace.classes(), above)
    stored = {} if texts is None else {word: row for row, word in enumerate(texts["id"])}
    if missing := [word for word in words.frame["id"] if word not in stored]:
        raise WorkspaceError(f"{space.name} has no vector for {missing[0]!r}; build the space anew")
    vectors = space.array("texts.f16.npy")[[stored[word] for word in words.frame["id"]]]
    items, predictions = _other_predictions(workspace)
    rows = index.rows(items)
    items, predictions, rows = items[rows >= 0], predictions[rows >= 0], rows[rows >= 0]
    nearest = space.array("nearest.npy")[rows]
    of_items = np.append(workspace.original_labels, np.int32(-1))  # the last stands for no neighbour
    labels = of_items[np.minimum(nearest, len(of_items) - 1)]
    return better_outside(items, predictions, index.stored, rows, labels, table, words, vectors)


def _not_run(why: str) -> OutsideVocabulary:
    return OutsideVocabulary(pl.DataFrame(schema=FOUND_SCHEMA), f"not run: {why}")


def _other_predictions(workspace: Workspace) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Every (item, class) that some run predicts and that is not the original label; items (n,), classes (n,)."""
    original = workspace.original_labels
    keys = [np.zeros(0, np.int64)]
    for run in workspace.runs():
        items, top1 = run.predictions.items, run.predictions.top1
        known = items < len(original)
        other = np.flatnonzero(known)[top1[known] != original[items[known]]]
        other = other[top1[other] >= 0]
        keys.append((items[other].astype(np.int64) << 32) + top1[other])
    found = np.unique(np.concatenate(keys))
    return (found >> 32).astype(np.uint32), (found & 0xFFFFFFFF).astype(np.int32)


# ---- how good they are

AGREEMENT_SCHEMA = {
    "category": pl.Enum(CATEGORIES),
    "judged": pl.UInt32(),  # mistakes that the panel puts into the category
    "told": pl.UInt32(),  # of all that it judged, those that the rule puts into it
    "agree": pl.UInt32(),  # both
}


def agreement(workspace: Workspace, labels: str) -> pl.DataFrame | None:
    """How the rules do on the mistakes that a panel judged, in the columns of AGREEMENT_SCHEMA.

    Of judged predictions that are not valid under the label set, on items that it scores. None without judgements.
    """
    known = causes(workspace, labels)
    if known.judgements is None:
        return None
    accepted = accepting(workspace, labels)
    judged = known.judgements.filter(pl.col("item") < workspace.items().height)
    items, predictions = judged["item"].to_numpy(), judged["prediction"].to_numpy().astype(np.int32)
    rows, valid = valid_pairs(accepted, items)
    right = np.zeros(len(items), bool)
    right[rows[valid == predictions[rows]]] = True
    told = pl.Series(CATEGORIES, dtype=pl.Enum(CATEGORIES)).gather(known.categories(items, predictions, rows, valid))
    both = pl.DataFrame({"judged": judged["category"], "told": told})
    both = both.filter(pl.Series(accepted.scored(items) & ~right))
    found = [
        (
            category,
            both.filter(judged=category).height,
            both.filter(told=category).height,
            both.filter(judged=category, told=category).height,
        )
        for category in CATEGORIES
    ]
    return pl.DataFrame(found, schema=AGREEMENT_SCHEMA, orient="row")


def superclass_quality(workspace: Workspace) -> dict[str, Any] | None:
    """How the superclasses do on pairs known to be the same or different, as Superclasses.scores, and `known` by whom.

    The same are overlapping classes, and original label and prediction where a panel calls a mistake fine-grained;
    different, where it calls one a spurious correlation. None without superclasses or known pairs.
    """
    known, table = causes(workspace, "original"), superclass_table(workspace)
    if table is None:
        return None
    same, different, by = np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64), []
    if known.twins is not None:
        n_classes = known.twins.n_classes
        pairs = np.stack([known.twins.keys // n_classes, known.twins.keys % n_classes], axis=1)
        same = np.unique(np.sort(pairs, axis=1), axis=0)
        by.append(known.twins.basis)
    if known.judgements is not None:
        original = pl.DataFrame({"item": range(len(workspace.original_labels)), "label": workspace.original_labels})
        judged = known.judgements.join(original.cast({"item": pl.UInt32}), on="item").filter(pl.col("label") >= 0)
        pairs = judged.select("label", "prediction").cast(pl.Int64).to_numpy()
        same = np.concatenate([same, pairs[(judged["category"] == "fine_grained").to_numpy()]])
        different = pairs[(judged["category"] == "spurious_correlation").to_numpy()]
        by.append(known.record()["panel"])
    return {**table.scores(same, different), "known": "; ".join(by)} if by else None


def told(workspace: Workspace, labels: str) -> list[dict[str, Any]]:
    """Each rule with what it rests on and how good it proved: outcome, basis, file, created, quality.

    `file` and `created` are of an imported table, else None. `quality` has judged, told and agree (see `agreement`)
    where a panel judged, and for fine_grained those of `superclass_quality`; empty where nothing is known.
    """
    record = causes(workspace, labels).record()
    tables = {_OUTCOME_OF[rule]: stored for rule, stored in workspace.cause_tables().items()}
    agreed = agreement(workspace, labels)
    by_category = {} if agreed is None else {row["category"]: row for row in agreed.to_dicts()}
    rows = []
    for outcome, basis in record.items():
        stored = tables.get(outcome)
        quality = {key: value for key, value in by_category.get(outcome, {}).items() if key != "category"}
        if outcome == "fine_grained":
            quality |= superclass_quality(workspace) or {}
        rows.append(
            {
                "outcome": outcome,
                "basis": basis,
                "file": None if stored is None else stored.manifest.get("source"),
                "created": None if stored is None else stored.manifest["created"],
                "quality": quality,
            }
        )
    return rows


_OUTCOME_OF = {
    "superclasses": "fine_grained",
    "merges": "overlapping",
    "atypical": "non_prototypical",
    "judgements": "panel",
}
"""What the table of each rule (analysis/cause_files.py) tells; `panel` stands above all."""
