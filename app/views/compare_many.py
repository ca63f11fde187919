"""All runs at once, a part of Compare: every pair, how alike they are, what they are wrong about together."""

import contextlib
from collections.abc import Sequence

import numpy as np
import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException

from analysis.many_runs import Agreement, Member
from analysis.results import comparisons, many_runs
from analysis.results.many_runs import Kinship
from analysis.results.standings import facts
from analysis.slices import Range
from analysis.workspace import Workspace
from app import comparison_words as words
from app import state
from app.charts.agreement import square_map, staircase, wrong_together
from app.charts.shown import chart
from app.components.gallery import gallery
from app.frame import Frame, lens_column, rows_of, tiles
from app.population import Population, describe, open_where
from app.text import count, md_escape, percent, plural

THUMBNAILS = 12


def show(frame: Frame, about: Population, line: DeltaGenerator) -> pl.Series | None:
    """This part of the page; `line` is where the choice of runs goes."""
    workspace = frame.workspace
    with line:
        chosen = st.multiselect(
            "Runs",
            workspace.run_names(),
            key="runs",
            bind="query-params",
            placeholder="All runs",
            select_all=False,
        )
    runs = _ranked(workspace, workspace.version, frame.lens.labels)
    if len(chosen) > 1:
        runs = [run for run in runs if run in chosen]
    pairs = _pairs(workspace, workspace.version, frame.lens.labels, tuple(runs), about.key, about)
    st.markdown(words.all_pairs(pairs, frame.lens.labels))
    if len(chosen) == 1:
        st.caption("One run is no pair: all are compared. Choose two or more.")
    marks = dict(facts(workspace).select("run", "mark").iter_rows())
    if caution := words.easier([(run, marks[run]) for run in runs]):
        st.caption(f":material/info: {caution}")
    describe(about)
    left, right = st.columns(2, gap="large")
    with left:
        _agreement(workspace, runs, about)
    with right:
        _orders(workspace, runs, about)
        _ensemble(frame, runs, about)
    _pair_table(pairs)
    shown = _shared(frame, about)
    left, _ = st.columns(2, gap="large")
    with left:
        _spaces(workspace)
    return shown


# ---- shared between sessions


@st.cache_resource(max_entries=16, show_spinner=False)
def _ranked(_workspace: Workspace, version: str, labels: str) -> list[str]:
    """All runs, the most accurate first: the first of a pair is then mostly the better one."""
    return comparisons.accuracies(_workspace, labels)["run"].to_list()


@st.cache_resource(max_entries=16, show_spinner=False)
def _pairs(
    _workspace: Workspace, version: str, labels: str, runs: tuple[str, ...], key: str, _about: Population
) -> pl.DataFrame:
    return many_runs.compare_every_pair(_workspace, labels, runs=runs, within=_about.items)


@st.cache_resource(max_entries=16, show_spinner=False)
def _agreements(
    _workspace: Workspace, version: str, runs: tuple[str, ...], key: str, _about: Population
) -> tuple[Agreement, list[int]]:
    return many_runs.agreement(_workspace, runs=runs, within=_about.items)


@st.cache_resource(max_entries=16, show_spinner=False)
def _stability(
    _workspace: Workspace, version: str, runs: tuple[str, ...], key: str, _about: Population
) -> pl.DataFrame:
    return many_runs.order_by_labels(_workspace, runs=runs, within=_about.items)


@st.cache_resource(max_entries=8, show_spinner=False)
def _kinship(_workspace: Workspace, version: str) -> Kinship:
    return many_runs.spaces_alike(_workspace)


@st.cache_resource(max_entries=8, show_spinner=False)
def _ensembles(version: str) -> dict[tuple, list[Member]]:
    """The ensembles that somebody had built, by label set, runs and population."""
    return {}


# ---- pairs


def _compare(a: str, b: str) -> None:
    """In a callback: look at two of the runs."""
    st.session_state["compare"] = "two"
    for key, run in (("a", a), ("b", b)):
        st.session_state[key] = run
        # Streamlit tells the address of a widget's value only once it was drawn; then it writes it itself.
        with contextlib.suppress(StreamlitAPIException):
            state.write(key, run)


def _agreement(workspace: Workspace, runs: Sequence[str], about: Population) -> None:
    found, order = _agreements(workspace, workspace.version, tuple(runs), about.key, about)
    st.subheader(
        "Agreement",
        help="Share of items with the same first prediction, right or wrong. Runs that agree stand side by side "
        "(average linkage). Click a cell to compare its two runs.",
    )
    if not found.n:
        st.caption("No item is predicted by all of these runs.")
        return

    def open_pair() -> None:
        points = st.session_state["agreement"]["selection"]["points"]
        if points and points[0].get("customdata"):
            _compare(*points[0]["customdata"])

    chart(
        square_map(found.runs, found.matrix, order, what="same class"),
        lambda: _as_table(found.runs, found.matrix, order, "same class, %"),
        key="agreement",
        alt="Share of items on which each two runs agree; the same numbers are in its table.",
        on_select=open_pair,
    )
    st.caption(f"On the {count(found.n)} items that all of them predict.")


