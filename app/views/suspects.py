"""Suspects: which labels are wrong? Signals with their measured quality, and the labels that they doubt."""

import math
from dataclasses import replace

import polars as pl
import streamlit as st

from analysis.details import exemplars
from analysis.errors import InputError
from analysis.results import suspects
from analysis.results.suspects import Saying
from analysis.slices import Items, Slice
from analysis.workspace import Workspace
from app import state
from app.charts.shown import chart
from app.charts.suspects import HEIGHT, precision_line
from app.components.rows import ClassExamples, MistakeRow, mistake_rows
from app.frame import Frame, open_slice, rows_of, tiles
from app.outcome_words import look
from app.paging import page_number
from app.text import count, md_escape, percent, plural

PAGE_SIZE = 20
EXAMPLES = 3
FIRST = 100
"""How long the list is that the sentence speaks of, and that the button opens at first."""
MOST_CLASSES = 4


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    workspace = frame.workspace
    if not workspace.run_names() and not workspace.space_names():
        st.markdown("**Wrong labels are found by models, and there is no run and no space yet.**")
        st.caption(
            "Evaluate a model with `errata evaluate`, import predictions with `errata runs import`, or embed the "
            "images with `errata space build`."
        )
        return None
    against = _measure(workspace, workspace.version, frame.lens.labels)
    try:
        best, quality = _found(workspace, workspace.version, None, against)
    except InputError as error:
        st.markdown(f"**No label can be suspected here.** {md_escape(error)}")
        return None
    names = quality["signal"].to_list()
    first = best["signal"][0]
    signal = st.session_state.get("signal", st.query_params.get("signal"))
    listed = best if signal not in names else _found(workspace, workspace.version, signal, against)[0]
    listed = listed.join(frame.chosen.select("item"), on="item", how="semi", maintain_order="left")
    curve = None if against is None else suspects.precision_of(workspace, listed, against)
    st.markdown(sentence(frame, listed, curve, quality, against))
    _remarks(frame, against)
    chosen = signal if signal in names else first
    if curve is None or curve.height < 2 or against is None:
        _signals(quality, chosen, against)
    else:
        left, right = st.columns([3, 2], gap="medium")
        with left:
            _signals(quality, chosen, against)
        with right:
            _precision(frame, listed, curve, against)
    _list(frame, listed, names, first, against)
    return listed["item"]


# ---- what is computed once for all sessions; `version` tells workspaces and their states apart


