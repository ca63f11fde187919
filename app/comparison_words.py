"""Comparisons in words: what two runs, two label sets, all pairs of runs show, as Markdown."""

from collections.abc import Sequence

import polars as pl

from analysis.comparison import EXACT_BELOW, Comparison, LabelSetContrast
from app.text import count, md_escape, percent, plural

LEVEL = 0.05
"""p below which a difference counts as shown."""


def points(value: float) -> str:
    """The size of a difference: `4.4 points`."""
    size = 100 * abs(value)
    return f"{size:.1f} points" if size >= 0.1 or size == 0 else f"{size:.2f} points"


def signed(value: float) -> str:
    """A difference in points with its sign, without the word."""
    return (f"{100 * value:+.2f}" if 0 < abs(value) < 0.001 else f"{100 * value:+.1f}").replace("-", "−")


def p_value(p: float) -> str:
    """`p < 0.001` or `p = 0.031`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def tested(p: float | None, low: float | None, high: float | None) -> bool:
    """Whether a difference is shown: by the test, and by the interval where there is one."""
    if p is None or p >= LEVEL:
        return False
    return low is None or high is None or low > 0 or high < 0


def headline(found: Comparison) -> str:
    """Which of two different runs is better under the label set, by how much, and how sure that is."""
    a, b, labels = (md_escape(name) for name in (found.a, found.b, found.labels))
    micro, flips = found.difference_micro, found.only_a_wrong + found.only_b_wrong
    if not found.n or micro.value is None or found.p_value is None or found.mcnemar_chi2 is None:
        return f"**No item that *{labels}* scores is predicted by both** {a} and {b}.{_alone(found)}"
    value, p = micro.value, found.p_value if found.p_exact is None else found.p_exact
    worse, better = (a, b) if value < 0 else (b, a)
    shown = tested(p, micro.low, micro.high)
    if not flips:
        text = f"**A tie: {a} and {b} are right and wrong on the same items** ({_where(found)})"
    elif value == 0:
        text = (
            f"**A tie:** {a} and {b} are right equally often; each alone is wrong on "
            f"{plural(found.only_a_wrong, 'item')} ({_where(found)})"
        )
    elif shown and micro.decidable:
        text = f"**{worse} is worse than {better} by {points(value)}** ({_where(found)}; {_test(found)})"
    elif shown:
        text = (
            f"**Not decidable on these labels.** As judged, {worse} is worse than {better} by {points(value)} "
            f"({_where(found)}; {_test(found)})"
        )
    else:
        text = (
            f"**No difference between {a} and {b} is shown:** {worse} is worse by {points(value)} ({_where(found)}; "
            f"{_test(found)}), which chance alone may explain; that does not make them equal"
        )
    return f"{text}.{_judging(found)}{_alone(found)}"


def _where(found: Comparison) -> str:
    return f"micro accuracy by *{md_escape(found.labels)}*, n = {count(found.n)}"


def _test(found: Comparison) -> str:
    micro = found.difference_micro
    low, high = micro.low, micro.high
    if (micro.value or 0) < 0 and low is not None and high is not None:
        low, high = -high, -low  # as the sentence says it: how much worse
    interval = "" if low is None or high is None else f"95 % paired interval {_number(low)} to {_number(high)}; "
    test = f"McNemar χ² = {found.mcnemar_chi2:.2f}, {p_value(found.p_value or 0.0)}"
    if found.p_exact is not None:
        test += f"; exact {p_value(found.p_exact)}, as fewer than {EXACT_BELOW} items flip"
    return interval + test


def _number(value: float) -> str:
    return signed(value).removeprefix("+")


def _judging(found: Comparison) -> str:
    """What the unjudged predictions could do; nothing where there are none."""
    micro, unjudged = found.difference_micro, (found.n_unjudged_a or 0) + (found.n_unjudged_b or 0)
    if not unjudged or micro.bound_low is None or micro.bound_high is None:
        return ""
    each = f"{count(found.n_unjudged_a or 0)} of A, {count(found.n_unjudged_b or 0)} of B"
    both = f"{plural(unjudged, 'unjudged prediction')} ({each})"
    if micro.bound_low == micro.bound_high:
        return f" The {both} are the same for both runs and move neither above the other."
    if not micro.decidable:
        return (
            f" Judging the {both} could turn the order: A − B could come to anything from {signed(micro.bound_low)} to "
            f"{signed(micro.bound_high)} points."
        )
    if not found.decidable:
        return f" The {both} could not turn the order of the micro accuracies, but that of the class means."
    return f" No judgement of the {both} could turn the order."


def _alone(found: Comparison) -> str:
    """Items that only one of the runs covers; nothing where there are none."""
    sides = ((found.a, found.n_only_a), (found.b, found.n_only_b))
    alone = [f"{md_escape(run)} alone covers {plural(n, 'more scored item')}" for run, n in sides if n]
    return f" Compared on the items of both: {', '.join(alone)}." if alone else ""


def elsewhere(differences: pl.DataFrame, found: Comparison) -> str:
    """What the other label sets say of the same two runs; empty where there is no other."""
    said = []
    lead = found.difference_micro.value or 0.0
    for row in differences.filter(pl.col("mean") == "micro", pl.col("labels") != found.labels).iter_rows(named=True):
        value, under = row["difference"], f"under *{md_escape(row['labels'])}*"
        if value is None:
            said.append(f"{under} they have no scored item in common")
            continue
        worse = md_escape(found.a if value < 0 else found.b)
        if not tested(row["p"], row["low"], row["high"]):
            interval = "" if row["low"] is None else f", {signed(row['low'])} to {signed(row['high'])}"
            said.append(f"{under} no difference is shown (A − B = {signed(value)} points{interval})")
            continue
        turned = "the other way round: " if value * lead < 0 else ""
        words = f"{under} {turned}{worse} is worse by {points(value)}"
        if not row["decidable"]:
            words += ", not decidable on those labels"
        elif row["bound_low"] != row["bound_high"]:
            words += ", and no unjudged prediction could turn the order"
        said.append(words)
    return f"{said[0][0].upper()}{'; '.join(said)[1:]}." if said else ""


def contrast(labels: str, other: str, found: LabelSetContrast) -> str:
    """Whether two label sets disagree about the two runs."""
    first, second = f"*{md_escape(labels)}*", f"*{md_escape(other)}*"
    change = found.difference
    if not found.n or change.value is None:
        return f"{first} and {second} score no item in common."
    on = f"on the {count(found.n)} items that both score"
    if found.disagree:
        return f"{first} and {second} **disagree about the order** {on}: {_both(found)}; each interval excludes zero."
    if found.p_value is None:
        return f"{first} and {second} show the same difference {on}: {_both(found)}."
    interval = "" if change.low is None or change.high is None else f", {signed(change.low)} to {signed(change.high)}"
    test = f"{signed(change.value)} points{interval}; {p_value(found.p_value)}"
    if found.p_value >= LEVEL:
        return f"{first} and {second} do not differ beyond chance {on}: {_both(found)} (difference {test})."
    return (
        f"{first} and {second} put **different distances** between the runs {on}: {_both(found)} (difference {test})."
    )


def _both(found: LabelSetContrast) -> str:
    return f"A − B = {signed(found.first.value or 0.0)} and {signed(found.second.value or 0.0)} points"


def together(found: Comparison) -> list[str]:
    """What the two are worth together, a line each; nothing without items."""
    if found.agreement is None or found.oracle is None or found.oracle_gain is None:
        return []
    lines = [
        f"**{percent(found.agreement)}** of items get the same class from both.",
        f"On **{percent(found.oracle)}** at least one is right: {points(found.oracle_gain)} over the better one.",
    ]
    if found.ensemble_gain is None:
        return [*lines, "The mean of both: needs the scores of all classes of both runs, over the same classes."]
    more = "more" if found.ensemble_gain >= 0 else "less"
    return [
        *lines,
        f"The mean of both runs' scores is right on **{points(found.ensemble_gain)} {more}** than the better one.",
    ]


def all_pairs(pairs: pl.DataFrame, labels: str) -> str:
    """How many of all pairs of runs differ, after correction, and how many hang on the unjudged."""
    n = pairs["n"][0] if pairs.height else 0
    if not n:
        return (
            f"**No item that *{md_escape(labels)}* scores is predicted by all of these runs.** Choose runs above that "
            f"cover the same items."
        )
    differ = pairs.filter(pl.col("p_holm") < LEVEL)
    hang = differ.filter(~pl.col("decidable")).height
    text = (
        f"**{count(differ.height)} of {plural(pairs.height, 'pair')} of runs differ** by *{md_escape(labels)}* on "
        f"{count(n)} common items (McNemar, Holm-corrected over {plural(pairs.height, 'pair')}, p < {LEVEL})"
    )
    if hang:
        text += f"; the order of {count(hang)} of them is not decidable: unjudged predictions could turn it"
    return f"{text}."


def stability(ranks: pl.DataFrame) -> list[str]:
    """How alike label sets order the runs, a line a pair of label sets."""
    lines = []
    for row in ranks.iter_rows(named=True):
        sets = f"*{md_escape(row['first'])}* and *{md_escape(row['second'])}*"
        pairs = row["n"] * (row["n"] - 1) // 2
        if row["tau"] is None:
            lines.append(f"{sets}: too few runs with different accuracies to order.")
        elif not row["swaps"]:
            lines.append(f"{sets} order the {count(row['n'])} runs alike (Kendall τ = {row['tau']:.2f}).")
        else:
            lines.append(
                f"{sets} reverse {count(row['swaps'])} of {plural(pairs, 'pair')} (Kendall τ = {row['tau']:.2f})."
            )
    return lines


def easier(marks: Sequence[tuple[str, str]]) -> str:
    """A caution where runs had different tasks; `marks` are (run, what is special about it, "" for nothing)."""
    special = [(run, mark) for run, mark in marks if mark]
    if not special or len({mark for _, mark in marks}) == 1:
        return ""
    told = "; ".join(f"{md_escape(run)}: {md_escape(mark)}" for run, mark in special)
    return f"Not the same task ({told}): a difference is that of the tasks too."
