"""Whether the visitor's page is light or dark: charts draw their ink to suit."""

from __future__ import annotations

import streamlit as st

from meshsim.figures.layout import Theme


def theme() -> Theme:
    """As the browser has told; light until it has."""
    return "dark" if st.context.theme.type == "dark" else "light"
