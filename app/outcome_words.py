"""The outcomes of predictions in words: for legends, sentences and rows. One table, so that each is said one way."""

from analysis.causes import CATEGORIES
from app.components.outcomes import Outcome

WORDS = {
    "not_scored": "not scored",
    "correct": "correct",
    "agrees_with_rejected": "agrees with a rejected label",
    "overlapping": "overlapping class",
    "multi_label": "valid by another label",
    "too_coarse": "too coarse",
    "fine_grained": "fine-grained",
    "fine_grained_oov": "fine-grained, outside the vocabulary",
    "spurious_correlation": "spurious correlation",
    "non_prototypical": "non-prototypical",
    "model_failure": "model failure",
}
ENDS = {
    "correct": "{labels} holds it valid.",
    "multi_label": "{labels} holds the prediction valid too.",
    "agrees_with_rejected": "the prediction is the original label, but {labels} does not hold it valid.",
    "overlapping": "the two classes overlap.",
    "not_scored": "{labels} does not score this image.",
    "too_coarse": "the prediction is broader than a valid class.",
}


def look(right: bool | None, unjudged: bool | None) -> Outcome | None:
    """How a prediction is coloured and signed; None where it is not scored."""
    if right is None:
        return None
    if right:
        return "right"
    return "unjudged" if unjudged else "wrong"


def because(evidence: dict[str, object], class_names: list[str], labels: str) -> str:
    """A row of analysis.outcomes.evidence as a sentence; empty where the outcome says it all."""
    outcome, index = str(evidence["outcome"]), evidence["because"]
    other = None if index is None else class_names[int(str(index))]
    if outcome == "agrees_with_rejected":
        return f"The prediction is the original label, which “{labels}” does not hold valid."
    if outcome == "overlapping" and other:
        return f"Overlapping: the class and {other} are one in the map of overlapping classes."
    if outcome not in CATEGORIES:
        return ""
    why = ""
    if outcome == "fine_grained" and other:
        why = f"shares the superclass “{evidence['superclass']}” with {other}, which is valid"
    elif outcome == "spurious_correlation" and other:
        why = f"seen together with {other} in {evidence['together']} images"
    elif outcome == "too_coarse" and other:
        why = f"{other}, which is valid, is a kind of it"
    elif not _judged(evidence):
        why = "no rule tells why" if outcome == "model_failure" else str(evidence["basis"])
    return f"{WORDS[outcome].capitalize()}{': ' if why else ''}{why}."


def said_by(evidence: dict[str, object]) -> str:
    """Who or what puts a mistake into its category: a panel, or a rule and on what it rests; empty where none does."""
    outcome = str(evidence["outcome"])
    if _judged(evidence):
        return str(evidence["basis"]).replace("judged", "Judged", 1)
    told_above = ("non_prototypical", "fine_grained_oov", "model_failure")
    if outcome not in CATEGORIES or outcome in told_above or evidence["basis"] is None:
        return ""
    return f"Suggested by rule ({evidence['basis']})"


def _judged(evidence: dict[str, object]) -> bool:
    return str(evidence["basis"] or "").startswith("judged by ")
