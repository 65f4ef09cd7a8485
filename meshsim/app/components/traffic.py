"""The canvas with requests moving through pods, proxies and the kernel; what it draws is ``figures/scene.py``'s."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import streamlit as st

from meshsim.figures.scene import scene
from meshsim.plan.plan import Plan
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane

_component: Any = None


def traffic(
    application: Application,
    dataplane: DataPlane,
    rps: float,
    height: int = 420,
    *,
    policy: str = "L7",
    plan: Plan | None = None,
    key: str = "traffic",
) -> None:
    """Draw it; it starts by itself, and paused where the visitor's system asks for less motion.

    ``rps``: requests a second from outside; ``height`` in pixels, at least; ``plan``: places proxies of nodes as in it.
    """
    show(scene(application, dataplane, rps, policy=policy, plan=plan), height, key=key)


def show(picture: dict[str, Any], height: int = 420, *, key: str = "traffic") -> None:
    """Draw what ``scene`` made: for callers that keep it."""
    _mount()(data={**picture, "height": max(height, picture["height"])}, key=key, height="content")


def _mount() -> Any:
    """The component, registered once a server: doing it again would be warned of."""
    global _component
    if _component is None:
        folder = files("meshsim.app.components")
        _component = st.components.v2.component(
            "meshsim_traffic",
            html='<div class="traffic"></div>',
            css=(folder / "traffic.css").read_text(encoding="utf-8"),
            js=(folder / "traffic.js").read_text(encoding="utf-8"),
        )
    return _component
