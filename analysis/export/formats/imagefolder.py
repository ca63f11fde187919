"""A folder of images with a folder for each class, as torchvision's ImageFolder reads it; one class an item.

    images/CLASS/FILE    hard links or copies; or images.zip with CLASS/FILE
    items.parquet        every item that is in, with its states, its class and its file

A file whose size is no longer the workspace's is left out; copies and zip compare the content's hash too.
"""

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import polars as pl

from analysis.errors import InputError
from analysis.export import one_class
from analysis.export.formats.base import Format, Written, left_out, write_parquet
from analysis.export.names import base_name, file_name, folder_names, is_read_by_imagefolder
from analysis.export.options import Copy, ExportOptions
from analysis.export.subset import Subset
from analysis.progress import Progress
from analysis.thumbnails import ImageProblem, inside, read_verified

IMAGES = "images"
_TOLD_EVERY = 200
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)

Put = Callable[[Path, str, str, str], None]
"""(source, content hash, class folder, file name): put an image into place. Raises ImageProblem."""


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """Raises InputError for a dataset without pixels, and where the file system makes no hard links."""
    root = subset.workspace.image_root
    if root is None:
        raise InputError(f"{subset.workspace.name} has no images; take a format of labels, such as parquet.")
    if options.one_class not in one_class.RULES:
        raise InputError(f"There is no rule {options.one_class!r}. There are: {', '.join(one_class.RULES)}.")
    if options.copy not in get_args(Copy):
        raise InputError(f"Images come as {', '.join(get_args(Copy))}; not {options.copy!r}.")
    rule = one_class.RULES[options.one_class]
    folders = folder_names(subset.workspace.classes().ids)
    lost: list[pl.DataFrame] = []
    done = 0

    def parts(put: Put) -> Iterator[pl.DataFrame]:
        nonlocal done
        for part in subset.chunks():
            placed = _named(one_class.chosen(part, rule), folders, shared)
            reasons = []
            for row in placed.select("path", "hash", "bytes", "folder", "file", "reason").iter_rows(named=True):
                reasons.append(row["reason"] or _put(root, row, put))
                done += 1
                if done % _TOLD_EVERY == 0:
                    progress("Images", done, subset.n)
            placed = placed.with_columns(reason=pl.Series(reasons, dtype=pl.String))
            lost.append(placed.filter(pl.col("reason").is_not_null()))
            kept = placed.filter(pl.col("reason").is_null())
            yield _table(subset, kept)
        progress("Images", subset.n, subset.n)

    shared = _shared(subset)
    with ExitStack() as stack:
        n = write_parquet(parts(_putter(options.copy, folder, stack)), folder / "items.parquet")
    used = subset.workspace.classes().ids
    details = {
        "one_class": {"rule": options.one_class, "what": rule.what},
        "copy": options.copy,
        "checked": "size of each file" if options.copy == "links" else "content of each file",
        "class_folders": {class_id: name for class_id, name in zip(used, folders, strict=True) if class_id != name},
    }
    return Written(n, left_out(lost), details, (IMAGES,))


def _shared(subset: Subset) -> pl.Series:
    """Base names, in lower case, that more than one item has: they get the item's number in front."""
    names = subset.items["path"].drop_nulls().str.extract(r"([^/\\]*)$").str.to_lowercase()
    return names.filter(names.is_duplicated()).unique()


def _named(part: pl.DataFrame, folders: list[str], shared: pl.Series) -> pl.DataFrame:
    """With bytes, the class's folder, the file's name, and a reason where there can be no file."""
    doubled = set(shared.to_list())
    files = [
        None if path is None else file_name(item, path, base_name(path).lower() in doubled)
        for item, path in part.select("item", "path").iter_rows()
    ]
    no_file = (
        pl.when(pl.col("path").is_null()).then(pl.lit("no image"))
        .when(pl.col("problem").is_not_null() | pl.col("hash").is_null())
        .then(pl.concat_str(pl.lit("its image cannot be read: "), pl.col("problem").fill_null("it has no hash")))
        .when(~pl.Series([file is not None and is_read_by_imagefolder(file) for file in files], dtype=pl.Boolean))
        .then(pl.lit("a kind of file that ImageFolder does not read"))
    )  # fmt: skip
    return part.with_columns(
        folder=pl.Series(folders, dtype=pl.String).gather(part["one"]),
        file=pl.Series(files, dtype=pl.String),
        reason=pl.coalesce(no_file, "reason"),
    )


def _put(root: Path, row: dict, put: Put) -> str | None:
    """Put one image into place; the reason where that cannot be."""
    try:
        # Links follow to the file itself: a hard link to a symbolic link would be one.
        source = Path(os.path.realpath(inside(root, row["path"])))
        if source.stat().st_size != row["bytes"]:
            return "the file has changed since it was read into the workspace"
        put(source, row["hash"], row["folder"], row["file"])
    except ImageProblem as problem:
        return str(problem)
    except FileNotFoundError:
        return "the file is no longer there"
    return None


def _putter(copy: str, folder: Path, stack: ExitStack) -> Put:
    if copy == "zip":
        archive = stack.enter_context(zipfile.ZipFile(folder / f"{IMAGES}.zip", "w", zipfile.ZIP_STORED))

        def put_zipped(source: Path, content_hash: str, class_folder: str, file: str) -> None:
            archive.writestr(
                zipfile.ZipInfo(f"{class_folder}/{file}", _FIRST_DATE), read_verified(source, content_hash)
            )

        return put_zipped

    def place(class_folder: str, file: str) -> Path:
        made = folder / IMAGES / class_folder
        made.mkdir(parents=True, exist_ok=True)
        return made / file

    def put_copied(source: Path, content_hash: str, class_folder: str, file: str) -> None:
        data = read_verified(source, content_hash)
        place(class_folder, file).write_bytes(data)

    def put_linked(source: Path, content_hash: str, class_folder: str, file: str) -> None:
        target = place(class_folder, file)
        try:
            os.link(source, target)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError(
                f"No hard link to {source} can be made here ({error.strerror}). Choose a folder on the same file "
                f"system, or copies or zip instead of links."
            ) from error

    (folder / IMAGES).mkdir()
    return put_copied if copy == "copies" else put_linked


def _table(subset: Subset, kept: pl.DataFrame) -> pl.DataFrame:
    ids = subset.ids(kept)
    classes = pl.Series(subset.workspace.classes().ids, dtype=pl.String)
    columns = [name for name in ids.columns if name not in (*subset.metadata, "one", "reason")]
    return ids.with_columns(classes.gather(kept["one"]).alias("class")).select(*columns, "class", *subset.metadata)


FORMAT = Format("imagefolder", "Folder of images, a folder for each class", write)
