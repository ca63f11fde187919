"""Models: how good is each, where? All runs beside each other, then one of them by groups of images."""

import shlex

import polars as pl
import streamlit as st

from analysis.results import standings
from analysis.results.standings import Items, Leader
from analysis.workspace import Workspace
from app.frame import Frame
from app.population import describe, population
from app.text import count, md_escape, percent, plural
from app.views.models import all_runs, one_run, table


def show(frame: Frame) -> pl.Series | None:
    """The page."""
    workspace, labels = frame.workspace, frame.lens.labels
    if frame.lens.run is None:
        _empty(workspace)
        return None
    about = population(frame)
    if about.items is not None and not len(about.items):
        st.markdown("**No item fulfils all conditions.** Take one away above.")
        return None
    known = _facts(workspace, workspace.version)
    best = _leader(workspace, workspace.version, labels, about.key, about.items)
    st.markdown(sentence(best, labels, known, sliced=about.items is not None))
    describe(about)
    counts = _outcome_counts(workspace, frame.version, labels, about.key, about.items)
    order = counts["run"].unique(maintain_order=True).to_list()
    if not order:
        st.caption("No image here is covered by every run, so their numbers cannot stand side by side.")
        return None
    shown, rows = table.show(frame, about, known, counts, order)
    if shown:
        one_run.show(frame, about)
        all_runs.show(frame, about, counts, rows, known, shown)
    return None


def _empty(workspace: Workspace) -> None:
    ws = shlex.quote(str(workspace.path))
    st.markdown("**No model has predicted these images yet.**")
    st.caption(
        "With a run, this page shows its accuracy under each label set, where it is better and worse than others, "
        "whether its probabilities can be believed, and why its mistakes are mistakes."
    )
    if workspace.image_root is not None:
        st.code(f"errata evaluate {ws} timm:resnet50.a1_in1k", language=None)
    st.code(f"errata runs import {ws} NAME FILE", language=None)


# ---- the sentence


def sentence(best: Leader | None, labels: str, known: pl.DataFrame, *, sliced: bool) -> str:
    """Which run is the best and which cannot be told from it, as Markdown."""
    under = f"*{md_escape(labels)}*"
    where = " of the slice" if sliced else ""
    if best is None:
        return f"**None of the images{where} that every run covers is scored by {under}.**"
    of = best.accuracy
    images = f"the {count(of.n)} images{where}" if of.n > 1 else f"the one image{where}"
    right = percent(of.value or 0.0, of.low, of.high)
    text = f"**{md_escape(best.run)}** is right on **{right}** of {images} that {under} scores"
    if of.n_unjudged:
        text += (
            f", on up to {percent(of.bound_high or 0.0)} if its {count(of.n_unjudged)} unjudged predictions are right"
        )
    text += " (micro)."
    others = best.runs - 1
    if others:
        told = f"paired, McNemar, corrected for {plural(best.pairs, 'pair')}"
        if not best.level:
            worse = "The other run is" if others == 1 else f"Each of the {count(others)} other runs is"
            text += f" {worse} worse beyond chance ({told})."
        else:
            text += f" Not told apart from it: {_names(best.level)} ({told})."
    if best.undecided:
        text += f" Unjudged predictions could still turn its order with {_names(best.undecided)}."
    marked = known.filter(pl.col("mark") != "").height
    if marked and marked < known.height:
        had = "had an easier task, is marked and does" if marked == 1 else "had an easier task, are marked and do"
        text += f" {plural(marked, 'run')} {had} not compete."
    elif marked:
        text += " Every run had an easier task than usual: see the marks."
    return text


def _names(runs: list[str], most: int = 3) -> str:
    named = [f"**{md_escape(run)}**" for run in runs[:most]]
    if len(runs) > most:
        named.append(f"{count(len(runs) - most)} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


# ---- what is shared between sessions; `key` tells populations apart


@st.cache_resource(max_entries=16, show_spinner=False)
def _facts(_workspace: Workspace, version: str) -> pl.DataFrame:
    return standings.facts(_workspace)


@st.cache_resource(max_entries=32, show_spinner="Testing every pair of runs …")
def _leader(_workspace: Workspace, version: str, labels: str, key: str, _items: Items | None) -> Leader | None:
    return standings.leader(_workspace, labels, items=_items)


@st.cache_resource(max_entries=32, show_spinner="Sorting outcomes …")
def _outcome_counts(_workspace: Workspace, version: str, labels: str, key: str, _items: Items | None) -> pl.DataFrame:
    return standings.outcome_counts(_workspace, labels, items=_items)
