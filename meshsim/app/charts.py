"""How pages show a chart."""

from __future__ import annotations

from typing import Any

import streamlit as st
from plotly.basedatatypes import BaseFigure

from meshsim.app import lessons
from meshsim.figures.layout import PLOTLY_CONFIG, Figure

PROJECTOR = 18
"""Pixels of type, in a lesson for a projector."""


class _AsItIs(BaseFigure):  # type: ignore[misc]
    """Streamlit builds and checks a figure object of each dict it is given: 20 to 50 ms of CPU for every chart, every
    time. The charts here are checked by their tests; a figure that is one already is only asked for its dict.
    """

    def __init__(self, figure: Figure) -> None:
        self._as_it_is = figure

    def to_dict(self) -> Figure:
        return self._as_it_is


def chart(figure: Figure, *, alt: str, key: str, **options: Any) -> Any:
    """Draw it; ``alt`` stands for it where it cannot be seen."""
    if lessons.larger():
        layout = figure["layout"]
        figure = {**figure, "layout": {**layout, "font": {**layout["font"], "size": PROJECTOR}}}
    return st.plotly_chart(_AsItIs(figure), config=PLOTLY_CONFIG, alt=alt, key=key, **options)
