"""The four controls, and what is under "More". Each is bound to the address, so that a link reproduces the view."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import streamlit as st

from meshsim.app import lessons, uploads
from meshsim.app.terms import USUAL, Terms, catalogued
from meshsim.app.terms_form import terms_form
from meshsim.app.text import plain
from meshsim.figures.numbers import show_money_in
from meshsim.formats.load import load_application
from meshsim.scenario.base import MeshsimError
from meshsim.studies.defaults import DATAPLANES as DEFAULT_DATAPLANES

DEFAULT_APPLICATION = "online-boutique"
DEFAULT_RPS = 500
RATES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
SIZES = (2, 5, 10, 20, 30, 50, 80, 120, 200, 300, 500, 1000, 2000)
"""Besides the own sizes of the applications."""
REQUESTS = (400, 1000, 3000, 10_000)
DEFAULT_REQUESTS = 1000
"""Enough for p99."""
SEEDS = (1, 2, 3, 4, 5)
REMEMBERED = 30
"""Settings that can be gone back to."""
KEYS = ("app", "services", "rps", "planes", "requests", "seed")
TERMS = tuple(one.name for one in fields(Terms))
"""Names of the controls in the address. Options are stable names, because the address carries them."""
STARTS = {
    "A shop of 11 services": (DEFAULT_APPLICATION, None, DEFAULT_RPS),
    "120 services": (DEFAULT_APPLICATION, 120, 2000),
    "2,000 services": (DEFAULT_APPLICATION, 2000, 10_000),
}
"""Application, services (its own number if None), requests a second."""


@dataclass(frozen=True)
class Setting:
    """Where the controls stand."""

    application: str
    own: int
    """Services of the application as it is written."""
    services: int
    rps: int
    """From outside, at ``services``."""
    dataplanes: tuple[str, ...]
    requests: int = DEFAULT_REQUESTS
    """Measured, of each simulated run."""
    seed: int = 1
    terms: Terms = USUAL
    """Node type, prices, sidecars."""

    @property
    def own_rps(self) -> float:
        """The rate at the application's own size at which each service has the traffic that it has here."""
        return self.rps * self.own / self.services

    def at(self, **changes: Any) -> Setting:
        """The same with something else."""
        return replace(self, **changes)


@lru_cache(maxsize=32)
def own_size(application: str) -> int:
    """Number of services in the application's file."""
    return len(load_application(uploads.source(application))[0].services)


@lru_cache(maxsize=32)
def all_sizes(own: int) -> tuple[int, ...]:
    """The steps of the control of services; ``own``: of the application, which may be an uploaded one."""
    return tuple(sorted({*SIZES, own, *map(own_size, catalogued("applications"))}))


def sizes_near(setting: Setting) -> list[int]:
    """The next smaller and the next larger step."""
    sizes = all_sizes(setting.own)
    at = bisect_left(sizes, setting.services)
    return [size for size in (*sizes[max(0, at - 1) : at], *sizes[at + 1 : at + 2]) if size != setting.services]


def defaults() -> dict[str, Any]:
    """Where the controls stand at first, by key."""
    return {
        "app": DEFAULT_APPLICATION,
        "services": own_size(DEFAULT_APPLICATION),
        "rps": DEFAULT_RPS,
        "planes": list(DEFAULT_DATAPLANES),
        "requests": DEFAULT_REQUESTS,
        "seed": 1,
        **{one.name: None if one.default in (0, 0.0) else one.default for one in fields(Terms)},
        "per_usd": None,
    }


def put(**values: Any) -> None:
    """Set controls before they are drawn: for callbacks."""
    for key, value in values.items():
        st.session_state[key] = value


def reset() -> None:
    """Back to where they stood at first; in a lesson, to where it begins."""
    put(**(lesson.fixed if (lesson := lessons.current()) is not None else defaults()))


