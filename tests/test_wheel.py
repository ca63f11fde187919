"""The wheel, installed somewhere else and served from an empty folder."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import NewSession

from analysis.create import create
from tests.conftest import CHECKOUT
from tests.test_create import write_table

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel and nothing else; built without the network."""
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("building the wheel without the network needs setuptools 77 or newer here")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    for name in ("app", "analysis"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (
        [*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(source / "dist"), str(source)],
        [*PIP, "install", "--no-index", "--no-deps", "--target", str(target)],
    ):
        wheels = [str(wheel) for wheel in (source / "dist").glob("*.whl")]
        done = subprocess.run([*command, *wheels], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    return target


def environment(installed: Path, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "ERRATA_"))}
    own = {"HOME": str(home), "ERRATA_HOME": str(home / "errata"), "PYTHONPATH": str(installed)}
    return {**kept, **own, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def served(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int, Path]]:
    """A server of the wheel: its address, its process and the empty folder that it was started in."""
    home, empty = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("empty")
    made, _ = create(str(home / "ws"), write_table(home / "labels.csv", {"a": "cat", "b": "dog"}))
    process = subprocess.Popen(
        [sys.executable, str(installed / "bin" / "errata"), "serve", str(made.path), "--port", "0"],
        cwd=empty,
        env=environment(installed, home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:"), process.communicate(timeout=10)[1]
    yield line, process.pid, empty
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors, errors


async def _opened(address: str) -> tuple[NewSession, list[str]]:
    """Open the page as a browser does: its session, and the kinds of messages until the script has finished."""
    kinds, session = [], NewSession()
    url = address.replace("http:", "ws:") + "/_stcore/stream"
    async with websockets.connect(url, subprotocols=["streamlit"], origin=address, max_size=None) as stream:  # type: ignore[arg-type, list-item]
        ask = BackMsg()
        ask.rerun_script.query_string = ""
        await stream.send(ask.SerializeToString())
        while not kinds or kinds[-1] != "script_finished":
            message = ForwardMsg.FromString(await asyncio.wait_for(stream.recv(), 60))  # type: ignore[arg-type]
            kinds.append(str(message.WhichOneof("type")))
            if kinds[-1] == "new_session":
                session = message.new_session
            elif kinds[-1] == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
                pytest.fail(str(message.delta.new_element.exception))
    return session, kinds


def test_the_wheel_serves_from_an_empty_folder(installed: Path, served: tuple[str, int, Path]) -> None:
    address, process, empty = served
    assert httpx.get(f"{address}/health").json() == {"status": "ok", "workspaces": 1}
    font = httpx.get(f"{address}/app/static/fonts/inter-latin.woff2")
    assert (font.status_code, font.headers["content-type"], font.content[:4]) == (200, "font/woff2", b"wOF2")

    session, kinds = asyncio.run(_opened(address))
    assert "delta" in kinds
    assert session.config.gather_usage_stats is False
    assert session.custom_theme.body_font == "Inter, sans-serif"
    assert session.custom_theme.font_faces
    for face in session.custom_theme.font_faces:
        assert httpx.get(f"{address}/{face.url}").status_code == 200

    # Now that every page's modules were imported.
    maps = Path(f"/proc/{process}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text()
    assert list(empty.iterdir()) == []


def test_it_is_the_wheel_that_ran_and_it_brings_its_data(installed: Path, tmp_path: Path) -> None:
    code = (
        "import analysis, app; from analysis.datasets import stamps; "
        "print(analysis.__file__, app.__file__, stamps.table().height, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(installed, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    analysis, app, stamps = done.stdout.splitlines()
    assert Path(analysis).is_relative_to(installed)
    assert Path(app).is_relative_to(installed)
    assert int(stamps) == 142
    # Whatever is no code in the packages is in the wheel too.
    for package in ("app", "analysis"):
        for path in (CHECKOUT / package).rglob("*"):
            if path.suffix in (".js", ".css", ".toml", ".woff2", ".csv", ".md", ".txt", ".svg"):
                assert (installed / path.relative_to(CHECKOUT)).is_file(), path