def _as_table(names: Sequence[str], matrix: np.ndarray, order: Sequence[int], what: str) -> pl.DataFrame:
    rows = [(names[i], names[j], float(matrix[i, j])) for place, i in enumerate(order) for j in order[place + 1 :]]
    table = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String, what: pl.Float64}, orient="row")
    return table.with_columns((100 * pl.col(what)).round(2)) if what.endswith("%") else table


def _pair_table(pairs: pl.DataFrame) -> None:
    st.subheader(
        f"All {plural(pairs.height, 'pair')}",
        help="Differences A − B in points (micro), p of McNemar's test (exact where fewer than 25 items flip), and "
        "corrected over all of these pairs: Holm bounds the chance of any false finding, Benjamini–Hochberg (BH) the "
        "share of them; 0 stands for less than 1e-300. Select a row to compare its two runs.",
    )
    table = pairs.select(
        "a",
        "b",
        (100 * pl.col("micro")).alias("A − B"),
        (50 * (pl.col("micro_high") - pl.col("micro_low"))).alias("±"),
        pl.col("p_holm").alias("Holm"),
        pl.col("p_bh").alias("BH"),
        pl.coalesce("p_exact", "p_value").alias("p"),
        "decidable",
        pl.col("only_a_wrong").alias("only A wrong"),
        pl.col("only_b_wrong").alias("only B wrong"),
        "n",
    )

    def open_pair() -> None:
        rows = st.session_state["pairs-table"]["selection"]["rows"]
        if rows and rows[0] < table.height:
            _compare(*table.row(rows[0])[:2])

    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        key="pairs-table",
        on_select=open_pair,
        selection_mode="single-row",
        height=min(440, 36 * (table.height + 1) + 2),
        column_config={
            "a": st.column_config.TextColumn("A", width="medium"),
            "b": st.column_config.TextColumn("B", width="medium"),
            "A − B": number(format="%+.2f", help="Points, micro."),
            "±": number(format="%.2f", help="Half the paired 95 % interval."),
            **{name: number(format="%.2g") for name in ("p", "Holm", "BH")},
            "decidable": st.column_config.CheckboxColumn(
                help="No judgement of unjudged predictions could turn the order."
            ),
        },
    )


# ---- wrong together


def _shared(frame: Frame, about: Population) -> pl.Series | None:
    """Items that many runs get wrong; returns those that are shown."""
    workspace = frame.workspace
    n_runs = len(workspace.run_names())
    by, same = (lens_column(workspace, frame.version, frame.lens, name) for name in ("wrong_by", "wrong_same"))
    rows = frame.rows.select("item", "class").with_columns(wrong_by=by, wrong_same=same)
    if about.items is not None:
        rows = rows.filter(pl.col("item").is_in(about.items))
    st.subheader(
        "Wrong together",
        help="Items that many of all runs get wrong by the lens's label set: hard, or labelled wrong. Unjudged "
        "predictions count as wrong. Click a bar to see its images.",
    )
    counts = [rows.filter(pl.col("wrong_by") >= k).height for k in range(1, n_runs + 1)]
    left, right = st.columns([2, 3], gap="large")
    with left:
        k = st.slider("Wrong by at least so many runs", 1, n_runs, n_runs, key="wrong_by", bind="query-params")
        all_wrong = rows.filter(pl.col("wrong_by") >= k)
        alike = all_wrong.filter(pl.col("wrong_same") >= k)
        scored = rows.height - rows["wrong_by"].null_count()
        share = f", {percent(all_wrong.height / scored)} of those scored" if scored else ""
        st.markdown(
            f"**{plural(all_wrong.height, 'image')}** {'is' if all_wrong.height == 1 else 'are'} wrong by at least "
            f"{count(k)} of {plural(n_runs, 'run')}{share}; on **{count(alike.height)}** at least as many give one and "
            f"the same wrong class, which the label may have missed."
        )
        with st.container(horizontal=True, gap="small"):
            for column, n, text in (
                ("wrong_by", all_wrong.height, "Browse"),
                ("wrong_same", alike.height, "Same class"),
            ):
                st.button(
                    f"{text}: {count(n)}",
                    icon=":material/grid_view:",
                    key=f"open-{column}",
                    disabled=not n,
                    on_click=open_where,
                    args=(about, [Range(column, low=k)]),
                )

        def open_bar() -> None:
            points = st.session_state["wrong-together"]["selection"]["points"]
            if points and points[0].get("customdata"):
                open_where(about, [Range("wrong_by", low=int(points[0]["customdata"][0]))])

        chart(
            wrong_together(counts, k),
            lambda: pl.DataFrame({"wrong by at least": range(1, n_runs + 1), "images": counts}),
            key="wrong-together",
            alt="How many images at least so many runs get wrong; the same numbers are in its table.",
            on_select=open_bar,
        )
    with right:
        order = all_wrong.sort("wrong_by", "wrong_same", "item", descending=[True, True, False]).head(THUMBNAILS)
        told = {item: f"{s} of {w} alike" for item, w, s in order.select("item", "wrong_by", "wrong_same").iter_rows()}
        gallery(
            tiles(frame, rows_of(frame, order["item"]), note=lambda row: told[row["item"]]),
            key="shared",
            session=frame.session,
            tile_size=110,
            selected=state.opened_item(workspace.items().height),
            total=all_wrong.height,
            empty="No image is wrong by so many runs.",
            on_open=state.open_item,
        )
        if order.height:
            st.caption(
                f"{count(order.height)} of {count(all_wrong.height)}, most alike first; under each its label and the "
                f"prediction of {md_escape(frame.lens.run or '')}."
            )
    return order["item"]