@st.cache_resource(max_entries=32, show_spinner="Asking the models which labels they doubt …")
def _found(
    _workspace: Workspace, version: str, signal: str | None, against: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    return suspects.suspected_errors(_workspace, signal=signal, against=against)


@st.cache_resource(max_entries=32, show_spinner=False)
def _measure(_workspace: Workspace, version: str, labels: str) -> str | None:
    """The label set that measures the signals: the lens's, where it can tell them apart."""
    return labels if suspects.tells(_workspace, labels) else suspects.telling(_workspace)


# ---- in words


def sentence(
    frame: Frame, listed: pl.DataFrame, curve: pl.DataFrame | None, quality: pl.DataFrame, against: str | None
) -> str:
    """How many of the first suspects a better label set confirms, and which signal to trust, as Markdown."""
    if frame.chosen.is_empty():
        return "**No item fulfils all conditions.** Take one away above."
    if listed.is_empty():
        return "**No signal speaks of these items.**"
    labels = plural(listed.height, "label")
    if against is None:
        return (
            f"**{labels}, the most suspicious first.** No second label set disputes some of the original labels and "
            "keeps others, so it is not known how good any signal is here."
        )
    name = md_escape(against)
    if curve is None or curve.is_empty():
        return f"**{labels}, the most suspicious first;** none of them is scored by *{name}*."
    n = min(FIRST, curve["length"][-1])
    top = curve.filter(length=n).row(0, named=True)
    share, hits = percent(top["precision"], top["low"], top["high"]), count(round(top["disputed"]))
    everywhere = curve.row(-1, named=True)
    rate = f"{percent(everywhere['precision'])} of all {count(everywhere['length'])}"
    signal = md_escape(listed["signal"][0])
    text = (
        f"**Of the {plural(n, 'label')} scored by *{name}* that *{signal}* doubts most, it disputes {hits}** ({share})"
    )
    return f"{text}, against {rate}. {_trust(quality, against)}"


def _trust(quality: pl.DataFrame, against: str) -> str:
    """Which signals proved best here: of all, of those that learnt from no label set, of single runs."""
    ranked = quality.filter(pl.col("average_precision").is_not_null())
    if ranked.is_empty():
        return ""

    def named(row: dict[str, object]) -> str:
        return f"*{md_escape(row['signal'])}* (average precision {row['average_precision']:.3f})"

    learnt = suspects.LEARNT.format(labels=against)
    best, plain = ranked.row(0, named=True), ranked.filter(pl.col("signal") != learnt)
    text = f"Trust {named(best)} most here"
    if best["signal"] == learnt and plain.height:
        text += f"; of those that learnt from no label set, {named(plain.row(0, named=True))}"
    baseline = ranked.filter(pl.col("signal").str.starts_with("1 - p(t) of "))
    if baseline.height and plain["signal"][0] != baseline["signal"][0]:
        text += f". The baseline, one model's doubt, reaches {baseline['average_precision'][0]:.3f}"
    return f"{text}."


def _remarks(frame: Frame, against: str | None) -> None:
    """Which label set measures, and what a reader of its verdicts must know."""
    if against is None:
        return
    labels, name, said = frame.lens.labels, md_escape(against), []
    if labels not in (against, "original"):
        said.append(f"*{md_escape(labels)}* does not dispute some labels and keep others, so *{name}* measures here.")
    if note := frame.workspace.labels(against).note:
        said.append(f"*{name}*: {md_escape(note)}")
    if said:
        st.caption(" ".join(said))


# ---- signals


def _signals(quality: pl.DataFrame, signal: str, against: str | None) -> None:
    numbers = quality["n"].unique()
    said = "" if against is None else f" against *{md_escape(against)}*"
    if against is not None and len(numbers) == 1:
        said += f", n = {count(numbers[0])}"
    st.subheader(
        f"Signals{said}",
        help="How well each signal finds the labels that the label set disputes, among all items: average precision "
        "(by chance the base rate), AUROC (by chance 0.5), and how many of the first 100 and 1,000 are disputed. A "
        "combination that learnt from the label set is cross-fitted: no item's own answer enters its score. Where "
        "models proposed the classes that the label set judged, agreement with models is partly circular. Select a "
        "row to rank by it.",
    )
    table = quality.select(
        "signal", "average_precision", "auroc", pl.col("precision_at_100", "precision_at_1000") * 100, "n", "note"
    )
    learnt = None if against is None else suspects.LEARNT.format(labels=against)
    if not (quality.filter(pl.col("signal").ne_missing(pl.lit(learnt)))["note"] != "").any():
        table = table.drop("note")
    if against is None:
        table = table.select("signal", *(name for name in table.columns if name == "note"))
    elif len(numbers) == 1:
        table = table.drop("n")
    row = table["signal"].index_of(signal)

    def select() -> None:
        chosen = st.session_state[key]["selection"]["rows"]
        if chosen and chosen[0] < table.height:
            st.session_state["signal"] = table["signal"][chosen[0]]
            st.session_state["suspects"] = 1

    # The key holds the signal, so that the row marked is the one chosen, wherever that was done.
    key = f"signals-{signal}"
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=select,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if row is None else [row]}},
        height=HEIGHT if table.height > 7 else "content",
        column_config={
            "signal": st.column_config.TextColumn(width=226),
            "average_precision": number("AP", format="%.3f", width=52, help="Average precision."),
            "auroc": number("AUROC", format="%.3f", width=64),
            "precision_at_100": number("of 100", format="%.1f %%", width=64, help="Disputed of the first 100."),
            "precision_at_1000": number("of 1000", format="%.1f %%", width=68, help="Disputed of the first 1000."),
            "n": number(width=60, help="Items that the label set scores and the signal speaks of."),
        },
    )


def _precision(frame: Frame, listed: pl.DataFrame, curve: pl.DataFrame, against: str) -> None:
    st.subheader(
        "How long a list stays precise",
        help="Of the first n suspects of this slice that the label set scores, the share that it disputes, with "
        "Wilson's 95 % interval. Click a point to open the first n.",
    )

    def open_point() -> None:
        points = st.session_state["precision"]["selection"]["points"]
        if points and isinstance(n := points[0].get("customdata"), int):
            _open(frame, suspects.scored(frame.workspace, listed, against).head(n))

    chart(
        precision_line(curve, curve["precision"][-1], against),
        lambda: curve,
        key="precision",
        alt="Share of disputed labels among the first suspects; the same numbers are in its table.",
        on_select=open_point,
    )


