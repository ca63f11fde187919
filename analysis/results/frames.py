"""Answers of a workspace as frames, for whoever asks from Python."""

from typing import Any

import polars as pl

from analysis.labels.sets import Unclear
from analysis.lens import Lens, default_lens, frame
from analysis.results.comparisons import compare_runs
from analysis.slices import Slice
from analysis.workspace import Workspace

_DIFFERENCES = ("difference_micro", "difference_class_mean")


def comparison(workspace: Workspace, a: str, b: str, labels: str, *, unclear: Unclear = "lenient") -> pl.DataFrame:
    """Two runs on their common items under a label set, as one row: the fields of analysis.comparison.Comparison.

    A difference has five columns: its name, and the name with _low, _high, _bound_low and _bound_high behind it.
    Raises WorkspaceError for a run or label set that does not exist.
    """
    found = compare_runs(workspace, a, b, labels, unclear=unclear).to_dict()
    row: dict[str, Any] = {}
    for name, value in found.items():
        if name in _DIFFERENCES:
            row |= {name if part == "value" else f"{name}_{part}": number for part, number in value.items()}
        else:
            row[name] = value
    kinds = {bool: pl.Boolean, int: pl.Int64, str: pl.String}
    # Bounds and gains that cannot be given are null numbers, not columns without a type.
    return pl.DataFrame([row], schema={name: kinds.get(type(value), pl.Float64) for name, value in row.items()})


def lens_of(workspace: Workspace, run: str | None = None, labels: str | None = None) -> Lens:
    """The lens that pages show at first, with another run or label set where named.

    Raises WorkspaceError for one that does not exist.
    """
    if run is not None:
        workspace.run(run)
    if labels is not None:
        workspace.labels(labels)
    first = default_lens(workspace)
    return Lens(run or first.run, labels or first.labels, first.space)


def sliced(workspace: Workspace, text: str, *, run: str | None = None, labels: str | None = None) -> pl.DataFrame:
    """The rows of the lens frame (analysis.lens.frame) that a slice holds, in its order; see `lens_of`.

    Raises InputError naming the part of the line that does not fit.
    """
    asked = Slice.parse(text)
    return asked.apply(frame(workspace, lens_of(workspace, run, labels), also=asked.columns()))
