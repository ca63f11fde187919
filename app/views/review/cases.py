"""Cases: items on which readings differ or are no decision, readings side by side; the panel decides them here."""

from collections.abc import Mapping

import polars as pl
import streamlit as st

from analysis.errors import ErrataError
from analysis.review import log, readings, state
from analysis.review.kinds import PANEL_VERDICTS, Judgement, Note, Verdict
from analysis.review.queues import Queue
from app import access, reviewing
from app import state as page_state
from app.access import Action
from app.components.item import ItemCard, item_card
from app.components.outcomes import LOOKS
from app.frame import Frame, rows_of, tiles
from app.review_words import VERDICTS
from app.text import count, md_escape, plural

KINDS = {
    "disputed": "Readings differ",
    "undecided": "Unsure, or needs an expert",
    "new": "Newly valid",
    "decided": "Decided by the panel",
}
"""What brings an item before the panel, by its word in the address."""
CASE = "case"
"""The case on the screen, from 1, in the address."""
_REFUSED = "case-refused"


def found(consensus: pl.DataFrame, items: pl.DataFrame, kind: str) -> pl.DataFrame:
    """(item, class) of a kind, of a consensus (analysis.review.state.verdicts); `items` are the workspace's.

    Newly valid is what readers, and not yet the panel, hold valid beside the original label.
    """
    match kind:
        case "disputed":
            return consensus.filter(pl.col("state") == "disputed")
        case "undecided":
            return consensus.filter(pl.col("state").is_in(["unsure", "needs_expert"]))
        case "new":
            valid = consensus.filter((pl.col("state") == "valid") & ~pl.col("panel"))
            return valid.join(items.select("item", pl.col("label").alias("class")), on=["item", "class"], how="anti")
    return consensus.filter("panel")


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> pl.Series | None:
    """The cases of a queue or of all; `rows` is its part of the log. Returns the items that it lists."""
    known = frame.workspace.items().filter(~pl.col("missing"))
    consensus = state.verdicts(rows).join(known.select("item"), on="item", how="semi", maintain_order="left")
    cases = {kind: found(consensus, known, kind) for kind in KINDS}
    kind = st.segmented_control(
        "Cases",
        list(KINDS),
        default="disputed",
        required=True,
        format_func=lambda one: f"{KINDS[one]} ({count(cases[one]['item'].n_unique())})",
        key="cases",
        bind="query-params",
        label_visibility="collapsed",
    )
    listed = cases[kind or "disputed"]
    items = listed["item"].unique().sort()
    if not len(items):
        st.caption(_none(kind or "disputed"))
        return None
    place = min(max(page_state.read_int(CASE) or 1, 1), len(items))
    item = int(items[place - 1])
    left, right = st.columns(2, gap="large")
    with left:
        _picture(frame, items, place)
    with right:
        _readings(frame, rows, item)
        open_classes = listed.filter(item=item)["class"].to_list()
        if reviewing.may(Action.DECIDE, frame.workspace_id):
            _decide(frame, rows, queue, item, open_classes)
    return items


def _picture(frame: Frame, items: pl.Series, place: int) -> None:
    """The case's image; arrow keys go from case to case."""
    item = int(items[place - 1])
    row = rows_of(frame, [item]).row(0, named=True)

    def step(by: int) -> None:
        page_state.write(CASE, min(max(place + by, 1), len(items)))

    free = page_state.opened_item(frame.workspace.items().height) is None  # else the keys are the drawer's
    item_card(
        ItemCard(
            tile=tiles(frame, rows_of(frame, [item]))[0],
            place=f"case {count(place)} of {count(len(items))}",
            size=None if row["width"] is None else (row["width"], row["height"]),
        ),
        key="case-image",
        session=frame.session,
        has_previous=free and place > 1,
        has_next=free and place < len(items),
        on_step=step,
    )
    st.button(
        "Everything about this item",
        icon=":material/open_in_full:",
        type="tertiary",
        key="case-open",
        on_click=page_state.open_item,
        args=(item,),
    )


def _none(kind: str) -> str:
    return {
        "disputed": "No readings differ.",
        "undecided": "Nobody was unsure or asked for an expert.",
        "new": "No class was found valid beside the original labels.",
    }.get(kind, "The panel has decided nothing yet.")


