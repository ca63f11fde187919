"""`errata`: every step from images to answers on the command line. A command's module is named here once."""

import sys

from analysis.cli import causes, datasets, exports, imports, models, numbers, review, reviews, serving
from analysis.cli.base import app, say
from analysis.errors import ErrataError

__all__ = [
    "app", "causes", "datasets", "exports", "imports", "main", "models", "numbers", "review", "reviews", "serving",
]  # fmt: skip


def main() -> None:
    """Run the command line; errors that a person can mend are one message and exit code 1."""
    try:
        app()
    except ErrataError as error:
        say(f"errata: {error}")
        sys.exit(1)
