"""The app as its visitors meet it: a server on a free port of localhost, and pages in a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from meshsim.app.launch import command

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
SMALL = {"app": "two-tier", "services": "2", "requests": "400"}
"""What answers in a moment."""
PATIENCE_MS = 120_000


def chromium() -> str | None:
    """The browser of this machine."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The app at an address of localhost; its runs are kept under ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        command(port, open_browser=False), stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(folder)}
    )
    address = f"http://localhost:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the app did not start:\n{(folder / 'server.log').read_text()}") from None
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


WINDOW = {"viewport": {"width": 1280, "height": 900}}


class Visit:
    """A browser's context: what its pages asked for, and what they complained about.

    ``kept``: a context that other visits used and will use; scripts and styles are then loaded already. Without it the
    visit has one of its own.
    """

    def __init__(self, browser: Any, address: str, *, kept: Any = None, **context: Any) -> None:
        self.address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.kept = kept
        self.context = kept or browser.new_context(**{**WINDOW, **context})
        self._ears = {
            "request": lambda request: self.asked.append(request.url),
            "console": self._listen,
            "weberror": lambda error: self.complaints.append(f"uncaught: {error.error}"),
        }
        for event, ear in self._ears.items():
            self.context.on(event, ear)
        self.page = self.context.new_page()

    def _listen(self, message: Any) -> None:
        url = message.location.get("url", "")
        # Below a page's own address Streamlit first looks for itself there, then at the root.
        looked_for_itself = "404" in message.text and url.endswith(("/_stcore/health", "/_stcore/host-config"))
        if message.type == "error" and not looked_for_itself:
            self.complaints.append(f"{message.text} ({url})")

    def open(self, page: str = "", **query: str) -> Any:
        """A page of the app by its name in the address, with the small application unless told otherwise, at rest."""
        self.page.goto(f"{self.address}/{page}?{urlencode({**SMALL, **query})}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Until the script has run: what it draws is there."""
        self.page.wait_for_selector(
            '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=PATIENCE_MS, state="attached"
        )

    def outside(self) -> list[str]:
        """Requests to anybody but the server."""
        own = (self.address + "/", self.address.replace("http", "ws", 1) + "/", "data:", "blob:")
        return [url for url in self.asked if not url.startswith(own)]

    def close(self) -> None:
        """Leave. What was asked elsewhere or complained about is an error of the app."""
        if self.kept:
            for page in self.context.pages:
                page.close()
            for event, ear in self._ears.items():
                self.context.remove_listener(event, ear)
        else:
            self.context.close()
        assert self.outside() == []
        assert self.complaints == []
