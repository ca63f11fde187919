"""Commands about what tells the causes of mistakes: import it, show it with its quality, go back to the default."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.cli.base import AsJson, WorkspacePath, app, say

causes_app = typer.Typer(help="What tells the causes of mistakes.", no_args_is_help=True)
app.add_typer(causes_app, name="causes")

File = Path | None


@causes_app.command("import")
def import_causes(
    workspace: WorkspacePath,
    superclasses: Annotated[
        File, typer.Option(metavar="FILE", help="Superclass of each class: superclass, class and perhaps name.")
    ] = None,
    merges: Annotated[File, typer.Option(metavar="FILE", help="Classes that count as one: class and into.")] = None,
    atypical: Annotated[
        File, typer.Option(metavar="FILE", help="Keys of images that are atypical of their class.")
    ] = None,
    judgements: Annotated[
        File, typer.Option(metavar="FILE", help="A panel's: key, prediction, category and perhaps severity.")
    ] = None,
    basis: Annotated[str | None, typer.Option(help="Who or what the files rest on, in words.")] = None,
) -> None:
    """Take files in place of the rules that causes of mistakes are told by."""
    from analysis.imports import import_causes as import_tables
    from analysis.workspace import Workspace

    given = {"superclasses": superclasses, "merges": merges, "atypical": atypical, "judgements": judgements}
    files = {rule: file for rule, file in given.items() if file is not None}
    for stored in import_tables(Workspace.open(workspace), files, basis=basis):
        say(f"{stored.name}: {stored.manifest['rows']:,} rows, {stored.basis}.")


@causes_app.command("show")
def show_causes(
    workspace: WorkspacePath,
    labels: Annotated[
        str | None, typer.Option(help="The label set that mistakes are judged by; default: the most telling.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Each rule, what it rests on, and how good it proved on what is known."""
    from analysis.results.causes import told
    from analysis.results.trust import better_labels
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    name = labels or better_labels(opened) or "original"
    rows = told(opened, name)
    if as_json:
        print(json.dumps({"labels": name, "causes": rows}, allow_nan=False))
        return
    for row in rows:
        print(f"{row['outcome']:22}{row['basis']}")
        if quality := _in_words(row["quality"]):
            print(f"{'':22}{quality}")


@causes_app.command("remove")
def remove_causes(
    workspace: WorkspacePath,
    rules: Annotated[
        list[str], typer.Argument(metavar="RULE...", help="superclasses, merges, atypical or judgements.")
    ],
) -> None:
    """Go back to what held before a file was imported."""
    from analysis.cause_files import RULES, checked
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    for rule in checked(rules):
        removed = opened.withdraw_cause(rule)
        say(f"{rule}: {'removed' if removed else 'no file was imported'}; what holds: {RULES[rule].replaces}.")


def _in_words(quality: dict[str, Any]) -> str:
    parts = []
    if "judged" in quality:
        parts.append(
            f"a panel judged {quality['judged']:,} mistakes so, the rule says so of {quality['told']:,}, "
            f"both of {quality['agree']:,}"
        )
    if "known" in quality:
        parts.append(
            f"of {quality['n_same']:,} pairs known to be the same {quality['joined']:,} are joined, of "
            f"{quality['n_different']:,} known to be different {quality['parted']:,} are parted ({quality['known']})"
        )
    return "; ".join(parts)
