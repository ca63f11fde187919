"""A workspace's folder: what it says of itself, where its artefacts lie, and which version of each is current."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.artefacts import FORMAT, current_version, explained, explaining
from analysis.errors import WorkspaceError

CONFIG = "errata.toml"
LABELS, RUNS, SPACES, CAUSES, DATASET, PARTIAL = "labels", "runs", "spaces", "causes", "dataset", "partial"


def is_workspace(path: Path) -> bool:
    """Whether the folder holds a workspace of any format. Raises ErrataError for a path that cannot be."""
    with explaining(path):
        return (path / CONFIG).is_file()


def read_config(path: Path) -> dict[str, Any]:
    """The workspace's errata.toml. Raises WorkspaceError when there is none, or it is damaged or newer."""
    try:
        config = tomllib.loads((path / CONFIG).read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not a workspace (it has no errata.toml)" if path.exists() else "does not exist"
        raise WorkspaceError(f"{path} {what}. Make one with `errata create {path.name} --images DIR`.") from error
    except OSError as error:
        raise explained(error, path / CONFIG) or error from error
    except (ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path / CONFIG} cannot be read: {error}. Restore it from a backup.") from error
    if isinstance(config.get("format"), int) and config["format"] > FORMAT:
        raise WorkspaceError(
            f"{path} is of workspace format {config['format']}, and this version of Errata reads up to {FORMAT}. "
            f"Upgrade Errata (pip install -U errata)."
        )
    wanted = {"format": int, "uuid": str, "name": str}
    if missing := [key for key, kind in wanted.items() if not isinstance(config.get(key), kind)]:
        raise WorkspaceError(f"{path / CONFIG} lacks {', '.join(missing)}. Restore it from a backup.")
    return config


def homes(path: Path) -> list[Path]:
    """The folder of every artefact, published or not."""
    kinds = (path / folder for folder in (LABELS, RUNS, SPACES, CAUSES))
    with explaining(path):
        named = [entry for kind in kinds if kind.is_dir() for entry in sorted(kind.iterdir()) if entry.is_dir()]
    return [path / DATASET, *named]


def current_versions(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The current version of every artefact by its home, relative to the workspace; and why of those that lack it."""
    found: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for folder in homes(path):
        home = folder.relative_to(path).as_posix()
        try:
            if version := current_version(folder):
                found[home] = version
        except WorkspaceError as error:
            damaged[home] = str(error)
    return found, damaged


def digest(versions: Mapping[str, str]) -> str:
    """One name for a state of the workspace."""
    return hashlib.blake2b(json.dumps(versions, sort_keys=True).encode(), digest_size=8).hexdigest()
