import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import app
from analysis.errors import InputError, WorkspaceError
from app import server

APP = Path(app.__path__[0])
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def clean_environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "ERRATA_"))}
    return {**kept, "HOME": str(home), "ERRATA_HOME": str(home / "errata"), "PYTHONPATH": str(APP.parent)}


def run_python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**clean_environment(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_configuration_holds_from_an_empty_folder(workspace_path: Path, tmp_path: Path) -> None:
    """Even when something has read Streamlit's options before the app was made."""
    (tmp_path / "empty").mkdir()
    done = run_python(
        f"""
        import json, sys
        from streamlit import config
        config.get_option("server.port")
        from app.server import create_app
        create_app([{str(workspace_path)!r}])
        names = ["browser.gatherUsageStats", "server.fileWatcherType", "client.toolbarMode",
                 "client.showErrorDetails", "client.showErrorLinks", "theme.font", "theme.dark.backgroundColor",
                 "server.enableXsrfProtection", "server.enableCORS", "global.developmentMode"]
        print(json.dumps({{name: config.get_option(name) for name in names}}))
        print(json.dumps([name for name in ("torch", "timm", "open_clip", "umap") if name in sys.modules]))
        """,
        tmp_path / "empty",
        STREAMLIT_BROWSER_GATHER_USAGE_STATS="true",
    )
    assert done.returncode == 0, done.stderr
    options, heavy = map(json.loads, done.stdout.splitlines()[-2:])
    assert options == {
        "browser.gatherUsageStats": False,
        "server.fileWatcherType": "none",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "theme.font": "Inter, sans-serif",
        "theme.dark.backgroundColor": "#11151B",
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "global.developmentMode": False,
    }
    assert heavy == []


def test_fonts_are_the_apps_own() -> None:
    text = (APP / ".streamlit" / "config.toml").read_text()
    urls = [line.split('"')[1] for line in text.splitlines() if line.startswith("url = ")]
    assert len(urls) == 3
    for url in urls:
        assert (APP / url.removeprefix("app/")).read_bytes()[:4] == b"wOF2"
    assert "http" not in text
    licences = [path.read_text() for path in (APP / "static" / "fonts").glob("*.txt")]
    assert len(licences) == 2
    assert all("SIL OPEN FONT LICENSE" in licence.upper() for licence in licences)


def test_a_port_in_use_is_named_with_what_to_do(workspace_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"Port {port} on 127\.0\.0\.1 is in use.*--port 0"):
            server.serve([workspace_path], port=port)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_cannot_be_is_an_error_for_people(workspace_path: Path, port: int) -> None:
    with pytest.raises(InputError, match="Cannot listen"):
        server.serve([workspace_path], port=port)


def test_a_workspace_path_that_is_something_else(tmp_path: Path) -> None:
    settings = server.ServerSettings(home=tmp_path / "home")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(WorkspaceError, match="errata create"):
            server.serve([path], port=0, settings=settings)


def test_without_sign_in_the_network_is_kept_out(workspace_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(InputError, match="ERRATA_OPEN_TO_NETWORK"):
            server.serve([workspace_path], host=host)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRATA_ALLOWED_HOSTS", '["errata.example"]')
    monkeypatch.setenv("ERRATA_SESSION_HOURS", "2.5")
    settings = server.ServerSettings()
    assert settings.allowed_hosts == ["errata.example"]
    assert settings.session_hours == 2.5
    assert settings.open_to_network is False


# ---- a real server


@pytest.fixture(scope="module")
def address(made_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the page with all components, started from an empty folder."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("component_page.py"), site / "main.py")
    shutil.copytree(APP / ".streamlit", site / ".streamlit")
    shutil.copytree(APP / "static", site / "static")
    shutil.copytree(made_workspace, site / "ws")
    (site / "empty").mkdir()
    code = f"""
    from pathlib import Path
    from app.server import serve
    serve([{str(site / "ws")!r}], port=0, script=Path({str(site / "main.py")!r}),
          on_ready=lambda address: print(address, flush=True))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=site / "empty",
        env=clean_environment(site / "empty"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:"), process.communicate(timeout=10)[1]
    yield line
    process.terminate()
    _, errors = process.communicate(timeout=15)
    assert "Traceback" not in errors, errors


def test_the_server_answers_when_it_says_so(address: str) -> None:
    assert httpx.get(f"{address}/health").json() == {"status": "ok", "workspaces": 1}
    page = httpx.get(address)
    assert page.status_code == 200
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert "server" not in page.headers
    font = httpx.get(f"{address}/app/static/fonts/inter-latin.woff2")
    assert (font.status_code, font.headers["content-type"]) == (200, "font/woff2")


def test_streamlits_socket_is_closed_to_other_sites(address: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert httpx.get(f"{address}/_stcore/stream", headers={**upgrade, **headers}).status_code == 403


@pytest.mark.e2e
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_components_work_in_a_browser(address: str, theme: str, tmp_path: Path) -> None:
    """Under the policy: no error in the console, no request to elsewhere, data shown as text."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # a shared machine may be slow
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        page = browser.new_context(color_scheme=theme, viewport={"width": 1280, "height": 900}).new_page()  # type: ignore[arg-type]
        page.on(
            "console",
            lambda m: complaints.append(m.text) if m.type == "error" and "/img/" not in m.location["url"] else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: complaints.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None,
        )
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(address)

        # pictures, and the reasons where there are none
        gallery = page.locator(".grid")
        expect(gallery.locator(".tile")).to_have_count(8)
        gallery.locator(".tile").nth(3).scroll_into_view_if_needed()
        expect(gallery.locator(".tile").nth(3)).to_contain_text("has changed since", timeout=15_000)
        expect(gallery.locator(".tile").nth(6)).to_contain_text("pixelless")
        expect(gallery.locator(".tile").nth(0)).to_contain_text("<b>dough</b>")
        expect(gallery.locator(".tile").nth(0)).to_contain_text("![x](http://evil.example/p.png)")
        first = gallery.locator("img").first
        page.wait_for_function("(image) => image.naturalWidth > 0", arg=first.element_handle())
        assert page.locator("[data-testid=stMain] a").count() == 0

        # the map
        expect(page.locator(".frame[data-drawn='3']")).to_be_visible()
        expect(page.locator(".names span")).to_have_text("<b>breads</b>")
        page.locator(".frame canvas").focus()
        page.keyboard.press("Enter")
        expect(page.locator("[role=dialog] .bar")).to_contain_text("2 of 8")
        expect(page).to_have_url(re.compile(r"[?&]item=1\b"))

        # the drawer: steps by key, shows data as text, closes into the address
        page.keyboard.press("ArrowRight")
        expect(page.locator("[role=dialog] .bar")).to_contain_text("3 of 8")
        expect(page.locator("[role=dialog] .facts")).to_contain_text("<script>alert(1)</script>")
        page.reload()
        expect(page.locator("[role=dialog] .bar")).to_contain_text("3 of 8")
        page.screenshot(path=tmp_path / "drawer.png")
        page.keyboard.press("Escape")
        expect(page).not_to_have_url(re.compile("item="))

        # a gallery by keys alone
        gallery.locator(".tile").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"[?&]item=1\b"))
        # Escape while the drawer is still being filled closes it without telling the server.
        expect(page.locator("[role=dialog] .facts")).to_be_visible()
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page).not_to_have_url(re.compile("item="))

        # what is chosen is in the address, and an address opens the same
        page.get_by_test_id("stMultiSelect").locator("input").click()
        page.get_by_role("option", name="class=a, b").click()
        expect(page).to_have_url(re.compile(r"where=class%3Da%2C\+b"))
        other = browser.new_page()
        other.goto(page.url)
        expect(other.get_by_text("run one, 1 conditions")).to_be_visible()
        browser.close()
    assert complaints == []


def test_answers_are_not_held_back_for_more_to_send() -> None:
    """asyncio sets TCP_NODELAY where the socket names its protocol; without it a request takes 44 ms."""
    with server._bound_socket("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP
