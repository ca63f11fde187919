"""What the manifest of each kind of artefact holds, beside what every manifest has (analysis/artefacts.py)."""

from typing import Any, Literal

from analysis.artefacts import Manifest


class DatasetManifest(Manifest):
    """A dataset's own keys. Those of `fingerprints` may be fewer than are known today: see Workspace.fingerprints."""

    class_list: str
    image_root: str | None
    note: str
    fingerprints: dict[str, str]


class LabelsManifest(Manifest):
    """A label set's own keys."""

    absent: Literal["wrong", "unjudged"]
    note: str
    conflicts: int


class RunManifest(Manifest):
    """A run's own keys."""

    score_kind: Literal["logits", "probabilities", "ranks"]
    n: int


class SpaceManifest(Manifest):
    """A space's own keys: how each of its steps was made."""

    steps: dict[str, dict[str, Any]]


class CauseManifest(Manifest):
    """The keys of a table that tells causes of mistakes."""

    basis: str
    rows: int


MANIFESTS: dict[str, type[Manifest]] = {
    "dataset": DatasetManifest,
    "labels": LabelsManifest,
    "run": RunManifest,
    "space": SpaceManifest,
    "cause": CauseManifest,
}
"""By kind of artefact, which is also the name of its manifest's file."""
