"""A new queue from the items of the present slice: the form, what it would come to, and making it."""

import polars as pl
import streamlit as st

from analysis.errors import ErrataError
from analysis.results.review import LEAST_DECOYS, QueueOptions, new_queue
from analysis.review import queues
from analysis.slices.saved import shortened
from app import access, reviewing
from app.access import Action
from app.frame import Frame, lens_column
from app.review_words import DESIGNS
from app.text import count, md_escape, percent, plural
from app.views.review.steps import open_step

FEW = 500
"""So many items are read completely unless somebody says otherwise; of more, a sample is proposed."""
SAMPLE = 200
SHOWN_NAME = 60
_REFUSED = "new-refused"
_NAME, _PROPOSED = "new-name", "new-proposed"


def show(frame: Frame, rows: pl.DataFrame) -> None:
    """The form; `rows` is the log."""
    if not reviewing.may(Action.DECIDE, frame.workspace_id):
        st.caption("Queues are made by the panel; ask an admin for the role.")
        return
    with st.container(border=True):
        st.subheader(f"A new queue from {plural(frame.chosen.height, 'item')}", help=_HELP)
        if frame.chosen.is_empty():
            st.caption("No item fulfils all conditions of the slice. Take one away above.")
            _cancel()
            return
        left, right = st.columns([3, 2], gap="large")
        with left:
            options = _design(frame)
        with right:
            options = _protocol(frame, rows, options)
        st.markdown(preview(frame, options))
        if reason := st.session_state.pop(_REFUSED, None):
            st.error(md_escape(reason), icon=":material/error:")
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Make the queue",
                type="primary",
                icon=":material/playlist_add:",
                key="new-make",
                on_click=_make,
                args=(frame, options),
            )
            _cancel()


_HELP = (
    "The items are those of the slice at the top; change it there. The draw, the order and the candidates are fixed "
    "when the queue is made."
)


def _cancel() -> None:
    st.button("Cancel", key="new-cancel", type="tertiary", on_click=open_step, args=(None,))


def _design(frame: Frame) -> QueueOptions:
    """Name and design, as options."""
    n = frame.chosen.height
    proposed = free_name(frame)
    if st.session_state.get(_NAME) in (None, st.session_state.get(_PROPOSED)):  # nobody has typed another one
        st.session_state[_NAME] = st.session_state[_PROPOSED] = proposed
    name = st.text_input("Name", key=_NAME, max_chars=200, help="Readers see it.")
    design = st.radio(
        "Which items are drawn",
        list(DESIGNS),
        0 if n <= FEW else 1,
        format_func=lambda one: DESIGNS[one][0],
        captions=[worth for _, worth in DESIGNS.values()],
        key="new-design",
    )
    drawn: int | None = None
    control = 0.0
    with st.container(horizontal=True, gap="small"):
        if design != "complete":
            most = frame.rows.height if design == "stratified" else n
            drawn = st.number_input("How many items", 1, most, min(SAMPLE, n), key=f"new-n-{design}-{most}", width=160)
        if design == "stratified":
            control = st.number_input(
                "Of them counted as right, %",
                0,
                90,
                25,
                key="new-control",
                width=210,
                help="The control stratum: drawn from all items of the dataset that the run has right, whether or not "
                "they are in the slice. Without it a score can only rise.",
            )
    return QueueOptions(name.strip(), design, drawn, control / 100)


def _protocol(frame: Frame, rows: pl.DataFrame, options: QueueOptions) -> QueueOptions:
    """How the items are read, added to the options."""
    readings = st.number_input(
        "Readings of each item", 1, 9, 2, key="new-readings", help="Each by another person. Agreement needs two."
    )
    blind = st.toggle(
        "Blind",
        True,
        key="new-blind",
        help="Candidates in random order, without where they come from, and nobody sees what others said. Only blind "
        "readings are independent and count in agreement. Else what is known is filled in for confirmation.",
    )
    exhaustive = st.toggle(
        "Ask for further classes",
        False,
        key="new-exhaustive",
        help="Readers also add valid classes that are no candidates, and say when there is none. Takes longer.",
    )
    names = frame.workspace.run_names()
    runs = (
        st.multiselect(
            "Runs whose predictions are candidates",
            names,
            [frame.lens.run] if frame.lens.run else [],
            key=f"new-runs-{frame.lens.run}",
            help="The first prediction of each, beside the original label.",
        )
        if names
        else []
    )
    with st.expander("Decoys, repeats, people, instructions", key="new-more"):
        least = round(100 * LEAST_DECOYS) if blind else 0
        decoys = st.number_input(
            "Decoys among the candidates, %",
            least,
            90,
            least,
            key=f"new-decoys-{blind}",
            help="Near classes that nobody proposed. How often a person takes one for valid says how carefully they "
            "look.",
        )
        repeats = st.number_input(
            "Hidden repeats, %", 0, 50, 5, key="new-repeats", help="Items that come again: self-consistency."
        )
        people = st.multiselect(
            "Who may take it",
            _people(frame, rows),
            key="new-people",
            accept_new_options=True,
            placeholder="Everybody who may annotate",
        )
        guideline = st.text_input(
            "Instructions",
            key="new-guideline",
            max_chars=200,
            placeholder="Such as: v2, a class is valid when the object can be seen",
            help="Which version of the instructions holds. Readers see it, and every judgement keeps it.",
        )
    return QueueOptions(
        options.name,
        options.design,
        options.n,
        options.control,
        readings=int(readings),
        blind=blind,
        exhaustive=exhaustive,
        runs=tuple(runs),
        decoys=decoys / 100,
        repeats=repeats / 100,
        people=tuple(people) or None,
        guideline=guideline.strip() or None,
    )


