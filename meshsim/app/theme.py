"""Whether the visitor's page is light or dark: charts draw their ink to suit."""

from __future__ import annotations

import streamlit as st

from meshsim.figures.layout import INK, Figure, Theme


def theme() -> Theme:
    """As the browser has told; light until it has."""
    return "dark" if st.context.theme.type == "dark" else "light"


def inked(figure: Figure) -> Figure:
    """A chart that was made for everybody, with its text in the ink of this visitor."""
    layout = figure["layout"]
    return {**figure, "layout": {**layout, "font": {**layout["font"], "color": INK[theme()]}}}
