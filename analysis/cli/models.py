"""Commands that run models: evaluations and spaces."""

from typing import Annotated, Literal

import typer

from analysis.cli.base import Device, WorkspacePath, app, progress_bars, say, space_app


@app.command()
def evaluate(
    workspace: WorkspacePath,
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Such as timm:resnet50.a1_in1k.")],
    name: Annotated[str | None, typer.Option(help="The run's name; with one MODEL only.")] = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Images a batch; found out when not given.")] = None,
    scores: Annotated[
        Literal["auto", "full", "topk"], typer.Option(help="Keep all scores; auto: up to 200,000 items.")
    ] = "auto",
    among: Annotated[
        Literal["all", "present", "both"],
        typer.Option(help="Classes that compete: all of the model's, those present in the dataset, or a run of each."),
    ] = "all",
    seen: Annotated[
        Literal["yes", "no", "unknown"], typer.Option(help="Whether the model was trained on these images.")
    ] = "unknown",
) -> None:
    """Run models over the images: predictions and embeddings in one pass."""
    from analysis.evaluate import EvaluateOptions
    from analysis.evaluate import evaluate as evaluate_models
    from analysis.workspace import Workspace

    options = EvaluateOptions(
        name=name, device=device, precision=precision, batch=batch, scores=scores, among=among, seen=seen
    )
    with progress_bars() as progress:
        for run in evaluate_models(Workspace.open(workspace), models, options, progress=progress):
            made = run.manifest["inference"]
            say(f"{run.name}: {run.manifest['n']:,} items on {made['device']} in {made['seconds']:.0f} s.")


@space_app.command("build")
def build_space(
    workspace: WorkspacePath,
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="A model reference, as for evaluate.")],
    device: Device = "auto",
    anew: Annotated[bool, typer.Option(help="Make every step anew.")] = False,
) -> None:
    """Embeddings, index, projection and clusters; steps that are fresh are skipped."""
    from analysis.spaces import build
    from analysis.workspace import Workspace

    with progress_bars() as progress:
        space, steps = build(Workspace.open(workspace), encoder, device=device, anew=anew, progress=progress)
    made = ", ".join(f"{step} {how}" for step, how in steps.items())
    say(f"{space.name}: {len(space.items):,} vectors ({made}).")
