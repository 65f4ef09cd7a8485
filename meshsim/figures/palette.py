"""One table: how each data plane, and each component, looks in every chart.

Colour is never the only sign: each data plane has a dash and a marker of its own as well. Every colour keeps
a contrast of at least 3 to 1 on white and on Streamlit's dark background, and the five data planes that are
shown by default stay apart under the three kinds of colour blindness (tests/figures/test_palette.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from zlib import crc32


@dataclass(frozen=True)
class Look:
    """How one data plane is drawn, in Plotly's words."""

    colour: str
    dash: str
    marker: str

    def faint(self, opacity: float) -> str:
        """The colour, see-through: for bands."""
        red, green, blue = (int(self.colour[at : at + 2], 16) for at in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


LOOKS: dict[str, Look] = {
    "no-mesh": Look("#7d7d7d", "dot", "circle"),
    "istio-sidecar": Look("#0077aa", "solid", "square"),
    "linkerd": Look("#aa44ff", "dash", "diamond"),
    "cilium": Look("#dd6611", "solid", "triangle-up"),
    "istio-ambient": Look("#995533", "dashdot", "star"),
}

# For data planes that are not in the table. Colours may come near one of the table; dash and marker do not.
_COLOURS = ("#00946b", "#c2529a", "#7f8c1a", "#d13a2a", "#3366bb", "#1f97b5", "#8a63d2")
_DASHES = ("longdash", "longdashdot", "dash", "dashdot")
_MARKERS = ("cross", "x", "triangle-down", "pentagon", "hexagon", "star-diamond", "hourglass", "bowtie")
_SPARE = [Look(*parts) for parts in product(_COLOURS, _DASHES, _MARKERS)]

COMPONENTS: dict[str, str] = {
    "application": "#7d7d7d",
    "proxy": "#0077aa",
    "kernel": "#dd6611",
    "network": "#aa44ff",
    "agent": "#995533",
}
"""Who causes CPU time or latency."""


def look(dataplane: str) -> Look:
    """The look of a data plane. An unknown name gets one that depends on nothing but the name."""
    return LOOKS.get(dataplane) or _SPARE[crc32(dataplane.encode()) % len(_SPARE)]
