"""What the log says at a position: each person's readings, where they agree, what a panel decided.

Everything here is derived from the log's rows (analysis/review/log.py) and can be made again for any past position.
A *reader* is a person, or the panel, which is one reader whoever recorded its decisions. A reader's latest word on
a thing is their reading of it. The panel's word is the consensus; without one it is what all readers say, and where
they differ the state is `disputed`: nobody's reading overwrites another's.
"""

import polars as pl

from analysis.causes import SEVERITIES
from analysis.review.kinds import CAUSES, PROBLEMS
from analysis.review.log import stands

STATES = pl.Enum(["valid", "wrong", "unclear", "unsure", "needs_expert", "disputed"])
"""Of the consensus on (item, class). Unsure, needs_expert and disputed are work for the panel, not decisions."""
REPEAT = "repeat"
"""The stratum of judgements on items that a queue showed to the same person again."""
DECIDED = ("valid", "wrong", "unclear")

_SUBJECT = {
    "verdict": ["item", "class"],
    "cause": ["item", "class"],
    "problem": ["item", "value"],
    "exhaustive": ["item"],
    "outside": ["item", "value"],
    "tag": ["item", "value"],
}
"""What a kind is said of: a reader's newest row on the same subject is their reading."""


def readings(log: pl.DataFrame, kind: str, upto: int | None = None) -> pl.DataFrame:
    """Each reader's current reading of a kind, by position: the log's columns and `reader` (null: the panel).

    What was said when an item was shown again unknowingly measures the person and changes no reading of theirs.
    """
    told = log if upto is None else log.filter(pl.col("position") <= upto)
    rows = told.filter(stands(told) & (pl.col("kind") == kind) & pl.col("stratum").ne_missing(REPEAT))
    rows = rows.with_columns(reader=pl.when(~pl.col("panel")).then("person"))
    return rows.unique([*_SUBJECT[kind], "reader"], keep="last").sort("position")


def verdicts(log: pl.DataFrame, upto: int | None = None) -> pl.DataFrame:
    """The consensus on each (item, class) that anybody gave a verdict on, sorted by them.

    item u32, class u32, state STATES, panel bool (the panel decided), readers u32 (persons), valid u32 and wrong u32
    (how many of them say so), position i64 (of the newest reading).
    """
    found = readings(log, "verdict", upto)
    person = ~pl.col("panel")
    return (
        found.group_by("item", "class")
        .agg(
            _settled(pl.col("value")).alias("state"),
            panel=pl.col("panel").any(),
            readers=person.sum(),
            valid=(person & (pl.col("value") == "valid")).sum(),
            wrong=(person & (pl.col("value") == "wrong")).sum(),
            position=pl.col("position").max(),
        )
        .with_columns(
            pl.col("state").fill_null("disputed").cast(STATES), pl.col("^readers|valid|wrong$").cast(pl.UInt32)
        )
        .sort("item", "class")
    )


def causes(log: pl.DataFrame, upto: int | None = None) -> pl.DataFrame:
    """Cause and severity of each (item, predicted class) whose verdict is wrong by consensus, sorted by them.

    item u32, class u32, category (one of CAUSES) and severity, both null where nobody told or readers differ;
    category_disputed, severity_disputed, panel bool. Only readers whose own verdict is still wrong count.
    """
    own = readings(log, "verdict", upto).filter(pl.col("value") == "wrong").select("item", "class", "reader")
    agreed = verdicts(log, upto).filter(pl.col("state") == "wrong").select("item", "class")
    found = (
        readings(log, "cause", upto)
        .join(own, on=["item", "class", "reader"], how="semi", nulls_equal=True)
        .join(agreed, on=["item", "class"], how="semi")
    )
    category, severity = pl.col("value"), pl.col("severity")
    return (
        found.group_by("item", "class")
        .agg(
            _settled(category).alias("category"),
            _settled(severity).alias("severity"),
            category_disputed=_differ(category),
            severity_disputed=_differ(severity),
            panel=pl.col("panel").any(),
        )
        .with_columns(pl.col("category").cast(pl.Enum(CAUSES)), pl.col("severity").cast(SEVERITIES))
        .sort("item", "class")
    )


def _settled(word: pl.Expr) -> pl.Expr:
    """Of one subject's readings: the panel's word, else the one that all readers gave; null where they differ."""
    by_panel, by_persons = word.filter(pl.col("panel")).drop_nulls(), word.filter(~pl.col("panel")).drop_nulls()
    return pl.coalesce(by_panel.last(), pl.when(by_persons.n_unique() == 1).then(by_persons.first()))


def _differ(word: pl.Expr) -> pl.Expr:
    by_panel, by_persons = word.filter(pl.col("panel")).drop_nulls(), word.filter(~pl.col("panel")).drop_nulls()
    return (by_panel.len() == 0) & (by_persons.n_unique() > 1)


def problems(log: pl.DataFrame, upto: int | None = None) -> pl.DataFrame:
    """Problems of items: item u32, problem (one of PROBLEMS), readers u32, panel bool; sorted by item and problem."""
    found = readings(log, "problem", upto).group_by("item", pl.col("value").cast(pl.Enum(PROBLEMS)).alias("problem"))
    return found.agg(readers=(~pl.col("panel")).sum().cast(pl.UInt32), panel=pl.col("panel").any()).sort(
        "item", "problem"
    )


def exhaustive(log: pl.DataFrame, upto: int | None = None) -> pl.Series:
    """Items, sorted, of which somebody said that no further class is valid."""
    return readings(log, "exhaustive", upto)["item"].unique().sort()


def words(log: pl.DataFrame, kind: str, upto: int | None = None) -> pl.DataFrame:
    """Tags or objects outside the class list (kinds tag, outside): item u32, value, persons (list); sorted."""
    found = readings(log, kind, upto).group_by("item", "value").agg(persons=pl.col("person").unique().sort())
    return found.sort("item", "value")


def stale(log: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Rows whose image is another one today: its bytes changed, or it is gone. `items` are the workspace's.

    A hash that either side lacks tells nothing.
    """
    now = items.select("item", "missing", now="hash")
    joined = log.join(now, on="item", how="left", maintain_order="left")
    changed = pl.col("hash").ne(pl.col("now")).fill_null(False) | pl.col("missing").fill_null(True)
    return joined.filter(changed).select(log.columns)


def current(log: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The log without what was said of images that are others today. `items` are the workspace's."""
    return without(log, stale(log, items))


def without(log: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """The log without the rows that are stale, as `stale` gives them."""
    # An undo is kept whatever the image: what it takes back must not come to life again.
    gone = old.filter(pl.col("kind") != "undo")
    return log.join(gone, on="position", how="anti", maintain_order="left") if gone.height else log


def diff(log: pl.DataFrame, before: int, after: int) -> pl.DataFrame:
    """What changed in the consensus between two positions: item u32, class u32, before, after; sorted.

    States of `verdicts`, null for (item, class) without one. Empty when nothing moved.
    """
    old, new = (verdicts(log, upto).select("item", "class", "state") for upto in (before, after))
    joined = old.join(new, on=["item", "class"], how="full", coalesce=True)
    moved = joined.filter(pl.col("state").ne_missing(pl.col("state_right")))
    return moved.select("item", "class", before="state", after="state_right").sort("item", "class")
