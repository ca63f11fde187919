"""Compare: is B truly better than A, and on what? Two runs here; all runs at once in `compare_many`."""

from dataclasses import dataclass

import polars as pl
import streamlit as st

from analysis import comparison
from analysis.comparison import VERDICTS, Comparison, LabelSetContrast
from analysis.results import comparisons as results
from analysis.results.standings import facts
from analysis.slices import Condition, OneOf
from analysis.workspace import Workspace
from app import comparison_words as words
from app.charts.comparison import ForestRow, forest
from app.charts.runs import outcome_bars
from app.charts.shown import chart
from app.frame import Frame
from app.population import Population, describe, open_items, open_where, population
from app.text import count, md_escape, plural
from app.views import compare_many
from app.views.flip_table import flip_table

GROUPS = 20
"""Groups that the forest plot shows, those with most flips."""


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    runs = frame.workspace.run_names()
    if len(runs) < 2:
        there = "There is one run" if runs else "There is no run yet"
        st.markdown(f"**{there}; comparing needs two.**")
        st.caption("Evaluate a model with `errata evaluate`, or import predictions with `errata runs import`.")
        return None
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with line:
        how = st.segmented_control(
            "Compare",
            ["two", "many"],
            default="two",
            required=True,
            key="compare",
            bind="query-params",
        )
    about = population(frame)
    if how == "many":
        return compare_many.show(frame, about, line)
    with line:
        a, b = _choose_pair(frame, runs)
    if a == b:
        st.markdown(f"**{md_escape(a)} is compared with itself: nothing differs.** Choose another run as B.")
        return None
    pair = _pair(frame.workspace, frame.version, a, b, frame.lens.labels, about.key, about)
    _sentence(frame, about, pair)
    if not pair.found.n:
        return None
    shown = flip_table(frame, about, pair.found, pair.paired)
    left, right = st.columns(2, gap="large")
    with left:
        _label_sets(frame, pair)
    with right:
        _outcomes(frame, about, pair)
    _groups(frame, about, pair)
    return shown


# ---- which two


def _choose_pair(frame: Frame, runs: list[str]) -> tuple[str, str]:
    """A and B: the lens's run and the best other one, until somebody chooses."""
    a = _choose("a", runs, frame.lens.run or runs[0])
    st.button("Swap", icon=":material/swap_horiz:", on_click=_swap, key="swap", help="A becomes B, and B becomes A.")
    return a, _choose("b", runs, _other(frame.workspace, frame.workspace.version, a, frame.lens.labels) or a)


def _choose(key: str, runs: list[str], first: str) -> str:
    """A select box of runs; while it stands at its default it follows that, which may hang on other boxes."""
    stood = f"compare_default_{key}"
    if st.session_state.get(key, "") == st.session_state.get(stood, first) != first:
        st.session_state[key] = first
    st.session_state[stood] = first
    return st.selectbox(key.upper(), runs, runs.index(first), key=key, bind="query-params", width=300)


@st.cache_resource(max_entries=256, show_spinner=False)
def _other(_workspace: Workspace, version: str, run: str, labels: str) -> str | None:
    return results.other_run(_workspace, run, labels)


def _swap() -> None:
    st.session_state["a"], st.session_state["b"] = st.session_state["b"], st.session_state["a"]


@dataclass(frozen=True, eq=False)
class Pair:
    """All that the page says of two runs under one label set, on one population."""

    found: Comparison
    paired: pl.DataFrame
    undecided: list[int]
    """Items whose judgement could change the verdict."""
    differences: pl.DataFrame
    contrasts: dict[str, LabelSetContrast]
    outcomes: pl.DataFrame


@st.cache_resource(max_entries=32, show_spinner=False)
def _pair(_workspace: Workspace, version: str, a: str, b: str, labels: str, key: str, _about: Population) -> Pair:
    within = _about.items
    paired = results.paired_runs(_workspace, a, b, labels, within=within)
    return Pair(
        results.compare_runs(_workspace, a, b, labels, within=within),
        paired,
        comparison.could_change_the_verdict(paired)["item"].to_list(),
        results.differences(_workspace, a, b, within=within),
        results.contrasts(_workspace, a, b, labels, within=within),
        results.outcomes_of_pair(_workspace, a, b, labels, paired),
    )


def _sentence(frame: Frame, about: Population, pair: Pair) -> None:
    found = pair.found
    st.markdown(f"{words.headline(found)} {words.elsewhere(pair.differences, found)}")
    marks = dict(facts(frame.workspace).select("run", "mark").iter_rows())
    if caution := words.easier([(run, marks[run]) for run in (found.a, found.b)]):
        st.caption(f":material/info: {caution}")
    describe(about)
    if pair.undecided:
        n = len(pair.undecided)
        st.button(
            f"Open the {plural(n, 'item')} that could change the verdict",
            icon=":material/gavel:",
            key="undecided",
            help="The two predict different classes, and nobody judged one of them. Saved as a slice, to be reviewed.",
            on_click=open_items,
            args=(frame, pair.undecided, f"could change {found.a} or {found.b} by {found.labels}"),
        )


# ---- under every label set


