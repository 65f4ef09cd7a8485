"""The service graph as a chart: layers from left to right, a dot a service, a line a call."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, base_layout, safe
from meshsim.figures.service_graph import CLIENT, Node, ServiceGraph
from meshsim.studies.services import ServiceFacts, Services

COLOURS = {
    "utilisation": "Utilisation of the busiest worker",
    "share": "Share of a lone request's time",
    "cores": "CPU, cores",
    "rps": "Requests a second",
}
"""What the colour of a dot says."""
SCALE = [[0, "#c9d7e8"], [0.5, "#5a86c5"], [1, "#b3123f"]]
INTO, OUT_OF = "#dd6611", "#0077aa"
ROW_PX = 46
LOWEST, HIGHEST = 400, 640
LABELLED = 20
"""Dots of one layer that have room for a name each."""
LONGEST = 22
"""Letters of a name."""


def services_figure(
    graph: ServiceGraph,
    services: Services,
    *,
    colour: str = "utilisation",
    found: Collection[str] = (),
    chosen: str = "",
    theme: Theme = "light",
) -> Figure:
    """Dots as large as their CPU; ``found`` have a ring, ``chosen`` is named in bold, and its calls are in colour.

    The name of a dot comes back as the first item of ``customdata`` when it is clicked. ``colour``: one of ``COLOURS``.
    """
    at = _places(graph)
    most = max(len(graph.in_layer(layer)) for layer in range(graph.layers))
    chosen_node = graph.node_of.get(chosen, "")
    layout = base_layout(theme, min(max(90 + ROW_PX * most, LOWEST), HIGHEST))
    layout["showlegend"] = False
    layout["xaxis"] = {
        "range": [-0.5, graph.layers - 0.5], "showgrid": False, "zeroline": False, "fixedrange": True,
        "tickmode": "array", "tickvals": list(range(graph.layers)), "side": "top", "ticks": "",
        "ticktext": ["outside", *(f"layer {layer}" for layer in range(1, graph.layers))],
    }  # fmt: skip
    layout["yaxis"] = {"range": [1.06, -0.02], "visible": False, "fixedrange": True}
    layout["margin"] = {"l": 4, "r": 4, "t": 26, "b": 4}
    layout["dragmode"] = False
    layout["clickmode"] = "event+select"
    layout["annotations"] = [_name(node, at[node.name], bold=node.name == chosen_node, theme=theme)
                             for node in graph.nodes if _is_named(node, graph, found, chosen_node)]  # fmt: skip
    data = [_calls(graph, at, lambda s, t: chosen_node not in (s, t), "rgba(128,128,128,0.4)", 1.0)]
    if chosen_node:
        data.append(_calls(graph, at, lambda s, t: t == chosen_node, INTO, 2.5))
        data.append(_calls(graph, at, lambda s, t: s == chosen_node, OUT_OF, 2.5))
    data.append(_dots(graph, at, services, colour, found, chosen_node, theme))
    return {"data": data, "layout": layout}


def services_alt(graph: ServiceGraph, services: Services, colour: str) -> str:
    """What it shows, in words."""
    drawn = [services.facts[name] for node in graph.nodes for name in node.services]
    if not drawn:
        return "Service graph: every service is hidden."
    top = max(drawn, key=lambda facts: value(facts, colour))
    return (
        f"Service graph: {len(drawn):,} services in {graph.layers - 1} layers with {len(graph.edges):,} lines between "
        f"them. {COLOURS[colour]} is highest at {top.name}: {said(top, colour)}."
    )


def value(facts: ServiceFacts, colour: str) -> float:
    """What the colour of a service stands for."""
    return float(getattr(facts, colour))


def said(facts: ServiceFacts, colour: str) -> str:
    """The same in words."""
    shown = value(facts, colour)
    if colour in ("utilisation", "share"):
        return f"{shown:.1%}"
    return numbers.cores(shown) if colour == "cores" else f"{numbers.digits(shown)} requests a second"


def _places(graph: ServiceGraph) -> dict[str, tuple[float, float]]:
    """x: layer; y: share of the height, from the top."""
    size = {layer: len(graph.in_layer(layer)) for layer in range(graph.layers)}
    return {node.name: (float(node.layer), (node.row + 0.5) / size[node.layer]) for node in graph.nodes}


def _is_named(node: Node, graph: ServiceGraph, found: Collection[str], chosen: str) -> bool:
    few = len(graph.in_layer(node.layer)) <= LABELLED
    return few or node.name == chosen or len(node.services) > 1 or (len(found) <= LABELLED and node.name in found)


def _name(node: Node, place: tuple[float, float], *, bold: bool, theme: Theme) -> dict[str, Any]:
    text = safe(node.name if len(node.name) <= LONGEST else f"{node.name[: LONGEST - 1]}…")
    return {
        "x": place[0], "y": place[1], "text": f"<b>{text}</b>" if bold else text, "showarrow": False,
        "yshift": 17 if node.layer % 2 else -17,  # so that names of neighbouring layers do not meet
        "font": {"size": 12 if bold else 11, "color": INK[theme]},
    }  # fmt: skip


def _calls(
    graph: ServiceGraph, at: Mapping[str, tuple[float, float]], wanted: Any, colour: str, width: float
) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for edge in graph.edges:
        if wanted(edge.source, edge.target):
            (x0, y0), (x1, y1) = at[edge.source], at[edge.target]
            x += [x0, x1, None]
            y += [y0, y1, None]
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip",
        "line": {"color": colour, "width": width},
    }  # fmt: skip


def _dots(
    graph: ServiceGraph,
    at: Mapping[str, tuple[float, float]],
    services: Services,
    colour: str,
    found: Collection[str],
    chosen: str,
    theme: Theme,
) -> dict[str, Any]:
    members = {node.name: [services.facts[name] for name in node.services] for node in graph.nodes}
    shown = {name: max((value(facts, colour) for facts in of), default=0.0) for name, of in members.items()}
    highest = max(max(shown.values(), default=0.0), 1e-12)
    biggest = max((sum(facts.cores for facts in of) for of in members.values()), default=0.0) or 1.0
    marked = [bool({*node.services} & {*found}) for node in graph.nodes]
    ink = INK[theme]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [at[node.name][0] for node in graph.nodes],
        "y": [at[node.name][1] for node in graph.nodes],
        "customdata": [[node.name, len(node.services)] for node in graph.nodes],
        "marker": {
            "opacity": 1.0,
            "symbol": ["square" if node.name == CLIENT else "circle" for node in graph.nodes],
            "size": [
                10 + 16 * math.sqrt(sum(facts.cores for facts in members[node.name]) / biggest) for node in graph.nodes
            ],
            "color": [shown[node.name] for node in graph.nodes],
            "colorscale": SCALE,
            "cmin": 0.0,
            "cmax": highest,
            "showscale": True,
            "colorbar": {
                "title": {"text": COLOURS[colour], "side": "bottom", "font": {"size": 12}}, "thickness": 10,
                "orientation": "h", "len": 0.6, "y": 0, "yanchor": "top", "ypad": 0,
                "tickformat": ".0%" if colour in ("utilisation", "share") and highest >= 0.02 else "~g",
            },
            "line": {
                "width": [3 if mark or node.name == chosen else 0.5
                          for node, mark in zip(graph.nodes, marked, strict=True)],
                "color": [ink if mark or node.name == chosen else "rgba(128,128,128,0.8)"
                          for node, mark in zip(graph.nodes, marked, strict=True)],
            },
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "text": [_hover(node, members[node.name], services.rps) for node in graph.nodes],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _hover(node: Node, of: list[ServiceFacts], rps: float) -> str:
    if not of:
        return f"<b>{CLIENT}</b>: {numbers.digits(rps)} requests a second"
    if len(of) > 1:
        return f"<b>{safe(node.name)}</b><br>{numbers.cores(sum(facts.cores for facts in of))} together"
    (facts,) = of
    lines = [f"<b>{safe(facts.name)}</b>", *(f"{COLOURS[one]}: {said(facts, one)}" for one in COLOURS)]
    return "<br>".join(lines)
