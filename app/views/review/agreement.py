"""Agreement of a queue's readers or of all: coefficients, groups, each person, and the way to what splits them."""

from collections.abc import Callable
from functools import partial

import polars as pl
import streamlit as st

from analysis.results import agreement, review_log
from analysis.results.agreement import By
from analysis.results.review_log import Tip
from analysis.review import agreement as measures
from analysis.review import queues
from analysis.review.kinds import VERDICTS
from analysis.review.queues import Queue
from analysis.slices import Items, Slice
from analysis.workspace import Workspace
from app import reviewing
from app.charts.review import coefficient_dots
from app.charts.shown import chart
from app.frame import Frame, open_slice
from app.text import count, percent, plural

GROUPS: dict[By, str] = {"pair": "pair of readers", "class": "class", "queue": "queue", "week": "week"}


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> None:
    """Agreement of a queue or of all; `rows` is its part of the log, as far as this person may see it."""
    workspace = frame.workspace
    hidden = tuple(sorted(reviewing.hidden_queues(workspace, frame.workspace_id)))
    key = (workspace.version, review_log.tip(workspace), None if queue is None else queue.id, hidden)
    found = _coefficients(workspace, *key)
    st.markdown(sentence(found))
    measured = found.filter(pl.col("value").is_not_null())
    if measured.height:
        left, right = st.columns(2, gap="large")
        with left:
            _chart(measured)
        with right:
            _groups(frame, rows, key)
    _persons(_people(workspace, *key))


# ---- what is computed once for all sessions until the log grows


def _rows(workspace: Workspace, queue: str | None, hidden: tuple[str, ...]) -> agreement.Rows:
    found = agreement.rows_of(workspace, queue)
    return agreement.Rows(reviewing.seen_by_person(found.log, hidden), found.decoys)


@st.cache_resource(max_entries=32, show_spinner="Measuring agreement …")
def _coefficients(
    _workspace: Workspace, version: str, tip: Tip, queue: str | None, hidden: tuple[str, ...]
) -> pl.DataFrame:
    return agreement.coefficients(_rows(_workspace, queue, hidden).log)


@st.cache_resource(max_entries=64, show_spinner="Measuring agreement …")
def _by(
    _workspace: Workspace, version: str, tip: Tip, queue: str | None, hidden: tuple[str, ...], what: By
) -> pl.DataFrame:
    return agreement.by(_rows(_workspace, queue, hidden).log, what)


@st.cache_resource(max_entries=32, show_spinner=False)
def _people(_workspace: Workspace, version: str, tip: Tip, queue: str | None, hidden: tuple[str, ...]) -> pl.DataFrame:
    return agreement.persons(_rows(_workspace, queue, hidden))


# ---- in words


def sentence(found: pl.DataFrame) -> str:
    """How far readers agree beyond chance, as Markdown; `found` as analysis.results.agreement.COEFFICIENTS_SCHEMA."""
    values = {(row["of"], row["measure"]): row for row in found.iter_rows(named=True)}
    raw, alpha = values["verdict", "raw"], values["verdict", "alpha nominal"]
    if not raw["n"]:
        return (
            "**Nothing was read twice, blind, by two people: there is no agreement to measure.** "
            "Only blind first readings count."
        )
    text = (
        f"**Two readers agree on {percent(raw['value'], raw['low'], raw['high'])}** of "
        f"{plural(raw['n'], 'verdict')} that both gave (item and class)"
    )
    if alpha["value"] is None:
        return f"{text}; all say the same, so nothing can be said beyond chance."
    sets = values["valid set", "alpha MASI"]
    more = "" if sets["value"] is None else f", on whole sets of valid classes {number_words(sets)} (MASI)"
    return f"{text}; beyond chance α is **{number_words(alpha)}**{more}."


def number_words(row: dict[str, float | None]) -> str:
    """A coefficient with its interval: 0.77 (0.68 to 0.85)."""
    if row["value"] is None:
        return "–"
    if row["low"] is None or row["high"] is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


# ---- the parts


def _chart(found: pl.DataFrame) -> None:
    st.subheader(
        "Coefficients",
        help="Krippendorff's alpha, Fleiss' kappa: 1 all agree, 0 as by chance. Raw: share of pairs of readings that "
        "agree; it is high by itself where nearly all verdicts are alike. Category and severity only where all said "
        "wrong. 95 % intervals by bootstrap of items. Sources: Krippendorff, Content Analysis; Passonneau 2006 (MASI).",
    )
    chart(
        coefficient_dots(found),
        lambda: found,
        key="coefficients",
        alt="Agreement coefficients with their intervals; the same numbers are in their table.",
    )