def _label_sets(frame: Frame, pair: Pair) -> None:
    rows = pair.differences.filter(pl.col("n") > 0)
    st.subheader(
        "Under each label set",
        help="A − B with its paired 95 % interval, each on the items that the label set scores. The wide pale bar: how "
        "far judging the unjudged predictions could move it. Click one to look through that label set.",
    )

    def look() -> None:
        points = st.session_state["differences"]["selection"]["points"]
        if points and points[0].get("customdata"):
            st.session_state["labels"] = points[0]["customdata"][0].rpartition(" · ")[0]

    drawn = [
        ForestRow(
            key=f"{row['labels']} · {row['mean']}",
            name=f"{row['labels']}, {row['mean']}",
            difference=row["difference"],
            low=row["low"],
            high=row["high"],
            side=count(row["n"]),
            hover=_difference_words(row),
            bound_low=row["bound_low"],
            bound_high=row["bound_high"],
        )
        for row in rows.iter_rows(named=True)
    ]
    chart(
        forest(drawn, side="n"),
        lambda: _in_points(rows, ["difference", "low", "high", "bound_low", "bound_high"]),
        key="differences",
        alt="Difference of the two runs under each label set; the same numbers are in its table.",
        on_select=look,
    )
    for other, contrast in pair.contrasts.items():
        st.caption(words.contrast(frame.lens.labels, other, contrast))


def _difference_words(row: dict) -> str:
    lines = [f"{row['labels']}, {row['mean']}", f"A − B = {words.signed(row['difference'])} points"]
    if row["low"] is not None:
        lines[1] += f" ({words.signed(row['low'])} to {words.signed(row['high'])})"
    if row["bound_low"] != row["bound_high"]:
        lines.append(f"if all were judged: {words.signed(row['bound_low'])} to {words.signed(row['bound_high'])}")
    return "\n".join([*lines, f"n = {count(row['n'])}"])


def _in_points(rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return rows.with_columns((100 * pl.col(columns)).round(3))


# ---- outcomes and groups


def _outcomes(frame: Frame, about: Population, pair: Pair) -> None:
    found = pair.found
    st.subheader(
        f"Outcomes under *{md_escape(found.labels)}*",
        help="Why each first prediction counts as it does, on the items compared. Click a piece to see its images.",
    )

    def open_outcome() -> None:
        points = st.session_state["pair-outcomes"]["selection"]["points"]
        if not points or points[0]["y"] not in (found.a, found.b):
            return
        run = points[0]["y"]
        other = found.b if run == found.a else found.a
        outcome, right, unjudged = points[0]["customdata"]
        conditions: list = [Condition(f"outcome@{run}", outcome), Condition(f"right@{run}", str(right).lower())]
        conditions.append(Condition(f"unjudged@{run}", str(unjudged).lower()))
        if found.n_only_a or found.n_only_b:  # the bars are of the items of both
            conditions.append(OneOf(f"verdict@{other}", tuple(VERDICTS.categories)))
        open_where(about, conditions, run)

    chart(
        outcome_bars(pair.outcomes, [found.a, found.b]),
        lambda: pair.outcomes.rename({"is_right": "right", "total": "of"}),
        key="pair-outcomes",
        alt="Outcomes of both runs side by side; the same numbers are in its table.",
        on_select=open_outcome,
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _group_items(_workspace: Workspace, version: str, by: str, labels: str, space: str | None) -> pl.DataFrame:
    return results.groups_of_pair(_workspace, by, labels, space=space)


@st.cache_resource(max_entries=16, show_spinner=False)
def _choices(_workspace: Workspace, version: str, a: str, b: str) -> list[str]:
    return results.groupings_of_pair(_workspace, a, b)


def _groups(frame: Frame, about: Population, pair: Pair) -> None:
    workspace, found = frame.workspace, pair.found
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with line:
        st.subheader(
            "Flips by group",
            width="stretch",
            help="A − B within each group, those with most flips first. Each interval stands for itself: of twenty "
            "groups without a difference one excludes zero by chance. Click one to see its flips.",
        )
        by = st.selectbox(
            "Group by",
            _choices(workspace, workspace.version, found.a, found.b),
            key="flips_by",
            bind="query-params",
            width=260,
            label_visibility="collapsed",
        )
    groups = _group_items(workspace, workspace.version, by, found.labels, frame.lens.space)
    rows = comparison.flips(pair.paired, groups)
    top = rows.filter(pl.col("only_a_wrong") + pl.col("only_b_wrong") > 0).head(GROUPS)
    if top.is_empty():
        st.caption("No item flips.")
        return

    def open_group() -> None:
        points = st.session_state["flips"]["selection"]["points"]
        if points and points[0].get("customdata"):
            group = points[0]["customdata"][0]
            items = comparison.flipped(pair.paired, groups, group)
            open_items(frame, items, f"{group}: flips of {found.a} and {found.b} by {found.labels}")

    drawn = [
        ForestRow(
            key=row["group"],
            name=row["group"],
            difference=row["difference"],
            low=row["low"],
            high=row["high"],
            side=f"{count(row['only_a_wrong'])} | {count(row['only_b_wrong'])} of {count(row['n'])}",
            hover=f"{row['group']}\n{_flip_words(row)}",
        )
        for row in top.iter_rows(named=True)
    ]
    chart(
        forest(drawn, side="only A wrong | only B wrong"),
        lambda: _in_points(rows, ["difference", "low", "high"]),
        key="flips",
        alt="Difference of the two runs by group; the same numbers are in its table.",
        on_select=open_group,
    )
    told = f"{count(top.height)} of {plural(rows.height, 'group')}; all are in the numbers."
    if by.startswith(results.OUTCOME_OF):
        told += " A run's outcome decides whether it is right: read the counts here, not the differences."
    st.caption(told)


def _flip_words(row: dict) -> str:
    interval = "" if row["low"] is None else f" ({words.signed(row['low'])} to {words.signed(row['high'])})"
    return (
        f"A − B = {words.signed(row['difference'])} points{interval}\nonly A wrong {count(row['only_a_wrong'])}, "
        f"only B wrong {count(row['only_b_wrong'])} of {count(row['n'])}"
    )
