"""Errata's library: everything the pages can do, without the pages.

    import analysis

    val = analysis.new("val", table="labels.csv", classes="imagenet-1k").import_runs("logits", order="imagefolder")
    val.report()

Importing it costs nothing: what a question needs is loaded when it is asked, and torch only to run models.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.workspace import Workspace

__all__ = ["new", "open"]


def open(path: str | Path) -> "Workspace":
    """The workspace in a folder, as it is now. Raises WorkspaceError when it is none, or of a newer format."""
    from analysis.workspace import Workspace

    return Workspace.open(path)


def new(
    path: str | Path,
    *,
    images: str | Path | None = None,
    layout: str = "auto",
    table: str | Path | None = None,
    key: str | None = None,
    label: str | None = None,
    classes: str | Path | None = None,
    labels_from: str | Path | None = None,
) -> "Workspace":
    """Make a workspace of a folder of images, a table or both, or read its dataset again.

    The options are those of `errata create` (analysis.datasets.DatasetOptions). Raises InputError and WorkspaceError.
    """
    from analysis.create import create
    from analysis.datasets import DatasetOptions

    options = DatasetOptions(
        images=_path(images),
        layout=layout,
        table=_path(table),
        key=key,
        label=label,
        classes=None if classes is None else str(classes),
        labels_from=_path(labels_from),
    )
    return create(str(path), options)[0]


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
