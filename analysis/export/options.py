"""What to export, as what, and where to: the same options for the command line, the pages and Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Copy = Literal["links", "copies", "zip"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which items go out with which labels, in which format."""

    to: Path
    """The folder to make. It must not exist, or be empty."""
    format: str
    """One of analysis.export.FORMATS."""
    slice: str = "all"
    """A slice's line; its order is the export's."""
    labels: str = "original"
    """The label set. `reviewed` is the team's own, made from the review log on `base`; a published label set of that
    name is meant where no base is given."""
    base: str | None = None
    """What `reviewed` starts from; None for `original`."""
    position: int | None = None
    """The position of the review log up to which `reviewed` goes; None for the newest."""
    run: str | None = None
    """The run that the slice's conditions are about; None for the one that pages show first."""
    lens: str | None = None
    """The label set that the slice's conditions are judged by; None for the exported one, or what it is based on."""
    copy: Copy = "links"
    """How an image folder gets its images: hard links, copies, or one zip file."""
    one_class: str = "original-first"
    """How a format of one class an item chooses it: one of analysis.export.one_class.RULES."""
