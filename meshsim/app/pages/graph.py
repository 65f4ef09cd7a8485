"""The service graph of an application, one's own too: who calls whom, what each service costs, where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pandas as pd
import streamlit as st

from meshsim.app import approximate, cards, uploads
from meshsim.app.charts import chart
from meshsim.app.controls import DEFAULT_APPLICATION, DEFAULT_RPS, RATES, offered
from meshsim.app.text import listed, plain
from meshsim.app.theme import theme
from meshsim.figures import numbers as n
from meshsim.figures.find import FIELDS, finder
from meshsim.figures.service_graph import CLIENT, service_graph
from meshsim.figures.services import COLOURS, services_alt, services_figure
from meshsim.formats.load import load_application
from meshsim.scenario import catalog
from meshsim.scenario.base import MeshsimError
from meshsim.studies import defaults
from meshsim.studies.inputs import Settings, prepare_points
from meshsim.studies.services import Services, service_facts
from meshsim.studies.setup import Prepared

MOST = 120
"""Dots; beyond, services that are used least are drawn together."""
UPLOAD, PROBLEM = "graph-upload", "graph-upload-problem"
WHOLE = "all of it"
AROUND = "the chosen and its neighbours"
SYNTAX = "Such as: util > 0.7, name ~ cart, cpu >= 0.5 and layer = 2. Fields: " + "; ".join(
    f"{name} ({words})" for name, words in FIELDS.items()
)


@lru_cache(maxsize=24)
def prepared(application: str, dataplane: str) -> Prepared:
    """Of the catalogue by name, or one that was uploaded. Lowered once at the usual rate; any rate is asked."""
    inputs = approximate.inputs(application, dataplane)
    settings = Settings("L7", defaults.GROW_REQUESTS, None, 1, "auto", "spread", defaults.GROW_SAMPLE)
    (one,) = prepare_points(inputs, settings, defaults.RPS, None)
    load = one.scenario.load.model_copy(update={"overload": "simulate"})
    return replace(one, scenario=one.scenario.model_copy(update={"load": load}))


@lru_cache(maxsize=24)
def layers(application: str, dataplane: str) -> dict[str, int]:
    """Layer of each service."""
    model = prepared(application, dataplane).application
    return {node.name: node.layer for node in service_graph(model, len(model.services)).nodes}


@lru_cache(maxsize=64)
def facts(application: str, dataplane: str, rps: float) -> Services:
    """Of every service. MeshsimError where the data plane cannot carry this application."""
    return service_facts(prepared(application, dataplane), rps)


def render() -> None:
    """Draw the page once."""
    st.html(cards.STYLE)
    application, plane, rps = _what()
    try:
        with st.spinner("Working out every service …"):
            services = facts(application, plane, float(rps))
            model, layer = prepared(application, plane).application, layers(application, plane)
    except MeshsimError as error:
        st.error(plain(str(error)))
        return
    st.html(cards.sentence(headline(model.name, plane, services), cards.badge(*cards.ANALYTIC)))
    hidden, found, colour, part = _filters(layer, services)
    left, right = st.columns([2.1, 1], gap="medium")
    with right:
        chosen = _chosen(services, hidden)
    only = set(services.facts) - hidden
    if part == AROUND and chosen:
        only &= {chosen, *(name for pair in services.calls if chosen in pair for name in pair)}
    graph = service_graph(model, MOST, only=only, first={chosen, *found} if chosen else found)
    with left:
        chart(
            services_figure(graph, services, colour=colour, found=found, chosen=chosen, theme=theme()),
            alt=services_alt(graph, services, colour),
            key="services-graph",
            on_select=_clicked,
            selection_mode="points",
        )
    with right:
        if chosen:
            _details(services, chosen)
    if len(graph.nodes) - 1 < len(only):
        together = sum(len(node.services) for node in graph.nodes if len(node.services) > 1)
        st.markdown(
            f"{together:,} services that are used least are drawn together, by who calls them. Find them by name, "
            f"or draw {AROUND}."
        )
    assumed = load_application(uploads.source(application))[1]
    if assumed:
        st.markdown("**Assumed**\n" + listed(assumed))
    with st.expander(f"All {len(services.facts):,} services as a table"):
        st.dataframe(table(layer, services), hide_index=True, column_config=PER_CENT)


def _what() -> tuple[str, str, int]:
    """Application, data plane, requests a second; draws the first row."""
    first, second, third, fourth = st.columns([1, 1, 1.3, 0.7], vertical_alignment="bottom")
    applications = offered(st.query_params.get_all("application"))
    planes = catalog.names("dataplanes")
    usual = st.session_state.get("app", DEFAULT_APPLICATION)  # the one that the other pages show
    usual = usual if usual in applications else DEFAULT_APPLICATION
    name = first.selectbox(
        "Application", applications, index=applications.index(usual), key="application", bind="query-params"
    )
    plane = second.selectbox(
        "Data plane", planes, index=planes.index("istio-sidecar"), key="plane", bind="query-params"
    )
    rps = third.select_slider(
        "Requests a second, from outside", RATES, value=DEFAULT_RPS, key="graph-rps", bind="query-params"
    )
    with fourth.popover("Your own", help="A file of yours instead."):
        st.file_uploader(
            "meshsim application, or a file in another format (docs/applications.md)", uploads.ENDINGS, key=UPLOAD,
            max_upload_size=uploads.MOST_MB, on_change=_take_upload,
            help="It stays on this machine, for a week: it is read and checked, and nothing in it is executed.",
        )  # fmt: skip
    if problem := st.session_state.get(PROBLEM):
        st.error("  \n".join(plain(line) for line in problem.splitlines()))
    return name, plane, rps


def _take_upload() -> None:
    """Move to the application that was uploaded, or keep what is wrong with it, to be shown."""
    file = st.session_state.get(UPLOAD)
    st.session_state[PROBLEM] = None
    if file is None:
        return
    try:
        name = uploads.keep(file.name, file.getvalue())
    except (MeshsimError, OSError) as error:
        st.session_state[PROBLEM] = str(error)
        return
    st.session_state.setdefault("uploads", []).append(name)
    st.session_state["application"] = name


def headline(name: str, plane: str, services: Services) -> str:
    """How many services there are, which of them takes most of the time, and which is the fullest."""
    every = list(services.facts.values())
    slowest = max(every, key=lambda one: one.share)
    dearest = max(every, key=lambda one: one.cores)
    fullest = max(every, key=lambda one: one.utilisation)
    calls = sum(services.calls.values()) / services.rps
    full = ""
    if fullest.utilisation >= 1:
        full = (
            f" Too much comes: the {fullest.busiest} would have to do "
            f"{n.digits(fullest.utilisation)} times what it can."
        )
    elif fullest.busiest:
        full = f" The busiest worker is the {fullest.busiest}: {fullest.utilisation:.0%} of the time."
    return (
        f"{name}, {len(every):,} services over {plane} at {services.rps:,g} requests a second, each with "
        f"{n.digits(calls)} calls between services. Calls of {slowest.name} take {slowest.share:.0%} of the time of a "
        f"request that is alone; {dearest.name} needs most CPU, {n.cores(dearest.cores)} of "
        f"{n.digits(sum(one.cores for one in every))}.{full}"
    )


def _filters(layer: dict[str, int], services: Services) -> tuple[set[str], list[str], str, str]:
    """Services that are hidden, those found, what colours mean, and which part is drawn."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        find = st.text_input("Find", key="find", bind="query-params", placeholder="util > 0.7", help=SYNTAX, width=200)
        hide = st.text_input("Hide", key="hide", bind="query-params", placeholder="rps < 1", help=SYNTAX, width=200)
        names = {words: key for key, words in COLOURS.items()}
        colour = st.selectbox("Colour", list(names), key="colour", bind="query-params", width=240)
        part = st.segmented_control(
            "Draw", [WHOLE, AROUND], default=WHOLE, required=True, key="part", bind="query-params"
        )
    known = values(layer, services)
    hits: dict[str, list[str]] = {"Find": [], "Hide": []}
    for label, text in (("Find", find), ("Hide", hide)):
        try:
            meant = finder(text or "")
        except MeshsimError as error:
            st.warning(plain(f"{label}: {error}"))
            continue
        hits[label] = [name for name, of in known.items() if meant(of)]
    if find:
        st.markdown(plain(f"{len(hits['Find']):,} of {len(known):,} found: {_some(hits['Find'])}"))
    return set(hits["Hide"]), hits["Find"], names[colour], part


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "none"


