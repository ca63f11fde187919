"""The outcomes of predictions in words: for legends, sentences and rows. One table, so that each is said one way."""

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
    if outcome == "fine_grained" and other:
        return f"Fine-grained: shares the superclass “{evidence['superclass']}” with {other}, which is valid."
    if outcome == "spurious_correlation" and other:
        return f"Spurious correlation: seen together with {other} in {evidence['together']} images."
    if outcome == "too_coarse" and other:
        return f"Too coarse: {other}, which is valid, is a kind of it."
    if outcome == "overlapping" and other:
        return f"Overlapping: the class and {other} are one in the map of overlapping classes."
    if outcome == "agrees_with_rejected":
        return f"The prediction is the original label, which “{labels}” does not hold valid."
    if outcome in ("non_prototypical", "fine_grained_oov"):
        return f"{WORDS[outcome].capitalize()}: {evidence['basis']}."
    return "Model failure: no rule tells why." if outcome == "model_failure" else ""
