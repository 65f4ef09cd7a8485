"""The web page: headless with Streamlit's own tester, and once in a real Chromium."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from meshsim.app.launch import command
from meshsim.scenario.base import MeshsimError

MAIN = Path(__file__).parents[2] / "meshsim" / "app" / "main.py"


def page(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=180)
    for key, value in {"app": "two-tier", "services": "2", "requests": "400", **query}.items():
        app.query_params[key] = value
    return app


def test_the_page_answers_without_a_click() -> None:
    app = page().run()
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="app").value == "two-tier"


def test_an_overloaded_setting_says_which_station_and_where_it_saturates() -> None:
    app = page(app="bookinfo", services="4", rps="10000").run()
    assert not app.exception
    assert any("saturates at about" in error.value for error in app.error)


def test_a_bad_link_warns() -> None:
    app = page(rps="77777").run()
    assert any("77777" in warning.value for warning in app.warning)


def test_the_server_listens_on_localhost_and_reports_nothing() -> None:
    argv = " ".join(command(8601, open_browser=False))
    assert "--server.address localhost" in argv
    assert "--browser.gatherUsageStats false" in argv
    with pytest.raises(MeshsimError, match="port: 0 received"):
        command(0)


@pytest.fixture
def server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(command(port, open_browser=False), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.browser
def test_the_page_in_chromium_asks_nobody_else(server: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            view = browser.new_page(viewport={"width": 1280, "height": 900})
            asked: list[str] = []
            view.on("request", lambda request: asked.append(request.url))
            view.goto(f"{server}/?app=two-tier&services=2&requests=400")
            view.wait_for_selector('[data-testid="answer"]', timeout=120_000)
            sentence = view.inner_text('[data-testid="answer"]')
            assert "two-tier" in sentence
            assert " µs" in sentence or " ms" in sentence
            view.screenshot(path=str(tmp_path / "page.png"))
            outside = [u for u in asked if not u.startswith((server, "data:", "blob:", server.replace("http", "ws")))]
            assert outside == []
        finally:
            browser.close()
