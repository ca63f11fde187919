"""The datasheet of an export: how its labels came about, as far as it is known. Nothing is guessed."""

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from analysis.export.subset import Subset
from analysis.review import state
from analysis.review.agreement import Coefficient, alpha, counts, first_readings, interval, raw_agreement
from analysis.review.kinds import VERDICTS
from analysis.review.queues import Queue
from analysis.review.queues import listed as listed_queues

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|~$&])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
NOT_RECORDED = "Not recorded."
IMPORTED = "imported:"
"""How the person of an imported judgement begins (analysis/review/imports.py)."""


def datasheet(subset: Subset, receipt: dict[str, Any]) -> str:
    """Markdown; every name of the dataset is escaped."""
    sections = {
        "What it is": _what(subset, receipt),
        "Where the labels come from": _source(subset, receipt),
        "Who labelled": _who(subset),
        "Instructions": _guidelines(subset),
        "Coverage": _coverage(subset),
        "Agreement": _agreement(subset),
        "Sampling": _sampling(subset),
        "Left out": _left_out(receipt),
        "Licence": receipt["licence"],
    }
    text = [f"# {plain(subset.workspace.name)}: {plain(subset.labels.name)} labels"]
    for title, lines in sections.items():
        text.append(f"\n## {title}\n")
        text += [f"- {plain(line)}" for line in lines]
    return "\n".join(text) + "\n"


def plain(text: object) -> str:
    """Any text as one line of Markdown that shows exactly its characters."""
    return _MARKUP.sub(r"\\\1", _CONTROL.sub(" ", str(text)).strip())


