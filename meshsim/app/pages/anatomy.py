"""Where the microseconds of one request go: all of it, one call, and one step after the other."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from meshsim.app import cards, uploads
from meshsim.app.charts import chart
from meshsim.app.controls import DEFAULT_APPLICATION, offered
from meshsim.app.text import plain
from meshsim.app.theme import theme
from meshsim.figures import numbers as n
from meshsim.figures.journey import (
    LANE_NAMES,
    difference_figure,
    flow_figure,
    hop_label,
    icicle_figure,
    path_figure,
    short,
    waterfall_figure,
)
from meshsim.scenario import catalog
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Scenario
from meshsim.studies.lone import Lone, Step, by_operation, entries, lone_request
from meshsim.studies.setup import Prepared, prepare

BASE = "no-mesh"
US = 1000.0


@lru_cache(maxsize=32)
def prepared(application: str, dataplane: str) -> Prepared:
    """The application at its own size; its plan is lowered once. One request alone does not care about the rate."""
    scenario = Scenario(application=uploads.source(application), dataplane=dataplane)
    return prepare(scenario.model_copy(update={"load": scenario.load.model_copy(update={"rps": 1.0})}))


@lru_cache(maxsize=128)
def lone(application: str, dataplane: str, entry: str) -> Lone:
    """One request, alone."""
    return lone_request(prepared(application, dataplane), entry)


def render() -> None:
    """Draw the page once."""
    st.html(cards.STYLE)
    st.header("Where the microseconds of one request go", anchor=False)
    first, second, third = st.columns(3)
    applications, planes = offered(st.query_params.get_all("application")), catalog.names("dataplanes")
    usual = st.session_state.get("app", DEFAULT_APPLICATION)  # the one that the other pages show
    usual = usual if usual in applications else DEFAULT_APPLICATION
    application = first.selectbox(
        "Application", applications, index=applications.index(usual), key="application", bind="query-params"
    )
    plane = second.selectbox(
        "Data plane",
        planes,
        index=planes.index("istio-sidecar"),
        key="plane",
        bind="query-params",
        help="Against no mesh at all.",
    )
    names = entries(prepared(application, BASE).plan)
    entry = third.selectbox(
        "Request",
        [name.removeprefix("client -> ") for name in names],
        key="entry",
        bind="query-params",
        help="Where it comes in. A call that is made in half of the visits or more is made here, a rarer one is not.",
    )
    try:
        base = lone(application, BASE, f"client -> {entry}")
        mesh = lone(application, plane, f"client -> {entry}")
    except MeshsimError as error:
        st.error(plain(str(error)))
        return
    st.html(cards.sentence(headline(mesh, base)))
    whole, flow, call, path = st.tabs(["The whole request", "Who and where", "One call", "Step by step"])
    with whole:
        _whole(mesh, base)
    with flow:
        _flow(mesh)
    with call:
        _one_call(mesh, base)
    with path:
        _step_by_step(mesh)
    st.markdown(
        "It is alone: nothing queues, each operation takes its mean, and so the steps add up to the nanosecond. "
        "Proxies sleep when it comes and must be woken; they have slept as long as "
        "requests are apart at this rate. Services are those of the application's own size."
    )


def headline(mesh: Lone, base: Lone) -> str:
    """What it takes, what it would take without a mesh, and what the difference is made of."""
    name = mesh.entry.removeprefix("client -> ")
    takes = n.latency(mesh.latency_ns / US)
    if mesh.dataplane == base.dataplane:
        return f"One request to {name} takes {takes} without a mesh."
    more = (mesh.latency_ns - base.latency_ns) / US
    parts: dict[str, float] = {}
    for sign, one in ((1, mesh), (-1, base)):
        for (component, _), ns in by_operation(one.steps).items():
            parts[component] = parts.get(component, 0.0) + sign * ns / US
    said = [f"{n.latency(us)} {where}" for where, us in sorted(parts.items(), key=lambda item: -item[1]) if us > 0.5]
    made_of = f", above all {n.listed(said[:3])}" if said else ""
    return (
        f"One request to {name} takes {takes} over {mesh.dataplane} and {n.latency(base.latency_ns / US)} without a "
        f"mesh: {n.latency(abs(more))} {'more' if more >= 0 else 'less'}{made_of}."
    )


def _whole(mesh: Lone, base: Lone) -> None:
    names = ["who takes it", f"more than {BASE}"]
    shown = st.segmented_control(
        "Colours show", names, default=names[0], required=True, key="icicle-colour", label_visibility="collapsed"
    )
    against = base if shown == names[1] and mesh.dataplane != BASE else None
    chart(
        icicle_figure(mesh, base=against, theme=theme()),
        alt=f"Icicle chart. {headline(mesh, base)} It is made of {len(mesh.hops)} calls, all in the table below.",
        key="icicle",
    )
    st.markdown(
        "Click a part to enlarge it. Widths are time on the critical path; a call that ran beside is not in it."
    )
    if mesh.dataplane != BASE:
        st.subheader(f"Difference to {BASE}", anchor=False)
        chart(
            difference_figure(mesh, base, theme=theme()),
            alt=f"Bars: what {mesh.dataplane} adds to the request, by operation. {headline(mesh, base)}",
            key="difference",
        )
    with st.popover("Show the arithmetic"):
        st.markdown(f"{len(mesh.steps)} steps, summed by operation. Their sum is the latency of the request.")
        st.dataframe(arithmetic(mesh.steps), hide_index=True)


def _flow(mesh: Lone) -> None:
    chart(
        flow_figure(mesh, theme=theme()),
        alt="Sankey diagram: the time of the request by where it is spent and by whom. "
        f"{n.latency(mesh.latency_ns / US)} in all; the arithmetic of the first tab has the same sums as a table.",
        key="flow",
    )
    st.markdown("Left: the whole time. In the middle: the pod or proxy where it is spent. Right: who spends it there.")


def _one_call(mesh: Lone, base: Lone) -> None:
    number = _which(mesh, "hop")
    steps = mesh.on_the_way(number)
    total = sum(step.ns for step in steps) / US
    sides = [(mesh, number, total)]
    if mesh.dataplane != BASE and number < len(base.hops):
        sides.append((base, number, sum(step.ns for step in base.on_the_way(number)) / US))
    widest = max(us for _, _, us in sides)
    for column, (one, hop, us) in zip(st.columns(len(sides)), sides, strict=True):
        with column:
            st.subheader(f"{one.dataplane}: {n.latency(us)} on the way", anchor=False)
            chart(
                waterfall_figure(one, hop, widest_us=widest, theme=theme()),
                alt=f"Waterfall over {one.dataplane}: {len(one.on_the_way(hop))} steps of {one.hops[hop].name}, "
                f"{n.latency(us)} together, without the work of the called service.",
                key=f"waterfall-{one.dataplane}",
            )
    st.markdown("Both axes end at the same time. The work of the called service itself is left out.")
    with st.popover("Show the arithmetic"):
        st.dataframe(arithmetic(steps), hide_index=True)


def _step_by_step(mesh: Lone) -> None:
    left, right = st.columns([1, 1.3], gap="medium")
    with left:
        number = _which(mesh, "path-hop")
    steps = mesh.of_hop(number)
    at = 1
    if len(steps) > 1:
        at = right.slider("Step", 1, len(steps), 1, key="step", help="Arrow keys move it.")
    step = steps[at - 1]
    spent = sum(one.ns for one in steps[:at]) / US
    error = f" ± {step.standard_error:.0%} (one standard error)" if step.standard_error else ""
    inside = (
        ""
        if step.space == "kernel" or not step.kernel_share
        else (f" The kernel works {step.kernel_share:.0%} of that, on its behalf.")
    )
    st.markdown(
        f"**{at} of {len(steps)} · {plain(step.operation)}**, {_doing(step)} for {n.latency(step.ns / US)}{error}, in "
        f"the {LANE_NAMES[step.space]}: {plain(step.where)}. So far {n.latency(spent)}.{inside}"
    )
    chart(
        path_figure(mesh, number, at, theme=theme()),
        alt=f"The way of the call through user space, kernel and wire. Step {at} of {len(steps)}: {step.operation} at "
        f"{step.where}, {LANE_NAMES[step.space]}, {n.latency(step.ns / US)}.",
        key="path",
    )
    st.markdown(f"**{plain(step.source.capitalize())}**: {plain(step.reference)}")
    with st.expander("All steps as a table"):
        st.dataframe(listing(steps), hide_index=True)


def _doing(step: Step) -> str:
    return {"running": "on a core", "queueing": "in line", "waiting": "off the core"}[step.phase]


def _which(mesh: Lone, key: str) -> int:
    labels = [hop_label(mesh.hops, number) for number in range(len(mesh.hops))]
    usual = min(1, len(labels) - 1)
    chosen = st.selectbox("Call", labels, index=usual, key=key)
    return labels.index(chosen)


def arithmetic(steps: list[Step]) -> pd.DataFrame:
    """How often, how long each, and how long together, by operation; the last line is the sum."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    for step in steps:
        lines.setdefault((step.operation, step.component, step.phase), []).append(step.ns)
    rows = [
        {
            "operation": short(operation), "who": component, "how": phase, "times": len(ns),
            "each, µs": sum(ns) / len(ns) / US, "together, µs": sum(ns) / US,
        }
        for (operation, component, phase), ns in sorted(lines.items(), key=lambda item: -sum(item[1]))
    ]  # fmt: skip
    total = sum(step.ns for step in steps)
    last = {"operation": "sum", "who": "", "how": "", "times": len(steps), "each, µs": None, "together, µs": total / US}
    return pd.DataFrame([*rows, last])


def listing(steps: list[Step]) -> pd.DataFrame:
    """One line a step, in order."""
    return pd.DataFrame(
        [
            {
                "step": number, "operation": step.operation, "where": step.where, "space": LANE_NAMES[step.space],
                "how": step.phase, "ns": step.ns, "of it in the kernel": step.kernel_share, "source": step.source,
                "standard error": step.standard_error,
            }
            for number, step in enumerate(steps, start=1)
        ]
    )  # fmt: skip
