"""Things that are made once and never changed: immutable versions, and one small file naming the current one.

    HOME/0001-3fa9c2d1/   a version: files and a manifest; complete and on disk before anyone can see it
    HOME/current          the current version's name; replaced atomically, so a reader sees old or new

Writing goes on in `HOME/.staging-*`, without a lock. Publishing takes the lock of HOME, flushes every file,
renames the staging folder to its version and replaces `current`. Whatever moment a writer is killed at, the
workspace opens again with the version that was current before, or with the new one.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.errors import ErrataError, InputError, LockedError, WorkspaceError

FORMAT = 1
"""The version of everything that a workspace keeps on disk."""

CURRENT = "current"
LOCK_SECONDS = 30.0
LONGEST_NAME = 500
_STAGING = ".staging-"
_VERSION = re.compile(r"[0-9]{4,}-[0-9a-f]{8}")

_DISK_FULL = (
    "The disk is full or over quota at {home}: nothing was published and the version from before still holds. "
    "Free some space and run the command again."
)
_NO_PERMISSION = "No permission to write {path}. Change its owner or rights, then try again."
_EXPLANATIONS = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EFBIG: _DISK_FULL,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "{path} cannot be written: its file system is read-only. Mount it writable, or choose another path.",
    errno.ENOTDIR: "{path} lies below something that is a file and no folder. Choose another path.",
    errno.ENAMETOOLONG: "The file system takes no name as long as that of {path}. Choose a shorter one.",
    errno.EEXIST: "{path} is in the way: it is no folder (a link to nothing, perhaps). Remove it or choose another.",
    errno.ENOENT: "{path} cannot be made: what should hold it is not there, or takes no files. Choose another path.",
}
_ANY_OTHER = "{path} cannot be read or written: {why}. Mend that or choose another path, then try again."


def code_version() -> str:
    """The version of Errata that is running."""
    try:
        return version("errata")
    except PackageNotFoundError:
        return "unknown"


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def slug(reference: str) -> str:
    """A folder name for a name: readable characters, and a short hash so that no two names share one.

    Raises InputError for what is no name: nothing, more than LONGEST_NAME characters, or text that holds control
    characters, line breaks or halves of characters.
    """
    if not reference.strip():
        raise InputError("A name is needed, and an empty one was given.")
    if len(reference) > LONGEST_NAME:
        raise InputError(
            f"The name {reference[:40]!r}... has {len(reference):,} characters; give one of at most {LONGEST_NAME}."
        )
    require_utf8(reference, "name")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in reference):
        raise InputError(f"The name {reference!r} holds control characters or line breaks; give one without.")
    readable = re.sub(r"[^a-z0-9._-]+", "-", reference.lower()).strip("-.")[:80] or "unnamed"
    return f"{readable}-{hashlib.blake2b(reference.encode(), digest_size=4).hexdigest()}"


def require_utf8(text: str | Path, what: str) -> None:
    """Raises InputError for a name or path that no file of ours can hold: bytes that are not UTF-8."""
    try:
        str(text).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The {what} {str(text)!r} is not valid UTF-8. Rename it, or choose another.") from error


def file_hash(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash it holds the old bytes or the new ones."""
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    with explaining(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _flush(path.parent)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame; through Python's file, so that a full disk is an OSError like any other."""
    with path.open("wb") as file:
        frame.write_parquet(file)


def _flush(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Artefact:
    """One published version of a thing in the workspace."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The full name or reference, as people gave it."""
        return str(self.manifest["name"])

    @property
    def slug(self) -> str:
        return self.folder.parent.name

    @property
    def version(self) -> str:
        return self.folder.name

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What this was made from: a fingerprint for each input."""
        return dict(self.manifest.get("inputs", {}))

    def file(self, name: str) -> Path | None:
        """The path of one of its files, None when this version has no such file."""
        return self.folder / name if name in self.manifest["files"] else None


class File(BaseModel):
    """What a manifest says of one of its files."""

    model_config = ConfigDict(strict=True)
    bytes: int
    hash: str


class Manifest(BaseModel):
    """What each manifest holds; a kind's own keys are a subclass's, and other keys are kept as they are."""

    model_config = ConfigDict(strict=True, extra="allow")
    format: int
    name: str
    created: str
    inputs: dict[str, str]
    files: dict[str, File]


def current_version(home: Path) -> str | None:
    """The name of the current version of the artefact at `home`, None when nothing was published there.

    Raises WorkspaceError when the file that says so is damaged.
    """
    try:
        name = (home / CURRENT).read_bytes().strip().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _no_version(home, str(error)) from error
    if not _VERSION.fullmatch(name):
        raise _no_version(home, f"it holds {name[:60]!r}")
    return name


def _no_version(home: Path, why: str) -> WorkspaceError:
    newest = f", such as {found[-1].name}" if (found := versions(home)) else ""
    return WorkspaceError(
        f"{home / CURRENT} should hold the name of a version and does not ({why}). Restore it from a backup, or "
        f"write the name of a folder beside it into it{newest}."
    )


def open_artefact(
    home: Path, kind: str, version_name: str | None = None, model: type[Manifest] = Manifest
) -> Artefact | None:
    """Open the current (or the named) version at `home`, None when nothing was published there.

    Raises WorkspaceError when the version that should be there is missing or damaged: its manifest is not as
    `model` has it, or a file is not of the manifest's size.
    """
    name = version_name or current_version(home)
    if name is None:
        return None
    folder = home / name
    try:
        manifest = json.loads((folder / f"{kind}.json").read_bytes())
        if manifest["format"] > FORMAT:
            raise WorkspaceError(
                f"{home.name} is of format {manifest['format']}, and this version of Errata reads up to {FORMAT}. "
                f"Upgrade Errata (pip install -U errata)."
            )
        model.model_validate(manifest)
        sizes = {file: (folder / file).stat().st_size for file in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"{kind}.json: {_first(error)}" if isinstance(error, ValidationError) else f"{kind}.json: {error!r}"
        raise WorkspaceError(
            f"Version {name} of {home.name} is damaged ({error if isinstance(error, OSError) else why}). Restore "
            f"the folder {folder} from a backup, or make it again."
        ) from error
    for file, size in sizes.items():
        if size != manifest["files"][file]["bytes"]:
            raise WorkspaceError(
                f"{folder / file} has {size} bytes and should have {manifest['files'][file]['bytes']}. "
                f"Restore it from a backup, or make it again."
            )
    return Artefact(folder, manifest)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    details = error.errors()[0]
    return f"{'.'.join(map(str, details['loc'])) or 'as a whole'}: {details['msg']}"


@contextlib.contextmanager
def staging(home: Path) -> Iterator[Path]:
    """A private folder to write a version's files into; whatever is left in it at the end is removed.

    An error of the file system is raised as an ErrataError that says what to do.
    """
    with explaining(home):
        home.mkdir(parents=True, exist_ok=True)
        folder = home / f"{_STAGING}{uuid.uuid4().hex}"
        # Held as long as the writer lives, so that `sweep` can tell a dead writer's folder from a live one's.
        alive = FileLock(f"{folder}.lock")
        alive.acquire()
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            alive.release()
            with contextlib.suppress(OSError):
                Path(alive.lock_file).unlink(missing_ok=True)


@contextlib.contextmanager
def explaining(home: Path) -> Iterator[None]:
    """Whatever the file system refuses within, as an ErrataError; `home` is what was being read or written."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if (told := explained(error, home)) is None:
            raise
        raise told from error


def explained(error: Exception, home: Path) -> ErrataError | None:
    """An error of the file system in words for people; None for an error that is not the file system's."""
    number, path = getattr(error, "errno", None), getattr(error, "filename", None)
    if number is None and (wrapped := re.search(r"\(os error (\d+)\)", str(error))):  # polars' own writing
        number = int(wrapped[1])
    if number is None:
        return None
    shown = os.fsdecode(path) if isinstance(path, str | bytes) else str(home)
    shown = shown if len(shown) <= 300 else f"{shown[:150]}...{shown[-100:]}"
    words = _EXPLANATIONS.get(number, _ANY_OTHER)
    return ErrataError(words.format(path=shown, home=home, why=os.strerror(number)))


@contextlib.contextmanager
def publishing(home: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the artefact's lock. Raises LockedError when another writer keeps it for longer than `seconds`."""
    lock = FileLock(home / ".lock")
    try:
        with explaining(home):
            home.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=seconds)
    except Timeout as error:
        raise LockedError(
            f"Another process is publishing {home.name} and did not finish within {seconds:.0f} s. Nothing was "
            f"changed. Wait for it to end, then run the command again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def publish(
    home: Path,
    staged: Path,
    kind: str,
    *,
    name: str,
    inputs: dict[str, str],
    details: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
    lock_seconds: float = LOCK_SECONDS,
) -> Artefact:
    """Make the staged files the current version of the artefact at `home`.

    `inputs` are the fingerprints of what it was computed from; `check` is called under the lock and raises
    StaleInputError when one of them is no longer what it was. `details` are further keys of the manifest.
    """
    files = sorted(path for path in staged.iterdir() if path.is_file())
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "name": name,
        "created": now(),
        "made_by": {"errata": code_version(), "host": socket.gethostname()},
        "inputs": inputs,
        **(details or {}),
        "files": {path.name: {"bytes": path.stat().st_size, "hash": file_hash(path)} for path in files},
    }
    content = hashlib.blake2b(json.dumps(manifest, sort_keys=True, default=str).encode(), digest_size=4)
    for path in files:
        _flush(path)
    write_atomically(staged / f"{kind}.json", json.dumps(manifest, indent=1, default=str).encode())
    with publishing(home, lock_seconds):
        check()
        number = 1 + max(map(_number, versions(home)), default=0)
        folder = home / f"{number:04d}-{content.hexdigest()}"
        staged.rename(folder)
        _flush(home)
        write_atomically(home / CURRENT, folder.name.encode())
    return Artefact(folder, manifest)


def withdraw(home: Path, *, lock_seconds: float = LOCK_SECONDS) -> bool:
    """Take back what is current at `home`, as if nothing had been published; False where nothing was.

    Its versions stay on disk until `sweep`.
    """
    if not home.is_dir():
        return False
    with publishing(home, lock_seconds), explaining(home):
        try:
            (home / CURRENT).unlink()
        except FileNotFoundError:
            return False
        _flush(home)
    return True


def versions(home: Path) -> list[Path]:
    """Every version at `home`, the oldest first, whether it ever became current or not."""
    if not home.is_dir():
        return []
    found = (path for path in home.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir())
    return sorted(found, key=_number)


def _number(version: Path) -> int:
    return int(version.name.partition("-")[0])


def sweep(home: Path, keep: int = 1) -> list[Path]:
    """Remove dead writers' staging folders and all but the `keep` newest versions; the current one stays.

    Returns the folders that were removed.
    """
    removed = []
    with explaining(home):
        for folder in home.glob(f"{_STAGING}*"):
            if folder.suffix == ".lock":
                continue
            alive = FileLock(f"{folder}.lock")
            with contextlib.suppress(Timeout):
                alive.acquire(timeout=0)
                shutil.rmtree(folder, ignore_errors=True)
                alive.release()
                Path(alive.lock_file).unlink(missing_ok=True)
                removed.append(folder)
        with publishing(home):
            current = current_version(home)
            past = [path for path in versions(home) if path.name != current]
            for folder in past[: max(0, len(past) - (keep - 1))]:
                shutil.rmtree(folder)
                removed.append(folder)
    return removed