def _readings(frame: Frame, rows: pl.DataFrame, item: int) -> None:
    """Who said what of each class: a line a class, a column a reader."""
    said = state.readings(rows.filter(pl.col("item") == item), "verdict")
    label = frame.workspace.items().item(item, "label")
    st.dataframe(
        side_by_side(said, frame.class_names, label),
        hide_index=True,
        key="case-readings",
        column_config={"class": st.column_config.TextColumn(width="medium", pinned=True)},
    )
    for row in rows.filter(pl.col("item") == item, pl.col("kind").is_in(["note", "outside", "cause"])).iter_rows(
        named=True
    ):
        about = "" if row["class"] is None else f" on {frame.class_names[row['class']]}"
        told = " ".join(str(part) for part in (row["value"], row["severity"]) if part)
        st.caption(f"{md_escape(row['person'])}{md_escape(about)}: {md_escape(told)}")


def side_by_side(said: pl.DataFrame, class_names: list[str], label: int | None) -> pl.DataFrame:
    """Readings of one item as people see them: class (the original label is marked), a column a reader, the panel's
    last."""
    readers = [*said.filter(~pl.col("panel"))["person"].unique().sort()]
    shown: dict[str, list[str | None]] = {name: [] for name in ("class", *map(_column, readers), "panel")}
    for index in said["class"].unique().sort():
        of_class = said.filter(pl.col("class") == index)
        words = {row["reader"]: verdict_words(row["value"]) for row in of_class.iter_rows(named=True)}
        shown["class"].append(class_names[index] + (" (label)" if index == label else ""))
        for reader in readers:
            shown[_column(reader)].append(words.get(reader))
        shown["panel"].append(words.get(None))
    table = pl.DataFrame(shown, schema=dict.fromkeys(shown, pl.String))
    return table if table["panel"].count() else table.drop("panel")


def _column(reader: str) -> str:
    return f"{reader} (person)" if reader in ("class", "panel") else reader


def verdict_words(value: str) -> str:
    """A verdict with its sign."""
    words, outcome = VERDICTS[value]
    return f"{LOOKS[outcome].sign} {words}"


# ---- deciding


def _decide(frame: Frame, rows: pl.DataFrame, queue: Queue | None, item: int, classes: list[int]) -> None:
    """The panel's word on the classes of a case, with its reason."""
    st.markdown("**The panel decides**")
    key = f"panel-{item}"
    chosen = {}
    for index in classes:
        chosen[index] = st.segmented_control(
            frame.class_names[index],
            list(PANEL_VERDICTS),
            format_func=verdict_words,
            key=f"{key}-{index}",
            help="Unclear: the panel found no consensus.",
        )
    st.text_area("Why", key=f"{key}-why", height=80, placeholder="The reason, for whoever asks later")
    decided = {index: verdict for index, verdict in chosen.items() if verdict}
    st.button(
        f"Decide {plural(len(decided), 'class', 'classes')}" if decided else "Decide",
        type="primary",
        icon=":material/gavel:",
        key=f"{key}-save",
        disabled=not decided,
        on_click=_save,
        args=(frame, queue, item, decided, f"{key}-why"),
    )
    if reason := st.session_state.pop(_REFUSED, None):
        st.error(md_escape(reason), icon=":material/error:")


def _save(frame: Frame, queue: Queue | None, item: int, decided: Mapping[int, str], why: str) -> None:
    """In a callback: the decisions go to the log as the panel's."""
    try:
        who = access.require(reviewing.person(), Action.DECIDE, frame.workspace_id)
        decide(frame, who.id, queue, item, decided, st.session_state.get(why, ""))
    except ErrataError as error:
        st.session_state[_REFUSED] = str(error)
        return
    st.toast(f"Decided: {plural(len(decided), 'class', 'classes')}.", icon=":material/gavel:")


def decide(
    frame: Frame, person: str, queue: Queue | None, item: int, decided: Mapping[int, str], why: str = ""
) -> None:
    """Write the panel's verdicts on an item's classes, recorded by `person`, with the reason as a note."""
    place = None if queue is None else readings.places(frame.workspace, queue, [item]).get(item)

    def judgement(says: Verdict | Note) -> Judgement:
        return Judgement(
            says=says,
            person=person,
            panel=True,
            queue=None if queue is None else queue.id,
            guideline=None if queue is None else queue.protocol.guideline,
            stratum=None if place is None else place.stratum,
            probability=None if place is None else place.probability,
        )

    said: list[Judgement] = [judgement(Verdict(item, index, verdict)) for index, verdict in decided.items()]  # type: ignore[arg-type]
    if why.strip():
        said += [judgement(Note(item, why.strip(), index)) for index in decided]
    log.append(frame.workspace, said)
