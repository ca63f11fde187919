"""The formats: a writer a file, and a line here. The order is that in which people are offered them."""

from analysis.export.formats import coco, hard_examples, huggingface, imagefolder, issues, multilabel_json, real_json
from analysis.export.formats.base import Format, Written
from analysis.export.formats.tables import CSV, JSONL, PARQUET

__all__ = ["FORMATS", "Format", "Written"]

_ALL = (
    PARQUET,
    CSV,
    JSONL,
    imagefolder.FORMAT,
    huggingface.FORMAT,
    coco.FORMAT,
    multilabel_json.FORMAT,
    real_json.FORMAT,
    issues.FORMAT,
    hard_examples.FORMAT,
)
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}
"""By name."""
