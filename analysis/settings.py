"""Where Errata keeps what belongs to no workspace; each can be set in the environment."""

from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the variables ERRATA_HOME, ERRATA_CACHE and ERRATA_DATABASE_URL."""

    model_config = SettingsConfigDict(env_prefix="ERRATA_")

    home: Path = Field(default_factory=lambda: Path.home() / ".errata")
    """The server's own: its secret, and what several workspaces share."""

    cache: Path = Field(default_factory=lambda: Path.home() / ".cache" / "errata")
    """What was fetched and can be fetched again."""

    database_url: SecretStr | None = None
    """PostgreSQL for what people make in all workspaces, instead of `errata.db` in each; it may hold a password."""


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
