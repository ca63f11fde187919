"""Any table: a key column, a label column with one class or several, perhaps states and flags.

Columns: `state` (STATE_WORDS; no_valid_label and problematic speak of the whole item and need no label),
`exhaustive` (every class of the item was judged, though the set be open) and `problematic` (not scored).
"""

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.base import Content, Format, LabelFile, rows_of_states
from analysis.labels.formats.tables import KEY_COLUMNS, class_cells, find_column, item_numbers, yes_or_no

LABEL_COLUMNS = ("labels", "label", "classes", "class", "wnid", "class_id", "target")
STATE_COLUMN = "state"
# Words for states, those of the expert labels beside ours. The last two are states of an item, not of a class.
STATE_WORDS = {
    "valid": "valid", "correct": "valid",
    "unclear": "unclear",
    "rejected": "rejected", "wrong": "rejected",
    "no_valid_label": "no_valid_label", "none": "no_valid_label",
    "problematic": "problematic",
}  # fmt: skip


def recognises(content: Content) -> bool:
    return (
        isinstance(content, pl.DataFrame)
        and find_column(content, KEY_COLUMNS) is not None
        and find_column(content, LABEL_COLUMNS) is not None
    )


def read(frame: pl.DataFrame, items: pl.DataFrame, classes: ClassList, file: str) -> LabelFile:
    """A key may come again; a key without a label has an empty set."""
    key, label = find_column(frame, KEY_COLUMNS), find_column(frame, LABEL_COLUMNS)
    assert key is not None
    assert label is not None
    item, how = item_numbers(frame[key], items, f"{file}, column {key}")
    states = _states(frame, file)
    found = class_cells(frame[label], classes, f"{file}, column {label}")
    labels = rows_of_states(item, found, states).filter(~pl.col("state").is_in(["no_valid_label", "problematic"]))
    flags = {"item": item, "no_valid_label": states == "no_valid_label", "problematic": states == "problematic"}
    if "problematic" in frame.columns:
        flags["problematic"] |= yes_or_no(frame["problematic"], f"{file}, column problematic")
    if "exhaustive" in frame.columns:
        flags["exhaustive"] = yes_or_no(frame["exhaustive"], f"{file}, column exhaustive")
    known = pl.DataFrame(flags).group_by("item", maintain_order=True).agg(pl.all().any())
    _refuse_contradictions(labels, known, items, file)
    return LabelFile(labels, known.drop("no_valid_label"), {"keys_matched_by": how})


def _states(frame: pl.DataFrame, file: str) -> pl.Series:
    if STATE_COLUMN not in frame.columns:
        return pl.repeat("valid", frame.height, eager=True)
    words = frame[STATE_COLUMN].cast(pl.String).str.strip_chars().str.to_lowercase()
    words = words.str.replace_all(r"[ -]", "_")
    unknown = ~words.is_in(list(STATE_WORDS)).fill_null(False)
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise InputError(
            f"{file}, column {STATE_COLUMN}: row {row + 1} has {frame[STATE_COLUMN][row]!r}; a state is one of "
            f"{', '.join(STATE_WORDS)}."
        )
    return words.replace_strict(STATE_WORDS)


def _refuse_contradictions(labels: pl.DataFrame, known: pl.DataFrame, items: pl.DataFrame, file: str) -> None:
    none = known.filter("no_valid_label")
    both = labels.filter(pl.col("state") == "valid").join(none, on="item", how="semi")
    if both.height:
        key = items.filter(pl.col("item") == both["item"][0])["key"][0]
        raise InputError(f"{file}: {key!r} has a valid label and is no_valid_label too. Correct one of them.")


FORMAT = Format("table", recognises, read, absent="wrong")
