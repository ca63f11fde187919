"""Suggested label errors, as cleanlab writes them: key, given_label, predicted_label, is_label_issue, label_score.

Nobody has looked at these images. A label that is no issue is valid; where it is one, the suggested label is valid
and the given one unclear: an algorithm's doubt rejects nothing.
"""

import polars as pl

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.formats.base import Content, Format, LabelFile, refuse_twice, rows_of_states
from analysis.labels.formats.tables import KEY_COLUMNS, class_cells, find_column, item_numbers, yes_or_no

SUGGESTED_COLUMNS = ("suggested_label", "predicted_label", "suggested", "guessed_label", "corrected_label")
GIVEN_COLUMNS = ("given_label", "given", "original_label", "original")
ISSUE_COLUMNS = ("is_label_issue", "is_issue", "label_issue")
NOTE = (
    "Suggestions of an algorithm, which nobody has judged: where it takes the given label for an error, its "
    "suggestion counts as valid and the given label as unclear."
)


def recognises(content: Content) -> bool:
    return (
        isinstance(content, pl.DataFrame)
        and find_column(content, KEY_COLUMNS) is not None
        and find_column(content, SUGGESTED_COLUMNS) is not None
    )


def read(frame: pl.DataFrame, items: pl.DataFrame, classes: ClassList, file: str) -> LabelFile:
    """Without an issue column every row is an issue; without a given label the workspace's own is taken."""
    key, suggested = find_column(frame, KEY_COLUMNS), find_column(frame, SUGGESTED_COLUMNS)
    given, flag = find_column(frame, GIVEN_COLUMNS), find_column(frame, ISSUE_COLUMNS)
    assert key is not None
    assert suggested is not None
    item, how = item_numbers(frame[key], items, f"{file}, column {key}")
    refuse_twice(item, frame[key], file)
    issue = pl.repeat(True, frame.height, eager=True)
    if flag is not None:
        issue = yes_or_no(frame[flag], f"{file}, column {flag}")
    rows = pl.DataFrame({"item": item})
    own = rows.join(_own_labels(items), on="item", how="left", maintain_order="left")["class"]
    given_cells = own if given is None else class_cells(frame[given], classes, f"{file}, column {given}")
    differ = int((given_cells.list.first() != own.list.first()).sum())
    if differ > frame.height / 2:
        raise InputError(
            f"{file}, column {given}: {differ:,} of {frame.height:,} given labels are not the workspace's. The "
            f"file is of another version of the dataset, or its classes are numbered by another class list."
        )
    suggested_cells = class_cells(frame[suggested], classes, f"{file}, column {suggested}")
    state = issue.replace_strict({True: "unclear", False: "valid"})
    labels = [rows_of_states(item, given_cells, state)]
    labels.append(rows_of_states(item.filter(issue), suggested_cells.filter(issue), "valid"))
    record = {"keys_matched_by": how, "issues": int(issue.sum()), "given_labels_that_differ": differ}
    return LabelFile(pl.concat(labels), pl.DataFrame({"item": item}), record)


def _own_labels(items: pl.DataFrame) -> pl.DataFrame:
    label = pl.col("label") if "label" in items.columns else pl.lit(None)
    return items.select("item", label.cast(pl.UInt32).reshape((-1, 1)).arr.to_list().alias("class"))


FORMAT = Format("suggestions", recognises, read, absent="unjudged", note=NOTE)
