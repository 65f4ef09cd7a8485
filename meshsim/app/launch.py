"""The command that starts the web app, from a checkout or from an installed package alike."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path

from meshsim.scenario.base import MeshsimError

LESSONS = "MESHSIM_LESSONS"
"""Environment variable with the folder of a teacher's own lessons."""
SETTINGS = {
    "server.address": "localhost",
    "browser.gatherUsageStats": "false",
    "server.fileWatcherType": "none",
    "client.toolbarMode": "minimal",
    "client.showErrorLinks": "false",  # they lead to search engines
    "theme.light.primaryColor": "#0b57a4",
    "theme.dark.primaryColor": "#8ec2ff",
}
"""As in .streamlit/config.toml, which an installed package does not have."""


def environment(lessons: Path | None = None) -> dict[str, str]:
    """Of the server: with the folder of a teacher's own lessons. MeshsimError if it is none."""
    if lessons is None:
        return dict(os.environ)
    if not lessons.is_dir():
        raise MeshsimError(f"lessons: {lessons} received; no such folder")
    return {**os.environ, LESSONS: str(lessons.resolve())}


def command(port: int = 8501, *, open_browser: bool = True) -> list[str]:
    """The argument list that serves the app on localhost; ``port``: 1 to 65535. MeshsimError for another port."""
    if not 1 <= port <= 65535:
        raise MeshsimError(f"port: {port} received; must be 1 to 65535")
    flags = {**SETTINGS, "server.port": str(port), "server.headless": "false" if open_browser else "true"}
    return [
        *(sys.executable, "-m", "streamlit", "run", str(files("meshsim.app") / "script" / "app.py")),
        *(part for name, value in flags.items() for part in (f"--{name}", value)),
    ]