def _people(frame: Frame, rows: pl.DataFrame) -> list[str]:
    """Who looks at the page, and everybody who has judged in a queue."""
    made = [queue.id for queue in queues.listed(frame.workspace)]
    return sorted({reviewing.person().id, *rows.filter(pl.col("queue").is_in(made))["person"].unique()})


def free_name(frame: Frame) -> str:
    """What the slice says, as the name of a queue that is not there yet."""
    said = shortened(str(frame.slice), SHOWN_NAME) if frame.slice.conditions or frame.slice.sample else "All items"
    taken = {queue.name for queue in queues.listed(frame.workspace)}
    number = next(n for n in range(1, len(taken) + 2) if (said if n == 1 else f"{said} ({n})") not in taken)
    return said if number == 1 else f"{said} ({number})"


def preview(frame: Frame, options: QueueOptions) -> str:
    """How many items and judgements the queue would come to, and what it cannot say, as Markdown."""
    n = options.n
    if n is None:
        n = frame.chosen.height
    each = candidates_each(frame, options.runs or ())
    decoys = options.decoys or 0.0
    judgements = round(n * options.readings * each / (1 - decoys))
    text = (
        f"**{plural(n, 'item')}, about {plural(judgements, 'verdict')}**: {plural(options.readings, 'reading')} of "
        f"each item, {each / (1 - decoys):.1f} candidates on average."
    )
    if options.repeats:
        text += f" Repeats add {percent(options.repeats)}."
    if options.blind and options.readings == 1:
        text += " With one reading there is no agreement to measure."
    covered, total = frame.chosen.height, frame.rows.height
    if options.design != "stratified" and covered < total:
        text += f" It speaks of {count(covered)} of {count(total)} items"
        mistakes = covered == frame.chosen.filter(pl.col("right").not_()).height
        text += ", which are all mistakes: it tells how many of them are none" if mistakes else ""
        text += "; a score over all items gets bounds only."
    return text


def candidates_each(frame: Frame, runs: tuple[str, ...]) -> float:
    """Different classes an item among its original label and the first predictions of these runs, on average."""
    workspace, chosen = frame.workspace, frame.chosen.select("item")
    columns = [lens_column(workspace, frame.version, frame.lens, f"predicted@{run}") for run in runs]
    named = frame.rows.select("item", "class", *[c.alias(f"run {place}") for place, c in enumerate(columns)])
    here = named.join(chosen, on="item", how="semi").select(pl.exclude("item").cast(pl.String))
    n = here.select(pl.concat_list(pl.all()).list.drop_nulls().list.n_unique()).to_series()
    return float(n.mean() or 0.0)  # type: ignore[arg-type]


def _make(frame: Frame, options: QueueOptions) -> None:
    """In a callback: make the queue and go back to the list."""
    try:
        who = access.require(reviewing.person(), Action.DECIDE, frame.workspace_id)
        made = new_queue(frame.workspace, frame.chosen["item"], frame.lens, options, who.id)
    except ErrataError as error:
        st.session_state[_REFUSED] = str(error)
        return
    told = f"{plural(made.n_drawn, 'item')} drawn"
    if made.n_decoys:
        told += f", {plural(made.n_decoys, 'decoy')} from {made.decoys_from}"
    if made.n_left_out:
        told += f"; {plural(made.n_left_out, 'item')} left out, which have no candidate"
    st.toast(md_escape(f"{made.queue.name}: {told}."), icon=":material/playlist_add_check:")
    open_step(None)