def _remember() -> None:
    """Where the controls stand, if that is new: for ``undo``."""
    now = {key: st.session_state.get(key) for key in defaults()}
    past = st.session_state.setdefault("past", [])
    if not past or past[-1] != now:
        past.append(now)
        del past[:-REMEMBERED]


def can_undo() -> bool:
    """Whether the controls stood elsewhere before."""
    return len(st.session_state.get("past", [])) > 1


def undo() -> None:
    """Back to where they stood before the last change."""
    if can_undo():
        st.session_state["past"].pop()
        put(**st.session_state["past"][-1])


def start_from(name: str) -> None:
    """One of ``STARTS``."""
    application, services, rps = STARTS[name]
    put(app=application, services=services or own_size(application), rps=rps)


def _at_its_own_size() -> None:
    st.session_state["services"] = own_size(st.session_state["app"])


def controls(tools: Callable[[Setting], None] | None = None) -> Setting | None:
    """Draw them and read them; None, with a hint, where no data plane is chosen. ``tools`` draws buttons behind them.

    Values of a link that are no choice here are named in a warning. From here on money is shown in the currency that
    was chosen.
    """
    lesson = lessons.current()
    if lesson is not None:
        lessons.banner(lesson)
    locked: set[str] = set() if lesson is None else {*lesson.lock, *lesson.hide}
    asked = {key: st.query_params.get_all(key) for key in (*KEYS, *TERMS, "mv") if key not in locked}
    usual = defaults()
    first, second, third = st.columns([1, 1.1, 1.3], vertical_alignment="bottom")
    applications = offered(asked.get("app", []))
    application = _place(first, "app").selectbox(
        "Application",
        applications,
        index=applications.index(DEFAULT_APPLICATION),
        key="app",
        on_change=_at_its_own_size,
        **_bound("app", locked),
        help="A real service graph: which service calls which, how often, with how many bytes.",
    )
    own = own_size(application)
    services = _place(second, "services").select_slider(
        "Services",
        all_sizes(own),
        value=usual["services"],
        key="services",
        **_bound("services", locked),
        help=f"You are here. {application} has {own} of its own; more are copies of them, fewer drop the least used.",
    )
    rps = _place(third, "rps").select_slider(
        "Requests a second, from outside",
        RATES,
        value=DEFAULT_RPS,
        key="rps",
        **_bound("rps", locked),
        help="At this number of services. In the chart each service keeps its traffic as the application grows.",
    )
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        dataplanes = _place(row, "planes", "content").pills(
            "Data planes",
            _few_and_all(asked.get("planes", [])),
            selection_mode="multi",
            default=list(DEFAULT_DATAPLANES),
            wrap=True,
            key="planes",
            **_bound("planes", locked),
            help="Click to leave one out. Differences count from no-mesh if it takes part, else from the first.",
        )
        requests, seed = _more(locked)
        terms = terms_form("terms" in locked)
    order = [name for name in DEFAULT_DATAPLANES if name in dataplanes]
    chosen = (*order, *(name for name in dataplanes if name not in order))
    setting = Setting(application, own, int(services), int(rps), chosen, requests, seed, terms)
    show_money_in(terms.shown_in)
    _remember()
    if tools is not None and chosen and "tools" not in locked:
        with row:
            tools(setting)
    if problem := st.session_state.get("upload-problem"):
        st.error("  \n".join(plain(line) for line in problem.splitlines()))
    for problem in problems(asked, setting):
        st.warning(plain(problem))
    if not chosen:
        st.info("Choose at least one data plane above.")
        return None
    return setting


def _place(where: Any, name: str, width: str = "stretch") -> Any:
    """A box with a name of its own, by which a lesson hides what is in it."""
    return where.container(key=f"control-{name}", width=width)


def _bound(name: str, locked: set[str]) -> dict[str, Any]:
    """To the address; but what a lesson locks stays where the lesson has it, whatever the address says."""
    return {"bind": None if name in locked else "query-params", "persist_state": "session", "disabled": name in locked}


