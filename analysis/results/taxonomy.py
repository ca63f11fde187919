"""What the classes of a workspace are to each other: their hierarchy, superclasses, and what is right below a class."""

from functools import lru_cache

from analysis.artefacts import Artefact
from analysis.labels.hierarchy import Hierarchy, hierarchy_of, superclasses, with_lower_classes
from analysis.labels.sets import LabelSet
from analysis.labels.superclasses import Superclasses
from analysis.workspace import Workspace

# A snapshot never changes, so what is derived from one can be kept as long as it is in use.


@lru_cache(maxsize=8)
def hierarchy(workspace: Workspace) -> Hierarchy | None:
    """The hierarchy over the workspace's classes; None where it has none."""
    return hierarchy_of(workspace.classes())


@lru_cache(maxsize=8)
def superclass_table(workspace: Workspace) -> Superclasses | None:
    """The superclasses that the workspace goes by: those of a file, else of the class list's hierarchy, else None."""
    stored = workspace.cause_tables().get("superclasses")
    if stored is not None:
        return Superclasses(stored.table, len(workspace.classes()), basis_of(workspace, stored))
    above = hierarchy(workspace)
    return None if above is None else superclasses(above)


@lru_cache(maxsize=32)
def accepting(workspace: Workspace, labels: str) -> LabelSet:
    """A label set in which classes below a valid one are valid too, where the class list has a hierarchy of its own."""
    above = hierarchy(workspace)
    return workspace.labels(labels) if above is None else with_lower_classes(workspace.labels(labels), above)


def basis_of(workspace: Workspace, stored: Artefact) -> str:
    """Who or what an imported table rests on, and that it is stale where it is."""
    reason = workspace.stale(stored)
    return str(stored.manifest["basis"]) + (f" (stale: {reason})" if reason else "")
