"""Pages without a browser, by Streamlit's own tester."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from browsing import SMALL
from streamlit.testing.v1 import AppTest

from meshsim.app.main import PAGES

MAIN = Path(__file__).parents[2] / "app.py"
THERE = [name for name in PAGES if find_spec(f"meshsim.app.pages.{name}") is not None]
PATIENCE_S = 180


def explore(**query: str) -> AppTest:
    """The app as it opens, with the small application unless told otherwise."""
    return _asked(AppTest.from_file(str(MAIN), default_timeout=PATIENCE_S), query)


def alone(name: str, **query: str) -> AppTest:
    """One page without the navigation."""
    program = f"from meshsim.app.pages.{name} import render\nrender()\n"
    return _asked(AppTest.from_string(program, default_timeout=PATIENCE_S), query)


def _asked(app: AppTest, query: dict[str, str]) -> AppTest:
    for key, value in {**SMALL, **query}.items():
        app.query_params[key] = value
    return app


def html(app: AppTest) -> str:
    """All that was drawn as HTML."""
    return "".join(element.proto.body for element in app.get("html"))


def charts(app: AppTest) -> list[Any]:
    """What plotly.js is given, and the text that stands for it: ``.spec`` (JSON) and ``.alt``."""
    return [element.proto for element in app.get("plotly_chart")]
