"""Suspected label errors of a workspace."""

from collections.abc import Sequence

import polars as pl

from analysis import suspects as signals
from analysis.errors import InputError
from analysis.results.trust import by_trust
from analysis.workspace import Workspace


def suspected_errors(
    workspace: Workspace, runs: Sequence[str] | None = None, *, signal: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items whose original label is suspect, the most suspicious first, and how good each signal proved here.

    The first frame has analysis.suspects.SUSPECTS_SCHEMA; the second one row a signal with AUROC, average precision
    and precision at k against the label set that says more than `original`, empty where there is none. `signal`
    names one of them; by default the one of best average precision, else the votes.
    Raises InputError without runs, or for an unknown signal.
    """
    chosen = {name: workspace.run(name).predictions for name in (workspace.run_names() if runs is None else runs)}
    if not chosen:
        raise InputError("Suspected label errors are found by models: there is no run yet. Evaluate or import one.")
    original = workspace.original_labels
    found = signals.signals_of_runs(chosen, original, len(workspace.classes()))
    quality = pl.DataFrame()
    for name in by_trust(workspace):
        truth = signals.disputed(workspace.labels(name), original)
        # A set that leaves out images whose label is wrong, as the expert one does, cannot tell the signals apart.
        if truth["disputed"].any() and not truth["disputed"].all():
            quality = signals.evaluate(found, truth).sort("average_precision", descending=True, nulls_last=True)
            break
    if signal is None:
        signal = quality["signal"][0] if quality.height else ("votes" if "votes" in found else next(iter(found)))
    if signal not in found:
        raise InputError(f"There is no signal {signal!r}. There are: {', '.join(found)}.")
    listed = signals.suspects(found[signal], signal, workspace.items(), original, workspace.classes())
    return listed, quality
