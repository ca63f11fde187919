"""Versions are published whole or not at all, whatever moment the writer dies at."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from analysis.artefacts import (
    FORMAT,
    LONGEST_NAME,
    current_version,
    open_artefact,
    publish,
    publishing,
    slug,
    staging,
    sweep,
    versions,
    withdraw,
    write_atomically,
)
from analysis.errors import ErrataError, InputError, LockedError, StaleInputError, WorkspaceError


def put(home: Path, text: str, **options: object) -> str:
    """Publish one small file and return the version's name."""
    with staging(home) as folder:
        (folder / "data.txt").write_text(text)
        return publish(home, folder, "thing", name="a thing", inputs={}, **options).version  # type: ignore[arg-type]


def held(home: Path) -> str | None:
    artefact = open_artefact(home, "thing")
    return None if artefact is None else (artefact.folder / "data.txt").read_text()


class Crash(BaseException):
    """The process is dead from here on."""


@contextmanager
def dying_at(step: int) -> Iterator[list[str]]:
    """Every touch of the file system from the given one on fails, cleaning up included, as in a killed process."""
    steps: list[str] = []
    places: list[tuple[object, str]] = [
        (os, "fsync"),
        (Path, "rename"),
        (Path, "replace"),
        (Path, "mkdir"),
        (Path, "open"),
        (Path, "unlink"),
        (shutil, "rmtree"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in places]

    def dying(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def act(*args: object, **kwargs: object) -> object:
            steps.append(name)
            if len(steps) >= step:
                raise Crash(name)
            return real(*args, **kwargs)

        return act

    for owner, name, real in before:
        setattr(owner, name, dying(name, real))
    try:
        yield steps
    finally:
        for owner, name, real in before:
            setattr(owner, name, real)


def crash_everywhere(act: Callable[[], object], prepare: Callable[[], None], check: Callable[[], None]) -> int:
    """Run `act` once for each of its steps, dying there; `check` after each. Returns how many steps there are."""
    step = 0
    while True:
        step += 1
        prepare()
        with dying_at(step):
            try:
                act()
            except Crash:
                survived = False
            else:
                survived = True
        check()
        if survived:
            return step - 1


def test_a_writer_that_dies_at_any_step_leaves_the_old_version_or_the_new(tmp_path: Path) -> None:
    home = tmp_path / "home"
    seen: set[str | None] = set()

    def prepare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        put(home, "old")

    def check() -> None:
        text = held(home)
        seen.add(text)
        assert text in ("old", "new")
        put(home, "next")
        assert held(home) == "next"

    steps = crash_everywhere(lambda: put(home, "new"), prepare, check)
    assert steps > 10
    assert seen == {"old", "new"}


def test_first_publication_that_dies_leaves_nothing_to_open(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def check() -> None:
        assert held(home) in (None, "new")

    crash_everywhere(lambda: put(home, "new"), lambda: shutil.rmtree(home, ignore_errors=True), check)


def test_sweep_removes_what_dead_writers_left_and_keeps_the_current_version(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "two")
    with dying_at(6), pytest.raises(Crash):
        put(tmp_path, "three")
    with staging(tmp_path) as alive:
        sweep(tmp_path)
        assert alive.is_dir()
    assert held(tmp_path) == "two"
    assert [path.name for path in versions(tmp_path)] == [current_version(tmp_path)]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".staging-")]


def test_withdrawing_dies_at_any_step_and_leaves_the_version_or_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    seen: set[str | None] = set()

    def prepare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        put(home, "old")

    crash_everywhere(lambda: withdraw(home), prepare, lambda: seen.add(held(home)))
    assert seen == {"old", None}


def test_what_is_withdrawn_can_be_swept_and_published_again(tmp_path: Path) -> None:
    assert not withdraw(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    put(tmp_path, "one")
    assert withdraw(tmp_path)
    assert held(tmp_path) is None
    assert not withdraw(tmp_path)
    put(tmp_path, "two")
    assert held(tmp_path) == "two"
    assert withdraw(tmp_path)
    assert [path.name[:4] for path in versions(tmp_path)] == ["0001", "0002"]
    sweep(tmp_path)
    assert versions(tmp_path) == []


def test_killed_process_leaves_the_old_version(tmp_path: Path) -> None:
    put(tmp_path, "old")
    program = (
        "import sys, time; from pathlib import Path; from analysis.artefacts import staging\n"
        "with staging(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'data.txt').write_text('new'); print('writing', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert held(tmp_path) == "old"
    assert len(sweep(tmp_path)) == 1


def test_second_publisher_waits_then_is_told(tmp_path: Path) -> None:
    started = time.monotonic()
    with publishing(tmp_path), pytest.raises(LockedError, match="Another process is publishing"):
        put(tmp_path, "mine", lock_seconds=0.2)
    assert time.monotonic() - started < 5
    assert held(tmp_path) is None


def test_writers_side_by_side_lose_no_version(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from analysis.artefacts import publish, staging\n"
        "home = Path(sys.argv[1])\n"
        "for number in range(10):\n"
        "    with staging(home) as folder:\n"
        "        (folder / 'data.txt').write_text(f'{sys.argv[2]}{number}')\n"
        "        publish(home, folder, 'thing', name='a thing', inputs={})\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    for writer in writers:
        _, complaint = writer.communicate(timeout=120)
        assert writer.returncode == 0, complaint
    texts = {(folder / "data.txt").read_text() for folder in versions(tmp_path)}
    assert texts == {f"{name}{number}" for name in "ab" for number in range(10)}
    assert held(tmp_path) in {"a9", "b9"}


def test_changed_input_is_refused_under_the_lock(tmp_path: Path) -> None:
    def check() -> None:
        raise StaleInputError("the images changed")

    put(tmp_path, "old")
    with pytest.raises(StaleInputError):
        put(tmp_path, "new", check=check)
    assert held(tmp_path) == "old"


def test_full_disk_is_said_and_leaves_the_old_version(tmp_path: Path) -> None:
    put(tmp_path, "old")
    program = (
        "import resource, signal, sys; from pathlib import Path; from analysis.artefacts import staging\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "with staging(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'data.txt').write_text('x' * 100_000)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "ErrataError: The disk is full" in run.stderr
    assert held(tmp_path) == "old"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".staging-")]


def test_damaged_version_is_named(tmp_path: Path) -> None:
    version = put(tmp_path, "whole")
    (tmp_path / version / "data.txt").write_text("who")
    with pytest.raises(WorkspaceError, match=r"3 bytes and should have 5"):
        open_artefact(tmp_path, "thing")
    (tmp_path / version / "data.txt").unlink()
    with pytest.raises(WorkspaceError, match="damaged"):
        open_artefact(tmp_path, "thing")


def test_permission_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", "data.txt")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ErrataError, match=r"No permission to write data\.txt"):
        put(tmp_path, "mine")


def test_manifest_tells_what_made_it(tmp_path: Path) -> None:
    put(tmp_path, "text", details={"model": "timm:resnet50"})
    artefact = open_artefact(tmp_path, "thing")
    assert artefact is not None
    assert artefact.manifest["format"] == FORMAT
    assert artefact.manifest["model"] == "timm:resnet50"
    assert artefact.manifest["files"]["data.txt"]["bytes"] == 4
    assert artefact.manifest["created"].endswith("+00:00")


names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip)


@given(names, names)
def test_slugs_are_safe_folder_names_and_tell_texts_apart(one: str, other: str) -> None:
    first, second = slug(one), slug(other)
    assert set(first) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert len(first) <= 89
    assert not first.startswith(".")
    assert (first == second) == (one == other)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a\nb", "control characters"),
        ("a\x7f", "control characters"),
        ("a\u2028b", "line breaks"),
        ("a\x1b[31m", "control characters"),
        ("a\udcff", "not valid UTF-8"),
        ("a" * (LONGEST_NAME + 1), f"{LONGEST_NAME + 1} characters"),
    ],
)
def test_what_is_no_name_is_refused(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        slug(name)
    assert str(refused.value).isprintable()


def test_a_name_may_be_as_long_as_allowed_and_in_any_script() -> None:
    assert len(slug("\U0001f9ff" * LONGEST_NAME)) < 100


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "No permission"),
        (errno.ENOTDIR, "a file and no folder"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EEXIST, "in the way"),
        (errno.ENOENT, "cannot be made"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("place", ["mkdir", "lock", "write", "polars"])
def test_whatever_the_file_system_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str, place: str
) -> None:
    put(tmp_path, "old")

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))

    def act() -> None:
        with staging(tmp_path):
            if place == "polars":
                raise pl.exceptions.ComputeError(f"{os.strerror(number)} (os error {number})")
            write_atomically(tmp_path / "file", b"data")

    owner: Any = {"mkdir": Path, "lock": FileLock, "write": os, "polars": Path}[place]
    with monkeypatch.context() as patch:
        if place != "polars":
            patch.setattr(owner, {"mkdir": "mkdir", "lock": "acquire", "write": "fsync"}[place], refuse)
        with pytest.raises(ErrataError, match=told) as raised:
            act()
    assert str(tmp_path) in str(raised.value)
    assert held(tmp_path) == "old"


