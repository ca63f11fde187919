"""The drawer: one item with everything known about it, from anywhere, without losing the place."""

from functools import partial

import polars as pl
import streamlit as st

from analysis.details import ItemDetails, RunRow, item_details, neighbours
from analysis.outcomes import evidence
from analysis.results.outcomes import accepting, causes
from app import judged, state
from app.components import item as component
from app.components.item import Candidate, ItemCard, LabelChip, LabelRow, item_card
from app.components.outcomes import Outcome
from app.frame import WISH, Frame, go_to, rows_of, space_index, tiles
from app.outcome_words import ENDS, because, look
from app.text import count, percent

NEIGHBOURS = 8
WIDTH = 760
_STATE_LOOKS: dict[str, Outcome] = {
    "valid": "right",
    "unclear": "unclear",
    "rejected": "wrong",
    "wrong": "wrong",
    "unjudged": "unjudged",
}


def show(frame: Frame, listed: pl.Series | None) -> None:
    """Open the drawer when the address names an item; `listed` are the items to step through, in the page's order."""
    if _item(frame) is not None:
        order = frame.chosen["item"] if listed is None else listed
        drawer = st.dialog("Item", width=WIDTH, position="right", on_dismiss=state.close_item)
        drawer(partial(_content, frame, order))()


def _item(frame: Frame) -> int | None:
    """The item that the address names; None for none, or one that is gone."""
    item = state.opened_item(frame.workspace.items().height)
    return None if item is None or rows_of(frame, [item]).is_empty() else item


def _content(frame: Frame, order: pl.Series) -> None:
    # A dialog runs again by itself, with the arguments of its first run: what changes is read from the address.
    item = _item(frame)
    if item is None or WISH in st.session_state:
        st.rerun()
    assert item is not None  # st.rerun ends the run
    place = order.index_of(item)

    def step(by: int) -> None:
        if place is not None:
            state.open_item(int(order[min(max(place + by, 0), len(order) - 1)]))

    item_card(
        item_content(frame, item, "" if place is None else f"{count(place + 1)} of {count(len(order))}"),
        key="item-card",
        session=frame.session,
        has_previous=place is not None and place > 0,
        has_next=place is not None and place + 1 < len(order),
        on_open=state.open_item,
        on_step=step,
        on_similar=_show_similar,
        on_judge=partial(judged.judge_item, frame) if judged.may_judge(frame) else None,
    )


def _show_similar(item: int) -> None:
    """Leave for Browse, sorted by similarity to the item."""
    go_to("browse", like=item)


def item_content(frame: Frame, item: int, place: str) -> ItemCard:
    """Everything the drawer says of an item, in words; `place` is where it stands in what the page lists."""
    details = item_details(frame.workspace, item, frame.lens.labels)
    row = rows_of(frame, [item]).row(0, named=True)
    similar: list[tuple[int, float]] = []
    if frame.lens.space is not None:
        index = space_index(frame.workspace, frame.workspace.version, frame.lens.space)
        similar = neighbours(index, item, NEIGHBOURS)
    similarity = dict(similar)
    tile = tiles(frame, rows_of(frame, [item]))[0]
    judgements, judgements_note = judged.judgement_rows(frame, item)
    return ItemCard(
        tile=tile,
        sentence=outcome_sentence(frame, row),
        outcome=look(row["right"], row["unjudged"]),
        place=place,
        labels=[
            LabelRow(
                one.labels,
                [LabelChip(frame.class_names[index], state_of) for index, state_of in one.classes],  # type: ignore[arg-type]
                _label_note(one.known, one.scored, bool(one.classes)),
            )
            for one in details.label_rows
        ],
        # The lens's run first.
        runs=[_run(frame, one) for one in sorted(details.run_rows, key=lambda one: one.run != frame.lens.run)],
        judgements=judgements,
        judgements_note=judgements_note,
        metadata=_metadata(frame, details, row["cluster"]),
        neighbours=tiles(
            frame, rows_of(frame, similarity), note=lambda near: f"{similarity[int(str(near['item']))]:.3f}"
        ),
        neighbours_note="" if frame.lens.space is None else f"by {frame.lens.space}",
        size=None if row["width"] is None else (row["width"], row["height"]),
    )


def outcome_sentence(frame: Frame, row: dict[str, object]) -> str:
    """The outcome with its evidence: what was predicted, what the label is, what the label set holds."""
    if row["outcome"] is None or row["prediction"] is None:
        return ""
    predicted = frame.class_names[int(str(row["prediction"]))]
    label = "no label" if row["target"] is None else frame.class_names[int(str(row["target"]))]
    labels = f"“{frame.lens.labels}”"
    end = ENDS.get(str(row["outcome"]), "{labels} does not hold the prediction valid.").format(labels=labels)
    if row["unjudged"]:
        end = f"nobody judged the prediction in {labels}."
    if row["outcome"] == "correct":
        return f"Predicted {predicted}, which is the label; {end}"
    sets = accepting(frame.workspace, frame.lens.labels), causes(frame.workspace, frame.lens.labels)
    why = evidence(rows_of(frame, [int(str(row["item"]))]), *sets).row(0, named=True)
    return f"Predicted {predicted}; label {label}; {end} {because(why, frame.class_names, frame.lens.labels)}".strip()


def _label_note(known: bool, scored: bool, said: bool) -> str:
    if not known:
        return "does not know this image"
    if not scored:
        return "not scored" if said else "no valid class: not scored"
    return ""


def _run(frame: Frame, row: RunRow) -> component.RunRow:
    ordinals = ("1st", "2nd", "3rd", "4th", "5th")
    candidates = []
    for rank, guess in enumerate(row.guesses):
        ranked = ordinals[rank] if rank < len(ordinals) else f"{rank + 1}th"
        text = percent(guess.probability) if guess.probability is not None else ranked
        if guess.probability is None and guess.score is not None:
            text = f"{guess.score:.2f}"
        candidates.append(
            Candidate(frame.class_names[guess.index], text, guess.probability, _STATE_LOOKS.get(guess.state))
        )
    note = "" if candidates else "no prediction for this image"
    return component.RunRow(row.run, candidates, current=row.run == frame.lens.run, note=note)


def _metadata(frame: Frame, details: ItemDetails, cluster: int | None) -> list[tuple[str, str]]:
    found = [("key", details.key), *details.metadata.items()]
    if cluster is not None:
        found.append(("cluster", str(cluster)))
    if details.problem:
        found.append(("problem", details.problem))
    return found