def _groups(frame: Frame, rows: pl.DataFrame, key: tuple[str, Tip, str | None, tuple[str, ...]]) -> None:
    """Agreement within groups; a row opens the items on which its readers differ."""
    st.subheader("Who differs, and where", help="Select a row to open the images on which its readers differ.")
    what = st.selectbox(
        "By",
        list(GROUPS),
        format_func=GROUPS.__getitem__,
        key="agreement-by",
        bind="query-params",
        width=220,
        label_visibility="collapsed",
    )
    found = _by(frame.workspace, *key, what).sort("alpha", "group", nulls_last=True)
    names = _names(frame, what)
    table = f"agreement-rows-{what}"

    def open_group() -> None:
        chosen = st.session_state[table]["selection"]["rows"]
        if chosen:
            items = split_items(rows, what, found["group"][chosen[0]])
            if len(items):
                open_slice(frame, str(Slice((Items(tuple(items)),))))
            else:
                st.toast("Its readers differ on no image.", icon=":material/info:")

    st.dataframe(
        found.select(
            pl.col("group").map_elements(names, pl.String).alias(GROUPS[what]),
            raw=100 * pl.col("raw"),
            alpha="alpha",
            low="alpha_low",
            high="alpha_high",
            kappa="kappa",
            n="n",
        ).select(pl.exclude("kappa") if found["kappa"].is_null().all() else pl.all()),
        hide_index=True,
        key=table,
        on_select=open_group,
        selection_mode="single-row",
        column_config={
            "raw": st.column_config.NumberColumn("raw, %", format="%.1f"),
            **{name: st.column_config.NumberColumn(format="%.2f") for name in ("alpha", "low", "high", "kappa")},
            "n": st.column_config.NumberColumn(help="(item, class) with two readings or more."),
        },
    )


def _names(frame: Frame, what: By) -> Callable[[str], str]:
    """Names of groups as people read them."""
    if what == "class":
        return lambda group: frame.class_names[int(group)]
    if what == "queue":
        named = {queue.id: queue.name for queue in queues.listed(frame.workspace)}
        return lambda group: named.get(group, group)
    return lambda group: group


def split_items(rows: pl.DataFrame, what: By, group: str) -> list[int]:
    """Items on which the readers of a group differ, sorted."""
    first = measures.first_readings(rows)
    match what:
        case "class":
            first = first.filter(pl.col("class") == int(group))
        case "queue":
            first = first.filter(pl.col("queue") == group)
        case "pair":
            people = first["person"].unique().to_list()
            pair = next(([a, b] for a in people for b in people if f"{a} & {b}" == group), [])
            first = first.filter(pl.col("person").is_in(pair))
        case "week":
            week = pl.col("time").max().over("item", "class").dt.truncate("1w").dt.date().cast(pl.String)
            first = first.filter(week == group)
    return measures.splits(first, VERDICTS)["item"].unique().sort().to_list()


def _persons(found: pl.DataFrame) -> None:
    st.subheader(
        "Each reader",
        help="With others: share of verdicts that another reader of the same gave too. Decoys: near classes that "
        "nobody proposed; to take one for valid is a slip, or a find. Again: items shown again unknowingly.",
    )
    if found.is_empty():
        st.caption("No blind reading so far.")
        return
    st.dataframe(pl.DataFrame(list(map(person_words, found.iter_rows(named=True)))), hide_index=True)


def person_words(row: dict[str, object]) -> dict[str, str]:
    """A row of analysis.results.agreement.PERSONS_SCHEMA as people read it."""
    share = partial(_share_words, row)
    agrees, low, high = (row[name] for name in ("with_others", "with_others_low", "with_others_high"))
    return {
        "reader": str(row["person"]),
        "verdicts": count(int(str(row["readings"]))),
        "agree with others": "–" if agrees is None else f"{percent(agrees, low, high)}, n = {row['pairs']}",  # type: ignore[arg-type]
        "decoys called valid": share("decoys_accepted", "decoys"),
        "same verdict again": share("repeats_same", "repeats"),
    }


def _share_words(row: dict[str, object], hits: str, of: str) -> str:
    n = int(str(row[of]))
    if not n:
        return "–"
    got = int(str(row[hits]))
    low, high = float(str(row[f"{of}_low"])), float(str(row[f"{of}_high"]))
    return f"{count(got)} of {count(n)}: {percent(got / n)} ({100 * low:.0f} to {100 * high:.0f})"
