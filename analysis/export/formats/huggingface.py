"""A Hugging Face dataset on disk: Parquet files that carry their features, and a card.

`datasets.load_dataset(DIR)` reads it; the package is not needed to write it. Labels are ClassLabel features whose names
are the class ids. Where there are pixels, each image is in the files themselves.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from analysis.export.formats.base import NOTHING_LEFT_OUT, Format, Written, told, write_parquet
from analysis.export.options import ExportOptions
from analysis.export.subset import CHUNK, Subset
from analysis.progress import Progress
from analysis.thumbnails import ImageProblem, inside, read_verified

SPLIT = "items"
IMAGES_AT_ONCE = 100
"""Items of a row group with images: what a reader of one item must load."""
IMAGES_A_FILE = 5_000
_CLASSES = ("valid", "unclear", "rejected", "decided", "disputed")


def write(subset: Subset, folder: Path, options: ExportOptions, progress: Progress) -> Written:
    """An item whose image cannot be read is in it without, and is listed."""
    root = subset.workspace.image_root
    lost = [NOTHING_LEFT_OUT]
    size, a_file = (CHUNK, CHUNK) if root is None else (IMAGES_AT_ONCE, IMAGES_A_FILE)

    def table(parts: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for part in parts:
            for rows in part.iter_slices(size):
                if root is None:
                    yield rows
                else:
                    shown, missing = _with_images(rows, root)
                    lost.append(missing)
                    yield shown

    parts = told(subset.chunks(a_file), "Writing", subset.n, progress)
    for number, part in enumerate(parts):
        schema = _schema(part, subset, root is not None)
        write_parquet(table(iter([part])), folder / f"{SPLIT}-{number:05d}.parquet", schema=schema)
    missing = pl.concat(lost)
    details = {"load": "datasets.load_dataset(DIR)", "images": "within" if root is not None else "none"}
    return Written(subset.n, missing, details)


def card(datasheet: str) -> str:
    """README.md: what `datasets` must know, and the datasheet."""
    data_files = f"  - split: {SPLIT}\n    path: {SPLIT}-*.parquet"
    return f"---\nconfigs:\n- config_name: default\n  data_files:\n{data_files}\n---\n\n{datasheet}"


def _with_images(rows: pl.DataFrame, root: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with `image` (bytes and path; null where it cannot be read), and item, key, reason of those without."""
    images: list[dict[str, Any] | None] = []
    reasons: list[str | None] = []
    for path, content_hash, trouble in rows.select("path", "hash", "problem").iter_rows():
        image, reason = None, None
        try:
            if path is None or content_hash is None or trouble is not None:
                raise ImageProblem(trouble or "there is none", "unreadable")
            image = {"bytes": read_verified(inside(root, path), content_hash), "path": path}
        except ImageProblem as problem:
            reason = f"in it without its image: {problem}"
        images.append(image)
        reasons.append(reason)
    column = pl.Series("image", images, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String}))
    told_of = rows.with_columns(column, reason=pl.Series(reasons, dtype=pl.String))
    missing = told_of.filter(pl.col("reason").is_not_null()).select("item", "key", "reason")
    return told_of.select("image", *rows.columns), missing


def _schema(part: pl.DataFrame, subset: Subset, images: bool) -> pa.Schema:
    """The Arrow schema of a file with its features in the metadata, where `datasets` looks for them.

    It takes a feature only where the column's type is exactly the one that it would have chosen for it.
    """
    label = {"names": subset.workspace.classes().ids, "_type": "ClassLabel"}
    fields: list[pa.Field] = []
    features: dict[str, Any] = {}
    if images:
        fields.append(pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()})))
        features["image"] = {"_type": "Image"}
    for field in part.head(0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema:
        name, kind = field.name, _storage(field.type)
        if name == "original":
            kind, features[name] = pa.int64(), label
        elif name in _CLASSES:
            kind, features[name] = pa.list_(pa.int64()), {"feature": label, "_type": "Sequence"}
        fields.append(pa.field(name, kind))
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _storage(kind: pa.DataType) -> pa.DataType:
    """The type without the large variants and dictionaries that polars writes."""
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_storage(kind.value_type))
    if pa.types.is_dictionary(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return kind


FORMAT = Format("huggingface", "Hugging Face dataset: Parquet with features, images within", write, card)
