"""How far apart the classes of a workspace are: in its hierarchy, or by what its images look like."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels import hierarchy as hierarchies
from analysis.search import open_index
from analysis.workspace import Workspace

Distance = Literal["hierarchy", "embedding"]
FARTHEST = 2.0
"""Of two directions, as cosine distance."""


def class_distances(workspace: Workspace, by: Distance, space: str | None = None) -> NDArray | None:
    """Distances (C, C) between classes, 0 to themselves: edges of the hierarchy (None where the class list has
    none), or cosine distances of the mean embeddings in a space (None: the first one).

    A class without an image in the space is as far from every other as can be. Raises InputError where embeddings
    are asked for and there is no space, WorkspaceError for a space that does not exist.
    """
    if by == "hierarchy":
        hierarchy = hierarchies.hierarchy_of(workspace.classes())
        return None if hierarchy is None else hierarchies.distances(hierarchy)
    names = workspace.space_names()
    if space is None and not names:
        raise InputError("Distances by embedding need a space: make one with `errata space build`.")
    apart = mean_distances(workspace, space or names[0])
    apart = np.where(np.isfinite(apart + apart.T), apart, FARTHEST)
    np.fill_diagonal(apart, 0)
    return apart


def mean_distances(workspace: Workspace, space: str) -> NDArray[np.float32]:
    """(C, C) cosine distances of the mean embeddings of each original label's images; infinite to a class without."""
    index = open_index(workspace.space(space).folder)
    labels = workspace.original_labels[index.items]
    sums = np.zeros((len(workspace.classes()), index.dimension), np.float32)
    for start in range(0, len(labels), 10_000):
        rows = np.arange(start, min(start + 10_000, len(labels)))
        rows = rows[labels[rows] >= 0]
        np.add.at(sums, labels[rows], index.vectors(rows))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    means = sums / np.maximum(length, 1e-12)
    apart = np.clip(1 - means @ means.T, 0, FARTHEST)
    apart[:, length[:, 0] == 0] = np.inf
    return apart
