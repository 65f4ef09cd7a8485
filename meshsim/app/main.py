"""What Streamlit runs: page settings, navigation, then the page that is open."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from meshsim.app.memory import keep

# Modules of meshsim.app.pages with `render() -> None`, in the order of the navigation. (No bare strings in this file:
# Streamlit would print them.)
PAGES = ("explore", "anatomy", "graph", "learn", "compare", "run", "report", "trust")


def _draw(name: str) -> None:
    import_module(f"meshsim.app.pages.{name}").render()
    if st.runtime.exists():
        keep(name)


def main() -> None:
    """Draw the open page once; Streamlit calls this again after every click."""
    # An emoji, because Streamlit's own icons are fetched from a font server.
    st.set_page_config(page_title="meshsim", page_icon="🕸️", layout="wide")
    if st.runtime.exists():
        get_engine_ready()
    pages = [
        st.Page(
            lambda name=name: _draw(name),
            title=name.capitalize(),
            url_path="" if name == PAGES[0] else name,
            default=name == PAGES[0],
        )
        for name in PAGES
        if find_spec(f"meshsim.app.pages.{name}") is not None
    ]
    st.navigation(pages, position="top").run()


@cache
def get_engine_ready() -> None:
    """Compile the fast engine beside the server, once on a machine; until then simulations take the slower one.

    In a process, because compiling in a thread would hold up every page for its 20 s.
    """
    from meshsim.engines import compiled

    if not compiled.is_kept():
        program = "import os; os.nice(10); from meshsim.engines.compiled import machine_code; machine_code()"
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
