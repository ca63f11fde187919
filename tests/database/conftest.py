"""Every test of this folder that takes `workspace` runs over both databases."""

from tests.databases import database, postgres, workspace

__all__ = ["database", "postgres", "workspace"]
