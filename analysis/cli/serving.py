"""Commands that show workspaces in the browser."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.cli.base import app, progress_bars, say


@app.command()
def serve(
    workspaces: Annotated[list[Path], typer.Argument(metavar="WS...", help="Workspaces to show.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
) -> None:
    """Show workspaces in the browser."""
    from app.server import serve as serve_workspaces

    serve_workspaces(workspaces, host=host, port=port)


@app.command()
def demo(
    workspace: Annotated[Path, typer.Argument(metavar="WS", help="Where to build it.")] = Path("demo"),
    dataset: Annotated[Literal["cutouts", "imagenette"], typer.Option(help="Which pictures.")] = "cutouts",
    stamps: Annotated[Path | None, typer.Option(help="Folder of Tux Paint's stamps, instead of fetching.")] = None,
    scenes: Annotated[int, typer.Option(help="How many scenes to compose.")] = 1500,
    seed: Annotated[int, typer.Option(help="Another seed, other scenes.")] = 0,
    then_serve: Annotated[bool, typer.Option("--serve", help="Serve it when it is built.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
) -> None:
    """Build the demo workspace: composed photographs, three real classifiers, and the whole truth."""
    from analysis.demo import build

    with progress_bars() as progress:
        made = build(workspace, dataset=dataset, stamps=stamps, scenes=scenes, seed=seed, progress=progress)
    say(f"The demo is ready in {made.path}.")
    if then_serve:
        serve([workspace], host, port)
