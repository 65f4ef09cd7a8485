"""The canvas with requests moving through pods, proxies and the kernel; what it draws is ``figures/scene.py``'s."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import streamlit as st

from meshsim.app import approximate
from meshsim.app.approximate import Place
from meshsim.app.controls import Setting
from meshsim.figures.scene import scene
from meshsim.plan.plan import Plan
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane

MOST = 40
"""Services that are told apart beside a chart."""

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
    _show(scene(application, dataplane, rps, policy=policy, plan=plan, most=MOST), height, key)


def traffic_here(setting: Setting, dataplane: str, height: int = 420) -> None:
    """The same where the controls stand. An application that has grown is shown as it was written, at its share of the
    traffic: the others are copies of it.
    """
    copies = setting.services / setting.own
    shown = min(setting.services, setting.own)
    _show(_scene(Place(setting.application, shown, dataplane), setting.rps / max(copies, 1.0)), height, "traffic")
    if copies >= 1.5:
        st.markdown(
            f"Shown is one of about {copies:,.0f} copies of the {setting.own} services, at its share of the traffic."
        )


@lru_cache(maxsize=64)
def _scene(place: Place, rps: float) -> dict[str, Any]:
    ready = approximate.prepared(place)
    plan: Plan | None = None
    if place.services <= MOST:
        try:
            plan = ready.plan
        except MeshsimError:  # it cannot be placed, or carried; the page says why
            plan = None
    return scene(ready.application, ready.dataplane, rps, plan=plan, most=MOST)


def _show(picture: dict[str, Any], height: int, key: str) -> None:
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