def test_paths_that_cannot_be_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for path, told in (
        (tmp_path / "file" / "home", "a file and no folder"),
        (tmp_path / "dangling", "link to nothing"),
        (tmp_path / ("long" * 100), "shorter"),
        (Path("/proc/errata"), "cannot be made"),
    ):
        with pytest.raises(ErrataError, match=told):
            put(path, "text")
        with pytest.raises(ErrataError, match=told), publishing(path):
            pass


def test_other_errors_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="my own"), staging(tmp_path):
        raise ValueError("my own")
    with pytest.raises(pl.exceptions.ColumnNotFoundError), staging(tmp_path):
        pl.DataFrame({"a": [1]})["b"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"../elsewhere", b"0001-abc", b"folder"])
def test_a_damaged_pointer_is_named_and_publishing_mends_it(tmp_path: Path, content: bytes) -> None:
    version = put(tmp_path, "old")
    (tmp_path / "current").unlink()
    if content == b"folder":
        (tmp_path / "current").mkdir()
    else:
        (tmp_path / "current").write_bytes(content)
    with pytest.raises(WorkspaceError, match=f"current should hold.*{version}"):
        current_version(tmp_path)
    if content != b"folder":
        put(tmp_path, "new")
        assert held(tmp_path) == "new"


def test_a_file_named_like_a_version_is_none(tmp_path: Path) -> None:
    put(tmp_path, "one")
    (tmp_path / "0007-0123abcd").write_text("stray")
    put(tmp_path, "two")
    sweep(tmp_path)
    assert held(tmp_path) == "two"
    assert [path.name for path in versions(tmp_path)] == [current_version(tmp_path)]
    assert (tmp_path / "0007-0123abcd").is_file()


@pytest.mark.parametrize("lost", ["format", "name", "created", "inputs", "files"])
def test_a_manifest_without_a_key_is_damage(tmp_path: Path, lost: str) -> None:
    manifest = tmp_path / put(tmp_path, "text") / "thing.json"
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({key: value for key, value in whole.items() if key != lost}))
    with pytest.raises(WorkspaceError, match=rf"thing\.json: .*{lost}"):
        open_artefact(tmp_path, "thing")


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "null", "", "\0\0\0", "[" * 100_000, '{"format": 1}', '{"format": "1"}', '{"format": 1, "files": []}'],
)
def test_a_manifest_that_is_something_else_is_damage(tmp_path: Path, content: str) -> None:
    (tmp_path / put(tmp_path, "text") / "thing.json").write_text(content)
    with pytest.raises(WorkspaceError, match="damaged"):
        open_artefact(tmp_path, "thing")
