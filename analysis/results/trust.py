"""Which label sets of a workspace say more than the original labels, and how far each is trusted."""

from analysis.workspace import Workspace

PREFERRED = ("reviewed", "truth", "expert", "real")
"""Label sets that say more than `original`, the most trusted first; others follow by name."""


def by_trust(workspace: Workspace) -> list[str]:
    """The label sets other than `original`, the most trusted first."""
    trust = {name: rank for rank, name in enumerate(PREFERRED)}
    names = workspace.label_set_names()[1:]
    return sorted(names, key=lambda name: (trust.get(name, len(PREFERRED)), name))


def better_labels(workspace: Workspace) -> str | None:
    """The label set to hold `original` against, None where there is no other."""
    return next(iter(by_trust(workspace)), None)
