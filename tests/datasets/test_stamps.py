"""Fetching, unpacking and identifying the cutouts of the demo set."""

import hashlib
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import polars as pl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.datasets import stamps
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k

NO_NETWORK = ("Could not resolve", "Could not connect", "Temporary failure", "timed out", "Unable to connect")


@pytest.fixture(scope="session")
def cutouts(pytestconfig: pytest.Config) -> Path:
    """The real cutouts, fetched once and kept in pytest's cache."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get here to fetch the cutouts with")
    try:
        return stamps.fetch(pytestconfig.cache.mkdir("stamps"))
    except InputError as error:
        if any(sign in str(error) for sign in NO_NETWORK):
            pytest.skip(f"no network to fetch the cutouts from: {error}")
        raise


# ---- made packages, with a table to fit

PICTURES = {f"animals/made-{i}.png": b"\x89PNG made picture %d" % i for i in range(4)}


@pytest.fixture
def made_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that names the made pictures instead of the real cutouts."""
    names = {hashlib.sha256(data).hexdigest(): name for name, data in PICTURES.items()}
    monkeypatch.setattr(stamps, "_names", lambda: dict(names))


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def deb(members: list[tuple[tarfile.TarInfo, bytes]], suffix: str = "xz") -> bytes:
    """A Debian package holding these members."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    packed = lzma.compress(tar.getvalue())
    if suffix == "zst":
        packed = pyarrow.compress(tar.getvalue(), codec="zstd", asbytes=True)
    parts = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (f"data.tar.{suffix}".encode(), packed)]
    package = b"!<arch>\n"
    for name, data in parts:
        package += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(data)) + data
        package += b"\n" * (len(data) % 2)
    return package


def whole_package(suffix: str = "xz") -> bytes:
    return deb([member(f"./usr/share/{name}", data) for name, data in PICTURES.items()], suffix)


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


# ---- the table


def test_table_is_what_it_says() -> None:
    table = stamps.table()
    assert table.schema == {
        "stamp": pl.String,
        "sha256": pl.String,
        "label": pl.UInt32,
        "wnid": pl.String,
        "name": pl.String,
        "near": pl.UInt32,
    }
    assert (table.height, table["label"].null_count(), table["label"].drop_nulls().n_unique()) == (142, 32, 105)
    assert table["stamp"].is_unique().all()
    assert table["sha256"].is_unique().all()
    assert table["sha256"].str.contains("^[0-9a-f]{64}$").all()
    known = table.drop_nulls("label")
    ids = imagenet_1k().ids
    assert [ids[label] for label in known["label"]] == known["wnid"].to_list()
    assert set(table["near"]) <= set(known["label"])
    assert (known["near"] != known["label"]).all()
    # A name is joined to a folder: it must not lead out of it.
    assert not table["stamp"].str.contains(r"^/|\.\.|\\").any()


@pytest.mark.shared_data
def test_table_agrees_with_the_published_one(shared_data: Path) -> None:
    published = pl.read_csv(shared_data / "cutouts" / "stamp_classes.csv", schema_overrides={"label": pl.UInt32})
    assert stamps.table().select(published.columns).equals(published)


def test_source_note_names_package_version_and_licence() -> None:
    for fact in (
        stamps.PACKAGE,
        stamps.VERSION,
        "General Public License, version 2 or any later",
        "Bill Kendrick",
    ):
        assert fact in stamps.SOURCE_NOTE


# ---- the real package


def test_fetched_folder_holds_every_cutout(cutouts: Path) -> None:
    found = stamps.find(cutouts)
    assert stamps.missing(found) == []
    assert list(found) == stamps.table()["stamp"].to_list()
    assert files_under(cutouts) == set(found)  # and nothing else of the package


def test_second_fetch_needs_neither_apt_nor_network(cutouts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    before = {path: path.stat().st_mtime_ns for path in cutouts.rglob("*")}
    assert stamps.fetch(cutouts.parent) == cutouts
    assert {path: path.stat().st_mtime_ns for path in cutouts.rglob("*")} == before


# ---- find


def test_find_goes_by_content_not_by_name(tmp_path: Path, made_table: None) -> None:
    wanted = list(PICTURES)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "![x](http:__y).PNG").write_bytes(PICTURES[wanted[2]])
    (tmp_path / "a.png").write_bytes(PICTURES[wanted[0]])
    (tmp_path / "made-1.png").write_bytes(b"right name, other picture")
    found = stamps.find(tmp_path)
    assert found == {wanted[0]: tmp_path / "a.png", wanted[2]: tmp_path / "deep" / "er" / "![x](http:__y).PNG"}
    assert stamps.missing(found) == [wanted[1], wanted[3]]


@pytest.mark.parametrize("made", [None, "folder", "file"])
def test_find_says_what_to_do_where_there_is_nothing(tmp_path: Path, made: str | None) -> None:
    place = tmp_path / "stamps"
    if made == "folder":
        place.mkdir()
        (place / "hen.png").write_bytes(b"no cutout")
    elif made == "file":
        place.write_bytes(b"")
    with pytest.raises(InputError, match=r"--stamps DIR.*--dataset imagenette") as caught:
        stamps.find(place)
    assert str(place) in str(caught.value)


# ---- unpack


@pytest.mark.parametrize("suffix", ["xz", "zst"])
def test_unpack_takes_the_table_s_files_only(tmp_path: Path, made_table: None, suffix: str) -> None:
    package = tmp_path / "stamps.deb"
    members = [member("./usr/share/other.png", b"not in the table"), member("./readme.txt", b"text")]
    members += [member(f"./usr/{name}", data) for name, data in PICTURES.items()]
    package.write_bytes(deb(members, suffix))
    stamps.unpack(package, tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files_under(tmp_path / "out")} == PICTURES


def test_no_name_in_the_archive_is_a_path(tmp_path: Path, made_table: None) -> None:
    home = tmp_path / "home"
    home.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"untouched")
    wanted = list(PICTURES)
    evil = [
        member("../../../evil.png", PICTURES[wanted[0]]),
        member(str(tmp_path / "absolute.png"), PICTURES[wanted[1]]),
        member("animals", type=tarfile.SYMTYPE, linkname=str(tmp_path)),
        member("animals/through-link.png", b"x"),
        member(f"animals/{Path(wanted[2]).name}", type=tarfile.SYMTYPE, linkname=str(secret)),
        member("hard.png", type=tarfile.LNKTYPE, linkname=str(secret)),
        member("device.png", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        member("pipe.png", type=tarfile.FIFOTYPE),
        member("folder.png", type=tarfile.DIRTYPE),
        member(wanted[3], b"name of the table, content of somebody else"),
    ]
    (home / "evil.deb").write_bytes(deb(evil))
    stamps.unpack(home / "evil.deb", home / "out")
    assert files_under(tmp_path) == {
        "home/evil.deb",
        "secret.png",
        f"home/out/{wanted[0]}",
        f"home/out/{wanted[1]}",
    }
    assert secret.read_bytes() == b"untouched"
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_member_too_large_is_not_read(tmp_path: Path, made_table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    large = next(iter(PICTURES))
    monkeypatch.setattr(stamps, "_TOO_LARGE", len(PICTURES[large]) - 1)
    (tmp_path / "stamps.deb").write_bytes(whole_package())
    with pytest.raises(InputError, match="holds none"):
        stamps.unpack(tmp_path / "stamps.deb", tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", b"!<arch>\n", deb([]), whole_package()[:-40], whole_package("zst")[:-40]],
    ids=["empty", "html", "no-members", "no-data", "cut", "cut-zst"],
)
def test_damaged_package_is_refused(tmp_path: Path, made_table: None, content: bytes) -> None:
    (tmp_path / "stamps.deb").write_bytes(content)
    with pytest.raises(InputError, match=r"stamps\.deb .*--stamps DIR"):
        stamps.unpack(tmp_path / "stamps.deb", tmp_path / "out")


PACKAGES = {suffix: whole_package(suffix) for suffix in ("xz", "zst")}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(["xz", "zst"]))
def test_whatever_is_damaged_nothing_else_is_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
) -> None:
    package = bytearray(PACKAGES[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        package[data.draw(st.integers(0, len(package) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path_factory.mktemp("damaged")
    (place / "stamps.deb").write_bytes(package)
    with pytest.MonkeyPatch.context() as patch:
        names = {hashlib.sha256(content).hexdigest(): name for name, content in PICTURES.items()}
        patch.setattr(stamps, "_names", lambda: dict(names))
        try:
            stamps.unpack(place / "stamps.deb", place / "out")
        except InputError as error:
            assert "stamps.deb" in str(error)  # noqa: PT017 - both outcomes are right
    for name in files_under(place) - {"stamps.deb"}:
        assert (place / name).read_bytes() == PICTURES[name.removeprefix("out/")]


# ---- fetch, with an apt-get of our own


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, download: str, update: str = ":") -> None:
    """Put a script in apt-get's place that runs `update` or `download` (shell code)."""
    folder.mkdir(exist_ok=True)
    script = folder / "apt-get"
    script.write_text(f'#!/bin/sh\ncase "$*" in\n*update) {update};;\n*download*) {download};;\nesac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_apt_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"no apt-get.*--stamps DIR.*--dataset imagenette"):
        stamps.fetch(tmp_path)
    assert not list(tmp_path.glob("*cutouts*"))


def test_without_network_it_gives_apt_s_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(
        tmp_path / "bin",
        monkeypatch,
        update="echo \"W: Failed to fetch: Could not resolve 'deb.debian.org'\" >&2",
        download="echo 'E: Unable to locate package' >&2; exit 100",
    )
    with pytest.raises(InputError, match=r"Could not resolve.*Unable to locate.*--stamps DIR.*--dataset imagenette"):
        stamps.fetch(tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_fetch_uses_private_folders_and_tells_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_table: None
) -> None:
    (tmp_path / "made.deb").write_bytes(whole_package())
    fake_apt(
        tmp_path / "bin",
        monkeypatch,
        update=f'printf "%s\\n" "$@" > {tmp_path}/arguments',
        download=f"cp {tmp_path}/made.deb stamps_1_all.deb; sleep 0.7",
    )
    told: list[tuple[str, int, int | None]] = []
    folder = stamps.fetch(tmp_path / "cache", lambda *state: told.append(state))
    assert files_under(folder) == set(PICTURES)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [folder.name]
    arguments = (tmp_path / "arguments").read_text().splitlines()
    for option in ("Dir::State=", "Dir::State::status=", "Dir::Cache="):
        assert any(argument.startswith(f"{option}{tmp_path / 'cache'}") for argument in arguments), option
    assert "APT::Sandbox::User=" in arguments
    assert len({what for what, _, _ in told}) == 3


def test_damaged_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_table: None) -> None:
    (tmp_path / "made.deb").write_bytes(whole_package()[:-40])
    fake_apt(tmp_path / "bin", monkeypatch, download=f"cp {tmp_path}/made.deb stamps_1_all.deb")
    with pytest.raises(InputError, match="damaged"):
        stamps.fetch(tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_killed_fetch_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_table: None) -> None:
    cache = tmp_path / "cache"
    fake_apt(tmp_path / "bin", monkeypatch, download="touch started.deb; sleep 60")
    code = "import sys, pathlib; from analysis.datasets import stamps; stamps.fetch(pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cache)], cwd=Path(__file__).parents[2], start_new_session=True
    )
    try:
        for _ in range(300):
            if list(cache.glob(".*/package/started.deb")):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the download did not start")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    folder = cache / f"{stamps.PACKAGE}-cutouts"
    assert not folder.exists()
    assert list(cache.glob(".*/package"))  # it was killed in the middle

    (tmp_path / "made.deb").write_bytes(whole_package())
    fake_apt(tmp_path / "bin2", monkeypatch, download=f"cp {tmp_path}/made.deb stamps_1_all.deb")
    assert files_under(stamps.fetch(cache)) == set(PICTURES)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [folder.name]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"could not be stored in .*file"):
        stamps.fetch(tmp_path / "file" / "cache")