# ---- together


def _ensemble(frame: Frame, runs: Sequence[str], about: Population) -> None:
    workspace, labels = frame.workspace, frame.lens.labels
    st.subheader(
        "Greedy ensemble",
        help="Runs in the order in which each adds most to the mean of the logits. Members are chosen on a random half "
        "of the scored items and measured on the other half.",
    )
    members = many_runs.ensemble_members(workspace, runs)
    reasons = {why: [run for run, said in members.left_out.items() if said == why] for why in members.left_out.values()}
    for why, left in reasons.items():
        names = ", ".join(md_escape(run) for run in left[:4]) + (", …" if len(left) > 4 else "")
        st.caption(f":material/block: {plural(len(left), 'run')} left out, {why}: {names}.")
    if len(members.runs) < 2:
        st.caption("An ensemble needs the scores of all classes of at least two runs.")
        return
    asked = (labels, tuple(runs), about.key)
    built = _ensembles(workspace.version)
    if asked not in built and st.button(
        f"Build from {plural(len(members.runs), 'run')}", icon=":material/stairs:", key="build-ensemble"
    ):
        bar = st.progress(0.0)

        def tell(what: str, done: int, total: int | None) -> None:
            bar.progress(done / total if total else 0.0, f"{what}: {done} of {total}")

        built[asked] = many_runs.ensemble(workspace, labels, runs=runs, within=about.items, progress=tell)
        st.rerun()
    found = built.get(asked)
    if found is None:
        return
    if not found:
        st.caption("Too few items are scored.")
        return
    best = max(range(len(found)), key=lambda place: found[place].accuracy)
    st.markdown(
        f"**{percent(found[best].accuracy)}** with {plural(best + 1, 'member')}, "
        f"{words.points(found[best].accuracy - found[0].accuracy)} over {md_escape(found[0].run)} alone."
    )
    chart(
        staircase(found),
        lambda: _member_table(found),
        key="ensemble",
        alt="Accuracy of the ensemble as each member joins; the same numbers are in its table.",
    )


def _member_table(members: list[Member]) -> pl.DataFrame:
    rows = [
        (place + 1, one.run, *(None if x is None else round(100 * x, 2) for x in numbers))
        for place, one in enumerate(members)
        for numbers in [(one.accuracy, *((one.gain.value, one.gain.low, one.gain.high) if place else (None,) * 3))]
    ]
    names = ["accuracy, %", "adds, points", "low", "high"]
    schema = {"member": pl.UInt32, "run": pl.String, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _orders(workspace: Workspace, runs: Sequence[str], about: Population) -> None:
    st.subheader(
        "Do label sets order the runs alike?",
        help="Kendall's τ-b of the micro accuracies under two label sets, each on the items it scores: 1 for the same "
        "order. A reversed pair of runs need not differ beyond chance.",
    )
    lines = words.stability(_stability(workspace, workspace.version, tuple(runs), about.key, about))
    for said in lines or ["There is one label set only."]:
        st.caption(said)


def _spaces(workspace: Workspace) -> None:
    st.subheader(
        "Spaces that see alike",
        help="Linear CKA (Kornblith et al., 2019) of the embeddings of every two spaces: 1 for the same geometry. Does "
        "not change under rotation and scaling.",
    )
    if len(workspace.spaces()) < 2:
        st.caption("Needs embeddings of at least two encoders: `errata space build` makes them.")
        return
    found = _kinship(workspace, workspace.version)
    order = list(range(len(found.spaces)))
    chart(
        square_map(found.spaces, found.matrix, order, what="CKA", as_percent=False),
        lambda: _as_table(found.spaces, found.matrix, order, "CKA"),
        key="cka",
        alt="Linear CKA of every two spaces; the same numbers are in its table.",
    )
    st.caption(f"On {count(found.n)} items that all of them hold.")
