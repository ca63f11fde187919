"""What people make and share in a workspace, in a database: SQLite in its folder, or PostgreSQL for several servers."""

from analysis.database.connections import FILE, engine, reading, writing

__all__ = ["FILE", "engine", "reading", "writing"]
