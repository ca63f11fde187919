"""What follows from judgements, and keeping them: agreement, scores after review, backup and restore."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say
from analysis.errors import InputError

if TYPE_CHECKING:
    from analysis.workspace import Workspace

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def queue_ids(workspace: "Workspace", names: list[str] | None) -> list[str] | None:
    """The ids of queues that are named, or given by their ids; None for all. Raises InputError naming those there."""
    from analysis.review import queues

    if not names:
        return None
    there = queues.listed(workspace)
    found = {queue.name: queue.id for queue in there} | {queue.id: queue.id for queue in there}
    if unknown := [name for name in names if name not in found]:
        known = ", ".join(queue.name for queue in there) or "none"
        raise InputError(f"{workspace.name} has no queue {unknown[0]!r}. It has: {known}.")
    return [found[name] for name in names]


@app.command("agreement")
def show_agreement(
    workspace: WorkspacePath,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Of this queue only; default: of all.")] = None,
    as_json: AsJson = False,
) -> None:
    """How far readers agree beyond chance: of verdicts, sets of valid classes, causes; by queue, class, pair, week."""
    from analysis.results import agreement
    from analysis.review import queues
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    ids = queue_ids(opened, None if queue is None else [queue])
    rows = agreement.rows_of(opened, ids[0] if ids else None)
    found = agreement.coefficients(rows.log)
    people = agreement.persons(rows)
    divided = agreement.splits(rows.log)
    if as_json:
        named = {one.id: one.name for one in queues.listed(opened)}
        kinds: dict[str, agreement.By] = {"queues": "queue", "classes": "class", "pairs": "pair", "weeks": "week"}
        groups: dict[str, Any] = {plural: agreement.by(rows.log, what).to_dicts() for plural, what in kinds.items()}
        for row in groups["queues"]:
            row["name"] = named.get(row["group"])
        for row in groups["classes"]:
            row["id"] = opened.classes().ids[int(row["group"])]
        told = {"queue": queue, "coefficients": found.to_dicts(), **groups}
        print(json.dumps(told | {"persons": people.to_dicts(), "splits": divided.to_dicts()}, allow_nan=False))
        return
    if not found["n"].sum():
        say("Nothing was read twice yet, blind and by different persons.")
        return
    for row in found.iter_rows(named=True):
        value = "–" if row["value"] is None else f"{row['value']:.3f}"
        between = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{row['of']:12}{row['measure']:28}{value:>8}  {between:18}n = {row['n']:,}")
    for row in people.iter_rows(named=True):
        others = "–" if row["with_others"] is None else f"{100 * row['with_others']:.1f} %"
        print(
            f"{row['person']}: {row['readings']:,} verdicts, with others {others}; decoys accepted "
            f"{row['decoys_accepted']:,} of {row['decoys']:,}; repeats judged alike {row['repeats_same']:,} of "
            f"{row['repeats']:,}"
        )
    say(f"Readers differ on {divided.height:,} (item, class). Only blind, independent first readings are counted.")


@app.command()
def rescore(
    workspace: WorkspacePath,
    base: Annotated[
        str, typer.Option(metavar="LABELSET", help="The label set that judgements stand in the place of.")
    ] = "original",
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A queue whose design counts; may come again. Default: all."),
    ] = None,
    slice_: Annotated[str | None, typer.Option("--slice", metavar="SLICE", help="Only the items of a slice.")] = None,
    changes: Annotated[
        str | None, typer.Option(metavar="RUN", help="The judgements behind each change of a run, in place of scores.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="A,B", help="The difference A - B of two runs, in place of scores.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="Up to this position of the review log; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every run's accuracies before and after the judgements so far: an estimate where the design allows one."""
    from analysis.results import rescore as results
    from analysis.results.frames import sliced
    from analysis.review import log
    from analysis.workspace import Workspace

    if sum(option is not None for option in (slice_, changes, compare)) > 1:
        raise InputError("Give one of --slice, --changes and --compare.")
    opened = Workspace.open(workspace)
    ids = queue_ids(opened, queue)
    told: dict[str, Any] = {
        "base": base,
        "queues": queue,
        "position": log.last(opened) if position is None else position,
    }
    if changes is not None:
        rows = results.changes(opened, changes, base, position)
        told["run"] = changes
    elif compare is not None:
        a, _, b = compare.partition(",")
        rows = results.compare_after(opened, a.strip(), b.strip(), base, ids, position)
        told |= {"a": a.strip(), "b": b.strip()}
    else:
        items = None if slice_ is None else sliced(opened, slice_)["item"].sort().to_numpy()
        rows = results.scores(opened, base, ids, position, items=items)
        told |= {"slice": slice_, "behind": results.behind(opened)}
    if as_json:
        print(json.dumps(told | {"rows": rows.to_dicts()}, allow_nan=False, default=str))
    elif changes is not None:
        for row in rows.iter_rows(named=True):
            after = "excluded" if row["after"] is None else "right" if row["after"] else "wrong"
            who, before = ", ".join(row["who"] or ()), "right" if row["before"] else "wrong"
            print(f"{row['key']!r}  {before} -> {after}  {who}  {row['when']:%Y-%m-%d %H:%M}")
        say(f"{rows.height:,} changes.")
    else:
        _print_scores(rows, told)


def _print_scores(rows: Any, told: dict[str, Any]) -> None:
    for row in rows.iter_rows(named=True):
        name = row.get("run") or f"{told['a']} - {told['b']}"
        if row["estimate"] is not None:
            after = f"{100 * row['estimate']:.1f} %"
            after += "" if row["low"] is None else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        else:
            after = f"{100 * row['bound_low']:.1f} to {100 * row['bound_high']:.1f} %: no estimate, {row['why']}"
        print(f"{name}  {row['metric']:12}{100 * row['before']:.1f} % -> {after}  n = {row['n']:,}")
    if rows.height:
        first = rows.row(0, named=True)
        if first["design"]:
            say(f"{first['design']}.")
        if first.get("n_excluded"):
            say(f"{first['n_excluded']:,} items are newly excluded; they count as before.")
    say(f"Before: {told['base']}. Intervals are of the draw of the queues only.")


@app.command("backup")
def take_backup(workspace: WorkspacePath, file: BackupFile) -> None:
    """Write all judgements, queues and slices to one file, while people work."""
    from analysis.database.backup import backup
    from analysis.workspace import Workspace

    told = backup(Workspace.open(workspace), file)
    rows = sum(told.rows.values())
    say(f"{file}: {rows:,} rows, the review log up to position {told.position:,}; read back and equal.")


@app.command("restore")
def restore_backup(
    workspace: WorkspacePath,
    file: BackupFile,
    force: Annotated[bool, typer.Option("--force", help="Drop what the workspace has and the backup has not.")] = False,
) -> None:
    """Put a backup in the place of a workspace's judgements, queues and slices."""
    from analysis.database.backup import restore
    from analysis.workspace import Workspace

    done = restore(Workspace.open(workspace), file, force=force)
    for name, n in done.dropped.items():
        say(f"{name}: {n:,} rows dropped that the backup has not.")
    say(
        f"Restored {sum(done.backup.rows.values()):,} rows of {done.backup.created}, position {done.backup.position:,}."
    )