def _n(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _what(subset: Subset, receipt: dict[str, Any]) -> Iterator[str]:
    made, asked = receipt["format"], receipt["slice"]
    yield f"{receipt['n']:,} of the {asked['of']:,} items of {subset.workspace.name}: the slice {asked['line']}"
    if asked["run"] is not None:
        yield f"the slice looks at the run {asked['run']}, judged by {asked['judged_by']}"
    yield f"written as {made['name']} on {receipt['created']} by Errata {receipt['errata']}"
    yield f"dataset version {receipt['dataset']['version']}, {len(subset.workspace.classes()):,} classes"
    if "one_class" in made:
        yield f"one class an item: {made['one_class']['what']}"
    yield "receipt.json has hashes of the dataset and of every file, and the class map"


def _source(subset: Subset, receipt: dict[str, Any]) -> Iterator[str]:
    labels = receipt["labels"]
    if subset.base is not None:
        yield (
            f"reviewed: {labels['base']} with the decisions of the review log up to position {subset.position:,} in "
            "place of what it said"
        )
    yield labels["rule"]
    if labels["note"]:
        yield labels["note"]


def _who(subset: Subset) -> Iterator[str]:
    if subset.base is None:
        yield f"{NOT_RECORDED} The label set {subset.labels.name} was not made from this workspace's review log."
        return
    kept = state.current(subset.log, subset.workspace.items())
    verdicts = state.readings(kept, "verdict")
    readers, panel = verdicts.filter(~pl.col("panel")), verdicts.filter("panel")
    persons, imported = readers["person"].n_unique(), verdicts.filter(pl.col("person").str.starts_with(IMPORTED)).height
    yield f"readers: {_n(persons, 'person')}; of their verdicts on (item, class) {readers.height:,} stand"
    yield f"the panel: of its decisions {panel.height:,} stand"
    if imported:
        yield f"of these verdicts and decisions {imported:,} were imported from files of other panels' judgements"
    yield "roles beyond reader and panel, and the training of persons: not recorded in the review log"


def _guidelines(subset: Subset) -> Iterator[str]:
    if subset.base is None:
        yield NOT_RECORDED
        return
    rows = subset.log.filter(pl.col("kind") == "verdict")
    versions = rows.group_by("guideline").len().sort("guideline", nulls_last=True)
    for version, n in versions.iter_rows():
        yield (
            f"{_n(n, 'verdict')} without a recorded version"
            if version is None
            else f"version {version}: {_n(n, 'verdict')}"
        )
    if rows.is_empty():
        yield "no verdicts"


def _coverage(subset: Subset) -> Iterator[str]:
    known = subset.labels.items.join(subset.items.select("item"), on="item", how="semi")
    yield f"the label set knows {known.height:,} of {subset.n:,} items and scores {known['scored'].sum():,}"
    yield f"{known['exhaustive'].sum():,} items are exhaustive: every class of theirs was judged"
    if subset.base is None:
        return
    kept = state.current(subset.log, subset.workspace.items())
    looked = state.readings(kept, "verdict").group_by("item").agg(readers=pl.col("reader").n_unique())
    yield f"{looked.height:,} items have verdicts of reviewers, {subset.n - looked.height:,} have none"
    for readers, n in looked.group_by("readers").len().sort("readers").iter_rows():
        yield f"items with verdicts of {readers:,} {'reader' if readers == 1 else 'readers'}: {n:,}"
    consensus = state.verdicts(kept)
    undecided = consensus.filter(~pl.col("state").is_in(state.DECIDED)).height
    yield f"{consensus.height - undecided:,} (item, class) are decided"
    yield f"{undecided:,} (item, class) are disputed or undecided, and as in {subset.base}"
    if stale := subset.log.height - kept.height:
        yield f"{stale:,} judgements of images that changed since are left out"


def _agreement(subset: Subset) -> Iterator[str]:
    if subset.base is None:
        yield NOT_RECORDED
        return
    _, table = counts(first_readings(subset.log), VERDICTS)
    found = interval(lambda units, weights: alpha(units, weights), table)
    if not found.n:
        yield "not measurable: no (item, class) has two blind, independent first readings"
        return
    raw = interval(lambda units, weights: raw_agreement(units, weights), table)
    yield f"on {found.n:,} (item, class) with two blind, independent first readings or more"
    yield f"raw agreement of verdicts {_value(raw)}"
    yield f"Krippendorff's alpha of verdicts (nominal) {_value(found)}"


def _value(found: Coefficient) -> str:
    if found.value is None:
        return "not defined, because nothing varies"
    spread = "" if found.low is None else f" (95 % interval {found.low:.3f} to {found.high:.3f}, bootstrap of units)"
    return f"{found.value:.3f}{spread}"


def _sampling(subset: Subset) -> Iterator[str]:
    if subset.slice.sample is not None:
        yield f"the items are a random {subset.slice.sample} of what the slice's conditions leave"
    else:
        yield "the items are all that fulfil the slice's conditions"
    if subset.base is None:
        return
    rows = subset.log.filter(pl.col("kind") == "verdict")
    queues = {queue.id: queue for queue in listed_queues(subset.workspace)}
    for queue_id, n in rows.group_by("queue").len().sort("queue", nulls_last=True).iter_rows():
        if queue_id is None:
            yield f"{_n(n, 'verdict')} given outside of queues, on items that somebody chose"
        elif queue_id in queues:
            yield f"{_n(n, 'verdict')} from {_queue(queues[queue_id])}"
        else:
            yield f"{_n(n, 'verdict')} from {queue_id}, of which no design is recorded"


def _queue(queue: Queue) -> str:
    protocol = queue.protocol
    strata = "; ".join(f"{s['name']}: {s['draw']:,} of {s['size']:,}" for s in queue.strata if s["draw"] is not None)
    manner = [
        f"{protocol.readings} {'reading' if protocol.readings == 1 else 'readings'} of each item",
        "blind" if protocol.blind else "not blind",
        "exhaustive" if protocol.exhaustive else "candidates only",
    ]
    return f"the queue {queue.name} ({', '.join(manner)}{'; drawn by stratum: ' + strata if strata else ''})"


def _left_out(receipt: dict[str, Any]) -> Iterator[str]:
    for reason, n in receipt["left_out"]["reasons"].items():
        yield f"{_n(n, 'item')}: {reason}"
    yield "left_out.csv names each" if receipt["left_out"]["n"] else "nothing"
