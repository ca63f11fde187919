"""Classes as model outputs name them: ids, indices, names, `LABEL_3`, all names in a row, a background class."""

import re
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.labels.classes import ClassList
from analysis.models.formats.ranking import BACKGROUND

_TRANSFORMERS = re.compile(r"LABEL_(\d+)")  # what transformers calls class 3 of a model without names


class OutputNames:
    """Resolves class cells of one file, and keeps account of what had no class of its own."""

    def __init__(self, classes: ClassList) -> None:
        self.classes = classes
        self.background = 0
        """Cells that named a background class."""
        self.ambiguous: dict[str, int] = {}
        """Names that several classes share, with how many cells hold them."""

    def resolve(self, cells: pl.Series, where: str) -> NDArray[np.int32]:
        """Class index (n,) of each cell; -1 for empty ones, the background class and names of several classes.

        Raises InputError (from ClassList.resolve) naming the row and the value that is unknown.
        """
        if cells.dtype == pl.String:
            cells = self._as_known(cells)
        return self.classes.resolve(cells, where=where).cast(pl.Int32).fill_null(-1).to_numpy()

    def _as_known(self, cells: pl.Series) -> pl.Series:
        aliases: dict[str, str | None] = {}
        for value, n in cells.drop_nulls().value_counts().iter_rows():
            text = value.strip()
            if not text or text in self._ids:
                continue
            if text.lower() in BACKGROUND:
                aliases[value], self.background = None, self.background + n
            elif match := _TRANSFORMERS.fullmatch(text):
                aliases[value] = self.classes.ids[int(match[1])] if int(match[1]) < len(self.classes) else value
            elif named := self._by_names.get(text):
                aliases[value] = self.classes.ids[named[0]] if len(named) == 1 else None
                if len(named) > 1:
                    self.ambiguous[text] = self.ambiguous.get(text, 0) + n
        if not aliases:
            return cells
        return cells.replace(list(aliases), pl.Series(list(aliases.values()), dtype=pl.String))

    @cached_property
    def _ids(self) -> set[str]:
        return set(self.classes.ids)

    @cached_property
    def _by_names(self) -> dict[str, list[int]]:
        """Class indices by all names of a class in a row ("tench, Tinca tinca"), and by its first name.

        A first name that is also all the names of one class alone means that class: `maillot` beside
        `maillot, tank suit`.
        """
        first: dict[str, list[int]] = {}
        whole: dict[str, list[int]] = {}
        for index, name, synonyms in self.classes.frame.select("index", "name", "synonyms").iter_rows():
            first.setdefault(name, []).append(index)
            whole.setdefault(", ".join([name, *synonyms]), []).append(index)
        return first | whole

    def checks(self) -> dict[str, object]:
        """What a run's record says of it."""
        found: dict[str, object] = {"background": f"by name, {self.background:,} cells"} if self.background else {}
        return found | ({"ambiguous_names": self.ambiguous} if self.ambiguous else {})

    def doubts(self, name: str) -> list[str]:
        """Why the file should not be taken as it is."""
        if not self.ambiguous:
            return []
        text = max(self.ambiguous, key=lambda text: self.ambiguous[text])
        ids = " and ".join(self.classes.ids[index] for index in self._by_names[text])
        return [
            f"{name}: the class name {text!r} is that of {ids}, in {sum(self.ambiguous.values()):,} places of the "
            f"file. Write ids or class indices. --force leaves these places out."
        ]
