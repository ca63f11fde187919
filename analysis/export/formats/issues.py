"""Label issues in the columns that cleanlab writes: what a label set says of each original label.

label_score is 1 where the original label is valid, 0.5 where it is unclear, and 0 where it is neither, which is an
issue. predicted_label is the original label, or for an issue the first valid class by class index; `valid` has all.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from analysis.export.formats.base import NOTHING_LEFT_OUT, Format, Written, told
from analysis.export.formats.tables import write_csv
from analysis.export.names import ESCAPED
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress

SCORE = "1 the label set holds the original label valid, 0.5 unclear, 0 neither; no probability"


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Items without an original label, not scored, or with no valid class to suggest are left out."""
    lost, issues = [NOTHING_LEFT_OUT], 0

    def rows() -> Iterator[pl.DataFrame]:
        nonlocal issues
        for part in told(subset.chunks(), "Writing", subset.n, progress):
            judged = part.with_columns(reason=_reason(), label_score=_score())
            lost.append(judged.filter(pl.col("reason").is_not_null()).select("item", "key", "reason"))
            kept = judged.filter(pl.col("reason").is_null())
            issue = pl.col("label_score") == 0
            named = subset.ids(kept).select(
                "key",
                issue.alias("is_label_issue"),
                "label_score",
                given_label="original",
                predicted_label=pl.when(issue).then(pl.col("valid").list.first()).otherwise("original"),
                valid="valid",
            )
            issues += int(named["is_label_issue"].sum())
            yield named

    write_csv(rows(), folder / "issues.csv")
    left = pl.concat(lost)
    return Written(subset.n - left.height, left, {"issues": issues, "label_score": SCORE, "escaped": ESCAPED})


def _score() -> pl.Expr:
    return (
        pl.when(pl.col("valid").list.contains(pl.col("original"))).then(1.0)
        .when(pl.col("unclear").list.contains(pl.col("original"))).then(0.5)
        .otherwise(0.0)
    )  # fmt: skip


def _reason() -> pl.Expr:
    original_stands = pl.concat_list("valid", "unclear").list.contains(pl.col("original"))
    return (
        pl.when(pl.col("original").is_null()).then(pl.lit("no original label"))
        .when(~pl.col("scored").fill_null(False)).then(pl.lit("not scored by the label set"))
        .when(~original_stands & (pl.col("valid").list.len() == 0))
        .then(pl.lit("no valid class to suggest"))
        .otherwise(pl.lit(None, pl.String))
    )  # fmt: skip


FORMAT = Format("issues", "Label issues as cleanlab writes them (CSV)", write)