def values(layer: dict[str, int], services: Services) -> dict[str, dict[str, float | str]]:
    """What ``find`` can ask of each service."""
    called = dict.fromkeys(services.facts, 0)
    callers = dict.fromkeys(services.facts, 0)
    for source, target in services.calls:
        called[source] += 1
        callers[target] += 1
    return {
        name: {
            "name": name, "rps": one.rps, "cpu": one.cores, "util": one.utilisation, "share": one.share,
            "layer": layer[name], "calls": called[name], "callers": callers[name],
        }
        for name, one in services.facts.items()
    }  # fmt: skip


def _clicked() -> None:
    """A click on a dot chooses its service; on one of several, the first of them is found by name."""
    points = st.session_state["services-graph"]["selection"]["points"]
    if points and (name := points[0]["customdata"][0]) != CLIENT and points[0]["customdata"][1] == 1:
        st.session_state["service"] = name


def _chosen(services: Services, hidden: set[str]) -> str:
    """The service whose details are shown: by click or from the list, which the keyboard reaches."""
    names = [name for name in services.facts if name not in hidden]
    if not names:
        st.info("Every service is hidden.")
        return ""
    names.sort(key=lambda name: (-services.facts[name].share, name))
    if st.session_state.get("service", names[0]) not in names:
        st.session_state["service"] = names[0]
    help_ = "Or click a dot. Those whose calls take most of the time come first."
    return str(st.selectbox("Service", names, key="service", bind="query-params", help=help_))


