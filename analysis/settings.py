"""Where Errata keeps what belongs to no workspace; each can be set in the environment."""

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the variables ERRATA_HOME and ERRATA_CACHE."""

    model_config = SettingsConfigDict(env_prefix="ERRATA_")

    home: Path = Field(default_factory=lambda: Path.home() / ".errata")
    """The server's own: its secret, and what several workspaces share."""

    cache: Path = Field(default_factory=lambda: Path.home() / ".cache" / "errata")
    """What was fetched and can be fetched again."""


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
