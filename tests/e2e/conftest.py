"""A real server in a process of its own, and a real Chromium to look at it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import CHECKOUT

SCENES = 320
ERRATA = Path(sys.executable).with_name("errata")
READY_SECONDS = 90
expect.set_options(timeout=20_000)  # a shared machine may be slow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")


@contextmanager
def served(*workspaces: Path, home: Path) -> Iterator[str]:
    """The address of `errata serve` over these workspaces, on a free port, for as long as the block lasts."""
    command = [str(ERRATA), "serve", *map(str, workspaces), "--port", "0"]
    environment = {**os.environ, "ERRATA_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=home
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("http://"):
                yield line.strip()
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(said))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo workspace as `errata demo` builds it, with fewer scenes."""
    path = tmp_path_factory.mktemp("demo") / "demo"
    built = subprocess.run(
        [str(ERRATA), "demo", str(path), "--scenes", str(SCENES)], capture_output=True, text=True, check=False
    )
    if built.returncode and "--stamps" in built.stderr:
        pytest.skip(f"the demo's cutouts cannot be had here: {built.stderr.splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    return path


@pytest.fixture(scope="session")
def address(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the demo is served."""
    with served(demo, home=tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: Debian's where it is installed, else Playwright's own."""
    found = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(
                executable_path=found,
                args=[
                    "--no-sandbox",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--no-first-run",
                    "--use-gl=angle",
                    "--use-angle=swiftshader",
                    "--enable-unsafe-swiftshader",
                ],
            )
        except Exception as error:
            pytest.fail(f"no Chromium to test with; `make browser` installs one ({error})")
        yield opened
        opened.close()


class Visit:
    """A page of the app in a browser window of its own, with what went wrong in it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        # Streamlit's front end looks for its server below the page's own path first, and is told 404.
        if message.type == "error" and "404" not in message.text:
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:", self.address.replace("http", "ws", 1))):
            self.outside.append(request.url)

    def open(self, path: str = "/") -> Page:
        """Go to a path of the app and wait until it has settled."""
        self.page.goto(self.address + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the script has run and no image is still on its way."""
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-script-state=notRunning]", timeout=READY_SECONDS * 1000
        )
        self.page.wait_for_load_state("networkidle")

    def check(self) -> None:
        """Nothing went wrong, and nothing was asked of any other host."""
        assert self.errors == []
        assert self.outside == []


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Opens windows on the demo; each is checked for errors and outside requests when the test ends."""
    opened: list[Visit] = []

    def visitor(width: int = 1280, height: int = 860, dark: bool = False, to: str = address) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(30_000)
        opened.append(Visit(context.new_page(), to))
        return opened[-1]

    yield visitor
    for one in opened:
        one.page.context.close()
    for one in opened:
        one.check()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where screenshots go: the docs' pictures with ERRATA_SCREENSHOTS=docs, else a folder that git ignores."""
    to_docs = os.environ.get("ERRATA_SCREENSHOTS") == "docs"
    folder = CHECKOUT / ("docs/images" if to_docs else "test-results")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