def _open(frame: Frame, listed: pl.DataFrame) -> None:
    """In a callback: Browse, on these suspects alone."""
    open_slice(frame, str(Slice((Items(tuple(listed["item"].to_list())),))))


# ---- the list


def _list(frame: Frame, listed: pl.DataFrame, names: list[str], first: str, against: str | None) -> None:
    pages = max(1, math.ceil(listed.height / PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox("Ranked by", names, names.index(first), key="signal", bind="query-params", width=260)
        if listed.height:
            most = frame.rows.height
            n = st.number_input("The first", 1, most, min(FIRST, most), key="first", bind="query-params", width=120)
            chosen = listed.head(int(n or 1))
            st.button("Open in Browse", icon=":material/grid_view:", on_click=_open, args=(frame, chosen))
        st.space("stretch")
        number = page_number(pages, "suspects")
    _rows(frame, listed.slice((number - 1) * PAGE_SIZE, PAGE_SIZE), against)


def _rows(frame: Frame, shown: pl.DataFrame, against: str | None) -> None:
    workspace = frame.workspace
    items = shown["item"].to_list()
    rows = rows_of(frame, items)
    index = {identifier: place for place, identifier in enumerate(workspace.classes().ids)}
    labels = rows["target"].to_list()
    others = [-1 if identifier is None else index[identifier] for identifier in shown["suggested"]]
    examples = {}
    if workspace.image_root is not None:
        examples = exemplars(frame.rows, sorted({*labels, *others} - {-1}), EXAMPLES + 1)
    votes = [suspects.backing(workspace, items, classes) for classes in (labels, others)]
    verdicts = suspects.verdicts(workspace, against or frame.lens.labels, items, others)
    sayings = suspects.sayings(workspace, items)
    found = []
    for place, tile in enumerate(tiles(frame, rows)):
        label, other = labels[place], others[place]
        name = None if other < 0 else frame.class_names[other]
        outcome = None if against is None else look(*verdicts[place])
        found.append(
            MistakeRow(
                role="suggested",
                tile=replace(tile, prediction=name, outcome=outcome),
                label=_examples(frame, examples, tile.item, label, _runs(*votes[0][place])),
                predicted=_examples(frame, examples, tile.item, other, _runs(*votes[1][place])),
                evidence=[
                    f"Score {shown['score'][place]:.3f}",
                    *(say(one, frame.class_names) for one in sayings[place]),
                ],
            )
        )
    mistake_rows(
        found,
        key="suspect-rows",
        session=frame.session,
        selected=state.opened_item(workspace.items().height),
        empty="No suspects among these items.",
        on_open=state.open_item,
    )


def _runs(votes: int, runs: int) -> str:
    return f"{votes} of {plural(runs, 'run')}" if runs else ""


def _examples(frame: Frame, examples: dict[int, list[int]], suspect: int, index: int, text: str) -> ClassExamples:
    """A class beside its exemplars, the suspect not among them; without pixels there is nothing to see."""
    if index < 0:
        return ClassExamples("no other class", [], "", none="")
    if index not in examples:
        return ClassExamples(frame.class_names[index], [], text, none="")
    others = [item for item in examples[index] if item != suspect][:EXAMPLES]
    return ClassExamples(frame.class_names[index], tiles(frame, rows_of(frame, others)), text)


def say(saying: Saying, class_names: list[str]) -> str:
    """What a label set says of a suspect, as plain text."""
    if saying.keeps is None:
        return f"– {saying.labels} does not score this image."
    named = [class_names[index] for index in saying.others[:MOST_CLASSES]]
    if len(saying.others) > MOST_CLASSES:
        named.append(f"{len(saying.others) - MOST_CLASSES} more")
    if saying.keeps:
        return f"✓ {saying.labels} keeps the label" + (f"; also valid: {', '.join(named)}." if named else ".")
    return f"✗ {saying.labels} disputes the label" + (f"; valid: {', '.join(named)}." if named else ".")
