"""Hard examples: the items that most runs get wrong under the label set, the hardest first.

Unclear classes count as valid. In an open set a prediction that nobody judged counts as wrong, and is counted beside.
"""

from pathlib import Path

import numpy as np
import polars as pl

from analysis.errors import InputError
from analysis.export.formats.base import Format, Written
from analysis.export.formats.tables import write_csv
from analysis.export.names import ESCAPED
from analysis.export.options import ExportOptions
from analysis.export.subset import Subset
from analysis.labels.sets import ABSENT, counts_as_valid
from analysis.progress import Progress


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Raises InputError for a workspace without runs."""
    runs = subset.workspace.runs()
    if not runs:
        raise InputError(f"{subset.workspace.name} has no runs; what is hard is what they get wrong.")
    labels, size = subset.labels, subset.workspace.items().height
    counts = {name: np.zeros(size, np.uint32) for name in ("runs", "wrong_by", "unjudged_by")}
    for done, run in enumerate(runs, start=1):
        items, top = run.predictions.items, run.predictions.classes[:, 0]
        states, scored = labels.states(items, top), labels.scored(items)
        wrong = scored & ~counts_as_valid(states, "lenient")
        open_here = (labels.absent == "unjudged") & ~labels.exhaustive(items)
        counts["runs"][items] += scored
        counts["wrong_by"][items] += wrong
        counts["unjudged_by"][items] += wrong & open_here & (states == ABSENT)
        progress("Runs", done, len(runs))
    every = subset.items.select("item").with_columns(
        pl.Series(name, values[subset.items["item"].to_numpy()]) for name, values in counts.items()
    )
    share = pl.col("wrong_by") / pl.col("runs")
    hard = every.filter(pl.col("wrong_by") > 0).sort(share, "wrong_by", descending=True, maintain_order=True)
    places = hard.with_row_index("place")
    parts = [
        subset.ids(part).join(places, on="item").select("place", *hard.columns, "key", "original", "valid", "unclear")
        for part in subset.chunks()
    ]
    listed = pl.concat(parts).sort("place").drop("place")
    write_csv(iter([listed]), folder / "hard.csv")
    details = {"runs": [run.name for run in runs], "not_wrong_by_any": subset.n - hard.height, "escaped": ESCAPED}
    return Written(hard.height, details=details)


FORMAT = Format("hard-examples", "Items that most runs get wrong (CSV)", write)
