"""Exports: a slice's items with the labels of a label set, written for other tools, with a receipt and a datasheet.

    from analysis.export import ExportOptions, export

    export(workspace, ExportOptions(to=Path("out"), format="parquet", slice="right=false", labels="expert"))

Everything is written into a folder beside the wanted one, which is renamed when all is there. How to add a format: a
module in `formats` and a line in its `FORMATS`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.artefacts import explaining, staging, write_atomically
from analysis.errors import InputError
from analysis.export.datasheets import datasheet
from analysis.export.formats import FORMATS, Format
from analysis.export.formats.tables import write_csv
from analysis.export.options import Copy, ExportOptions
from analysis.export.receipts import DATASHEET, LEFT_OUT, README, RECEIPT, described, listing, receipt
from analysis.export.subset import REVIEWED, Subset, subset
from analysis.progress import Progress, silent
from analysis.workspace import Workspace

__all__ = [
    "FORMATS",
    "REVIEWED",
    "Copy",
    "ExportOptions",
    "Exported",
    "Format",
    "Subset",
    "export",
    "preview",
    "subset",
]


@dataclass(frozen=True)
class Exported:
    """An export that is done."""

    folder: Path
    receipt: dict[str, Any]


def export(workspace: Workspace, options: ExportOptions, progress: Progress = silent) -> Exported:
    """Write an export; either all of it is there in the end or nothing.

    Raises InputError for options that cannot be and for a folder that holds something, WorkspaceError for a run or
    label set that does not exist, and ErrataError in words where the disk refuses.
    """
    format = chosen_format(options)
    to = options.to.expanduser().absolute()
    _refuse_taken(to)
    chosen = subset(workspace, options)
    if not chosen.n:
        raise InputError(f"The slice {str(chosen.slice) or 'all'} holds no items: there is nothing to export.")
    with staging(to.parent) as folder:
        written = format.write(chosen, folder, options, progress)
        if written.left_out.height:
            write_csv(iter([written.left_out.sort("item")]), folder / LEFT_OUT)
        told = receipt(chosen, format, written)
        about = datasheet(chosen, told)
        (folder / DATASHEET).write_text(about, encoding="utf-8")
        if format.readme is not None:
            (folder / README).write_text(format.readme(about), encoding="utf-8")
        told |= listing(folder, written.not_listed)
        write_atomically(folder / RECEIPT, json.dumps(told, indent=1, ensure_ascii=False, default=str).encode())
        _refuse_taken(to)
        with explaining(to):
            folder.rename(to)  # onto an empty folder at most: the file system refuses any other
    return Exported(to, told)


def preview(workspace: Workspace, options: ExportOptions) -> dict[str, Any]:
    """What the receipt of an export would say, as far as it is known before anything is written."""
    return described(subset(workspace, options), chosen_format(options))


def chosen_format(options: ExportOptions) -> Format:
    """The format of the options. Raises InputError naming those that there are."""
    if options.format not in FORMATS:
        raise InputError(f"There is no format {options.format!r}. There are: {', '.join(FORMATS)}.")
    return FORMATS[options.format]


def _refuse_taken(to: Path) -> None:
    with explaining(to):
        if to.is_symlink() or (to.exists() and not to.is_dir()):
            raise InputError(f"{to} is no folder. Choose another place.")
        if to.is_dir() and any(to.iterdir()):
            raise InputError(f"{to} is not empty, and nothing is ever overwritten. Choose a new folder.")