def _more(locked: set[str]) -> tuple[int, int]:
    """Requests of each run, and the seed: behind a button."""
    with st.container(key="control-more", width="content"), st.popover("More", disabled="more" in locked):
        requests = st.select_slider(
            "Simulated requests of each run",
            REQUESTS,
            value=DEFAULT_REQUESTS,
            key="requests",
            **_bound("more", locked),
            help="Of the simulation that follows when the controls rest. p99 needs 1,000, p99.9 ten times that.",
        )
        seed = st.select_slider(
            "Seed of all random numbers",
            SEEDS,
            value=1,
            key="seed",
            **_bound("more", locked),
            help="Another seed is another run of the same length: how far do the numbers move?",
        )
        st.toggle(
            "Offer all data planes",
            key="every-plane",
            help="Besides the five usual ones: Dapr, Kmesh, Wasm filters and more.",
        )
        st.file_uploader(
            "Your own application",
            uploads.ENDINGS,
            key="upload",
            max_upload_size=uploads.MOST_MB,
            on_change=_take_upload,
            help="A meshsim application, or a file in another format (docs/applications.md). It stays on this "
            "machine for a week.",
        )
    return int(requests), int(seed)


def offered(asked: list[str]) -> list[str]:
    """The catalogue, what this visitor uploaded, and what a link asks for if it is kept here."""
    own = [*st.session_state.get("uploads", []), *asked, st.session_state.get("app", "")]
    rest = [name for name in dict.fromkeys(own) if "@" in name and uploads.known(name)]
    return [*catalogued("applications"), *rest]


def _take_upload() -> None:
    """Move to the application that was uploaded, or keep what is wrong with it, to be shown."""
    file = st.session_state.get("upload")
    st.session_state["upload-problem"] = None
    if file is None:
        return
    try:
        name = uploads.keep(file.name, file.getvalue())
    except (MeshsimError, OSError) as error:
        st.session_state["upload-problem"] = str(error)
        return
    st.session_state.setdefault("uploads", []).append(name)
    put(app=name, services=own_size(name))


def _few_and_all(asked: list[str]) -> list[str]:
    """The usual data planes, those that the link asks for and those chosen; all of them if that is asked for."""
    every = catalogued("dataplanes")
    wanted = {*DEFAULT_DATAPLANES, *asked, *st.session_state.get("planes", [])}
    shown = every if st.session_state.get("every-plane") else [name for name in every if name in wanted]
    rest = [name for name in shown if name not in DEFAULT_DATAPLANES]
    return [*DEFAULT_DATAPLANES, *rest]


def problems(asked: dict[str, list[str]], setting: Setting) -> list[str]:
    """One sentence for each value of the address that did not become a setting, and for a model of another day."""
    from meshsim.studies.version import model_version

    took = {
        "app": [setting.application],
        "services": [str(setting.services)],
        "rps": [str(setting.rps)],
        "planes": list(setting.dataplanes),
        "requests": [str(setting.requests)],
        "seed": [str(setting.seed)],
    }
    for name in TERMS:
        took[name] = [str(getattr(setting.terms, name))]
    said = [
        f"The link asks for {key} = {', '.join(refused)}, which is no choice here; showing {', '.join(took[key])}."
        for key, values in asked.items()
        if key in took and (refused := [value for value in values if not _same(value, took[key])])
    ]
    versions = [version for version in asked.get("mv", []) if version != model_version()]
    if versions:
        said.append(
            f"The link was made with model {versions[0]}; this is {model_version()}, so the numbers may be others."
        )
    return said


def _same(asked: str, took: list[str]) -> bool:
    """Also where a number is written otherwise: 0.50 and 0.5, or nothing for none."""
    if asked.upper() in (one.upper() for one in took):
        return True
    try:
        return any(float(asked or 0) == float(one) for one in took)
    except ValueError:
        return False
