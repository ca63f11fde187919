"""How long work tells where it is."""

from typing import Protocol


class Progress(Protocol):
    """Called with what is being done, how many units are done, and of how many (None: unknown)."""

    def __call__(self, what: str, done: int, total: int | None) -> None: ...


def silent(what: str, done: int, total: int | None) -> None:
    """Tell nobody."""
