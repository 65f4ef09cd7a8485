"""The four controls. Each is bound to the address, so that a link reproduces the view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from meshsim.formats.load import load_application
from meshsim.scenario import catalog
from meshsim.studies.defaults import DATAPLANES as DEFAULT_DATAPLANES

DEFAULT_APPLICATION = "online-boutique"
DEFAULT_RPS = 500
RATES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MOST_SERVICES = 1000
REQUESTS = (400, 1000, 3000, 10_000)
KEYS = ("app", "services", "rps", "planes", "requests")
"""Names of the controls in the address. Options are stable names, because the address carries them."""


@dataclass(frozen=True)
class Setting:
    """Where the controls stand."""

    application: str
    own: int
    """Services of the application as it is written."""
    services: int
    rps: int
    dataplanes: tuple[str, ...]
    requests: int
    """Measured, of each run."""


@lru_cache(maxsize=32)
def own_size(application: str) -> int:
    """Number of services in the application's file."""
    return len(load_application(application)[0].services)


def controls() -> Setting:
    """Draw them in one row and read them. Values of a link that are no choice here are named in a warning."""
    asked = {key: st.query_params.get_all(key) for key in KEYS}
    first, second, third = st.columns([1.2, 0.8, 1.6], vertical_alignment="bottom")
    applications = catalog.names("applications")
    application = first.selectbox(
        "Application",
        applications,
        index=applications.index(DEFAULT_APPLICATION),
        key="app",
        bind="query-params",
        help="A real service graph: which service calls which, how often, with how many bytes.",
    )
    own = own_size(application)
    services = second.number_input(
        "Services",
        min_value=2,
        max_value=MOST_SERVICES,
        value=own,
        key="services",
        bind="query-params",
        help=f"You are here. {application} has {own} of its own; more are copies of them, fewer drop the least used.",
    )
    rps = third.select_slider(
        "Requests a second, from outside",
        RATES,
        value=DEFAULT_RPS,
        key="rps",
        bind="query-params",
        help="At this number of services. In the chart each service keeps its traffic as the application grows.",
    )
    dataplanes = st.pills(
        "Data planes",
        catalog.names("dataplanes"),
        selection_mode="multi",
        default=list(DEFAULT_DATAPLANES),
        key="planes",
        bind="query-params",
        help="Click to leave one out. Differences count from no-mesh if it takes part, else from the first.",
    )
    with st.expander("More"):
        requests = st.select_slider(
            "Simulated requests of each run",
            REQUESTS,
            key="requests",
            bind="query-params",
            help="The first answer comes from few of them, in seconds. p99 needs 1,000, p99.9 ten times that.",
        )
    order = [name for name in DEFAULT_DATAPLANES if name in dataplanes]
    chosen = (*order, *(name for name in dataplanes if name not in order))
    setting = Setting(application, own, int(services), int(rps), chosen, int(requests))
    for problem in problems(asked, setting):
        st.warning(problem)
    return setting


def problems(asked: dict[str, list[str]], setting: Setting) -> list[str]:
    """One sentence for each value of the address that did not become a setting."""
    took = {
        "app": [setting.application],
        "services": [str(setting.services)],
        "rps": [str(setting.rps)],
        "planes": list(setting.dataplanes),
        "requests": [str(setting.requests)],
    }
    return [
        f"The link asks for {key} = {', '.join(refused)}, which is no choice here; showing {', '.join(took[key])}."
        for key, values in asked.items()
        if (refused := [value for value in values if value not in took[key]])
    ]
