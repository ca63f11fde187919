"""What every command uses: the app, its options in common, progress, and lines for people."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from analysis.progress import Progress

app = typer.Typer(
    name="errata",
    help="Browse an image dataset and find out which model mistakes are real.\n\n"
    "Start with `errata demo --serve`, or with your own images: `errata create my-workspace --images DIR`, "
    "`errata evaluate my-workspace timm:resnet50`, `errata serve my-workspace`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
runs_app = typer.Typer(help="Predictions of models.", no_args_is_help=True)
labels_app = typer.Typer(help="Label sets: who says which classes are valid.", no_args_is_help=True)
space_app = typer.Typer(help="Embeddings with their index, map and clusters.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(labels_app, name="labels")
app.add_typer(space_app, name="space")

console = Console(stderr=True, highlight=False)

WorkspacePath = Annotated[Path, typer.Argument(metavar="WS", help="The workspace's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Device = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")]


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress on the terminal's error stream; where that is no terminal, a line for each tenth."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
            tasks: dict[str, int] = {}

            def show(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

            yield show
    else:
        told: dict[str, int] = {}

        def tell(what: str, done: int, total: int | None) -> None:
            tenth = 10 * done // total if total else 0
            if told.get(what) != tenth:
                told[what] = tenth
                print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)

        yield tell


def say(text: str) -> None:
    """A line for people on the error stream; standard output carries results only."""
    console.print(text, markup=False, soft_wrap=True)
