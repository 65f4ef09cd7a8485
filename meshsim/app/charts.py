"""How pages show a chart."""

from __future__ import annotations

from typing import Any

import streamlit as st
from plotly.basedatatypes import BaseFigure

from meshsim.app import lessons
from meshsim.figures.layout import PLOTLY_CONFIG, Figure

PROJECTOR = 18
"""Pixels of type, in a lesson for a projector."""
PICTURES = {"PNG": 2, "SVG": 1}
"""What the camera of a chart saves, and how many times as many pixels as on the page. SVG has no pixels."""


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
    kind = str(st.session_state.get("camera", "PNG"))
    picture = {"format": kind.lower(), "filename": f"meshsim-{key}", "scale": PICTURES[kind]}
    config = {**PLOTLY_CONFIG, "toImageButtonOptions": picture}
    return st.plotly_chart(_AsItIs(figure), config=config, alt=alt, key=key, **options)


def camera() -> None:
    """What the camera of every chart saves, for as long as this visitor stays."""
    st.segmented_control(
        "The camera of a chart saves",
        list(PICTURES),
        default="PNG",
        required=True,
        key="camera",
        persist_state="session",
        help="The camera shows when the pointer is on a chart. PNG has twice the pixels of the page; SVG stays sharp "
        "at every size and can be edited. The background is transparent.",
    )