def _details(services: Services, name: str) -> None:
    one = services.facts[name]
    worker = f"{one.utilisation:.1%} ({plain(one.busiest)})" if one.busiest else "no limit"
    st.markdown(
        listed_raw(
            f"**Comes in**: {n.digits(one.rps)} requests a second, to {one.pods:,} pod{'s' if one.pods > 1 else ''}",
            f"**CPU**: {n.cores(one.cores)}, proxies and kernel included",
            f"**Busiest worker**: {worker}",
            f"**CPU of its fullest node**: {one.node_utilisation:.1%}",
            f"**Share of a lone request**: {one.share:.1%}, the way there and back included",
        )
    )
    into = {source: rate for (source, target), rate in services.calls.items() if target == name}
    out = {target: rate for (source, target), rate in services.calls.items() if source == name}
    outside = one.rps - sum(into.values())
    if outside > 1e-6 * max(one.rps, 1.0):
        into[CLIENT] = outside
    for title, calls in (("Called by", into), ("Calls", out)):
        st.markdown(f"**{title}**" if calls else f"**{title}** nobody")
        if calls:
            rates = sorted(calls.items(), key=lambda item: (-item[1], item[0]))
            st.markdown(listed(f"{other}: {n.digits(rate)} a second" for other, rate in rates[:8]))
            if len(rates) > 8:
                st.markdown(f"and {len(rates) - 8:,} more")
    st.markdown(f"Analytic. The share is the mean over {services.followed} of {services.entries} kinds of requests.")


def listed_raw(*lines: str) -> str:
    """One line each, Markdown and all."""
    return "\n".join(f"- {line}" for line in lines)


PER_CENT = {
    name: st.column_config.NumberColumn(format="percent")
    for name in ("busiest worker", "share of a lone request", "CPU of its node")
}


def table(layer: dict[str, int], services: Services) -> pd.DataFrame:
    """One line a service, those that take most of the time first."""
    known = values(layer, services)
    rows = [
        {
            "service": one.name, "layer": known[one.name]["layer"], "requests a second": one.rps,
            "CPU, cores": one.cores, "share of a lone request": one.share, "busiest worker": one.utilisation,
            "which": one.busiest, "CPU of its node": one.node_utilisation, "pods": one.pods,
            "called by": known[one.name]["callers"], "calls": known[one.name]["calls"],
        }
        for one in sorted(services.facts.values(), key=lambda one: (-one.share, one.name))
    ]  # fmt: skip
    return pd.DataFrame(rows)
