"""Formats of label files, one a module; the first that recognises a file's content reads it."""

from analysis.labels.formats import expert, plain, real, suggestions
from analysis.labels.formats.base import Content, Format, LabelFile

# A table of suggestions may hold a column `label` too, so it comes before the plain table.
FORMATS = (expert.TABLE, expert.JSON, real.FORMAT, suggestions.FORMAT, plain.FORMAT)

__all__ = ["FORMATS", "Content", "Format", "LabelFile"]
