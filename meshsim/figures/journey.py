"""Charts of one request that is alone: a waterfall of one call, an icicle of all of it, the difference to another.

Each takes ``meshsim.studies.lone.Lone``: steps in order that add up to the latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.comparison import PATTERNS
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, safe
from meshsim.figures.palette import COMPONENTS
from meshsim.studies.lone import Hop, Lone, Step, by_operation

US = 1000.0
LANES = {"user": 2.0, "kernel": 1.0, "wire": 0.0}
LANE_NAMES = {"user": "user space", "kernel": "kernel", "wire": "wire"}
MOST_DIFFERENCES = 14
MOST_PLACES = 14
WHOLE_COLOUR = "#b9b9b9"
"""Of what is made of several parts."""


def short(operation: str) -> str:
    """'kernel.tcp.send' as 'tcp.send', 'proxy.envoy.http1.request' as 'envoy http1.request'."""
    first, _, rest = operation.partition(".")
    if first == "proxy":
        software, _, part = rest.partition(".")
        return f"{software} {part}"
    return rest or operation


def hop_label(hops: Sequence[Hop], number: int) -> str:
    """'3 · frontend/home -> cartservice/get-cart': the number tells calls apart that are made several times."""
    return f"{number + 1} · {hops[number].name}"


def waterfall_figure(lone: Lone, hop: int, *, widest_us: float | None = None, theme: Theme = "light") -> Figure:
    """The way of one call there and back, a bar a step, one beginning where the one before ends.

    Without the work of the called service itself. ``widest_us``: end of the axis, to compare two charts at one scale.
    """
    steps = lone.on_the_way(hop)
    begins: list[float] = []
    now = 0.0
    for step in steps:
        begins.append(now)
        now += step.ns / US
    names = [f"{number}. {short(step.operation)}" for number, step in enumerate(steps, start=1)]
    layout = base_layout(theme, 70 + 21 * max(len(steps), 3))
    layout["barmode"] = "overlay"
    layout["bargap"] = 0.25
    layout["xaxis"] = axis("Time on the way, µs", range=[0, 1.03 * (widest_us or now or 1.0)])
    layout["yaxis"] = axis(
        "", type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False,
        tickfont={"size": 11},
    )  # fmt: skip
    data = []
    for component in [name for name in COMPONENTS if any(step.component == name for step in steps)]:
        mine = [number for number, step in enumerate(steps) if step.component == component]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": component,
                "base": [begins[number] for number in mine],
                "x": [steps[number].ns / US for number in mine],
                "y": [names[number] for number in mine],
                "marker": _marker(component),
                "text": [_hover(steps[number]) for number in mine],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return {"data": data, "layout": layout}


def icicle_figure(lone: Lone, *, base: Lone | None = None, theme: Theme = "light") -> Figure:
    """The shape of a flame graph: the request, the calls it is made of, and who takes the time of each.

    Widths are nanoseconds of the critical path and add up. With ``base``, the colour of a part says how much more or
    less of it there is than in that request.
    """
    sizes = _tree(lone)
    others = {} if base is None else _tree(base)
    ids = list(sizes)
    labels = [safe(path[-1]) for path in ids]
    figure: dict[str, Any] = {
        "type": "icicle",
        "ids": ["/".join(path) for path in ids],
        "labels": labels,
        "parents": ["/".join(path[:-1]) for path in ids],
        "values": [sizes[path] / US for path in ids],
        "branchvalues": "total",
        "tiling": {"orientation": "v"},
        "maxdepth": 4,
        "sort": False,
        "text": [numbers.latency(sizes[path] / US) for path in ids],
        "texttemplate": "%{label}<br>%{text}",
        "leaf": {"opacity": 1},
        "hovertemplate": "%{customdata}<extra></extra>",
        "pathbar": {"visible": True, "thickness": 22},
    }
    if base is None:
        colours = [_part_colour(path) for path in ids]
        figure["marker"] = {"colors": colours}
        figure["textfont"] = {"color": [INK["light"] if colour == WHOLE_COLOUR else "#ffffff" for colour in colours]}
        figure["customdata"] = [f"{safe(path[-1])}: {numbers.latency(sizes[path] / US)}" for path in ids]
    else:
        figure["textfont"] = {"color": INK["light"]}  # on the grey between blue and red, whatever the page
        more = [(sizes[path] - others.get(path, 0)) / US for path in ids]
        reach = max((abs(value) for value in more[1:]), default=1.0) or 1.0
        figure["marker"] = {
            "colors": more,
            "colorscale": [[0, "#2b6cb0"], [0.5, "#d9d9d9"], [1, "#c4461f"]],
            "cmin": -reach,
            "cmax": reach,
            "showscale": True,
            "colorbar": {"title": {"text": "µs more than<br>without"}, "thickness": 12, "len": 0.9},
        }
        figure["customdata"] = [
            f"{safe(path[-1])}: {numbers.latency(sizes[path] / US)}, {_signed(by)} against {safe(base.dataplane)}"
            for path, by in zip(ids, more, strict=True)
        ]
    layout = base_layout(theme, 420)
    layout["margin"] = {"l": 4, "r": 4, "t": 8, "b": 8}
    layout["uniformtext"] = {"minsize": 9, "mode": "hide"}
    return {"data": [figure], "layout": layout}


def difference_figure(lone: Lone, base: Lone, *, theme: Theme = "light") -> Figure:
    """What the request takes more or less of than in ``base``, by operation, the largest first."""
    rows = differences(lone, base)
    names = [f"{short(operation)} ({component})" for component, operation, _ in rows]
    layout = base_layout(theme, 80 + 24 * max(len(rows), 2))
    layout["showlegend"] = False
    layout["xaxis"] = axis(f"Difference to {safe(base.dataplane)}, µs", zeroline=True, zerolinecolor=INK[theme])
    layout["yaxis"] = axis(
        "", type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False, tickfont={"size": 11}
    )
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [us for _, _, us in rows],
        "y": names,
        "marker": {
            "color": [COMPONENTS.get(component, "#7d7d7d") for component, _, _ in rows],
            "pattern": {
                "shape": [PATTERNS.get(component, "") for component, _, _ in rows],
                "fillmode": "overlay",
                "size": 6,
            },
        },
        "text": [_signed(us) for _, _, us in rows],
        "textposition": "auto",
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    return {"data": [bars], "layout": layout}


def differences(lone: Lone, base: Lone) -> list[tuple[str, str, float]]:
    """(component, operation, µs more than in ``base``), the largest first; small ones together as 'the rest'."""
    mine, theirs = by_operation(lone.steps), by_operation(base.steps)
    rows = [(*key, (mine.get(key, 0) - theirs.get(key, 0)) / US) for key in {**mine, **theirs}]
    rows = sorted((row for row in rows if row[2]), key=lambda row: (-abs(row[2]), row[1], row[0]))
    kept, rest = rows[:MOST_DIFFERENCES], rows[MOST_DIFFERENCES:]
    if rest:
        kept.append(("other", f"the rest.{len(rest)} more operations", sum(row[2] for row in rest)))
    return kept


def flow_figure(lone: Lone, *, theme: Theme = "light") -> Figure:
    """A Sankey diagram: the time of the request, by where it is spent, and there by whom.

    Widths are microseconds of the critical path, and add up at each side. Places beyond ``MOST_PLACES`` are one.
    """
    spent: dict[tuple[str, str], int] = {}
    for step in lone.steps:
        place = "between nodes and pods" if step.space == "wire" else step.where
        in_kernel = round(step.ns * step.kernel_share) if step.component != "kernel" else 0
        for who, ns in ((str(step.component), step.ns - in_kernel), ("kernel", in_kernel)):
            if ns:
                spent[place, who] = spent.get((place, who), 0) + ns
    by_place: dict[str, int] = {}
    for (place, _), ns in spent.items():
        by_place[place] = by_place.get(place, 0) + ns
    most = sorted(by_place, key=lambda place: (-by_place[place], place))[:MOST_PLACES]
    rest = f"{len(by_place) - len(most)} more places"
    places = [*most, rest] if len(by_place) > len(most) else most
    components = [name for name in COMPONENTS if any(of == name for _, of in spent)]
    names = ["the request", *places, *components]
    number = {name: at for at, name in enumerate(names)}
    links: dict[tuple[str, str], float] = {}
    for (place, component), ns in spent.items():
        shown = place if place in most else rest
        links["the request", shown] = links.get(("the request", shown), 0.0) + ns / US
        links[shown, component] = links.get((shown, component), 0.0) + ns / US
    into = {name: sum(us for (_, target), us in links.items() if target == name) for name in names}
    into["the request"] = lone.latency_ns / US
    layout = base_layout(theme, 100 + 30 * len(places))
    sankey = {
        "type": "sankey",
        "arrangement": "snap",
        "valuesuffix": " µs",
        "valueformat": ",.1f",
        "textfont": {"color": INK[theme], "size": 12},
        "node": {
            "label": [f"{safe(name)}, {numbers.latency(into[name])}" for name in names],
            "color": [COMPONENTS.get(name, "#7d7d7d") for name in names],
            "pad": 10,
            "thickness": 14,
            "line": {"width": 0},
        },
        "link": {
            "source": [number[source] for source, _ in links],
            "target": [number[target] for _, target in links],
            "value": list(links.values()),
            "color": [_see_through(COMPONENTS.get(target, "#7d7d7d")) for _, target in links],
        },
    }
    return {"data": [sankey], "layout": layout}


def _see_through(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def path_figure(lone: Lone, hop: int, current: int, *, theme: Theme = "light") -> Figure:
    """The way of a call through user space, kernel and wire: one point a step, up to ``current`` (from 1) drawn in ink.

    Columns are the pods and proxies that it meets, in the order of the way there; the answer's way lies a little lower.
    """
    steps = lone.of_hop(hop)
    columns = _columns(steps)
    points = _points(steps, columns)
    ink = INK[theme]
    layout = base_layout(theme, 330)
    layout["showlegend"] = False
    layout["xaxis"] = axis(
        "", tickmode="array", tickvals=list(range(len(columns))), ticktext=[_wrapped(name) for name in columns],
        showgrid=False, range=[-0.6, len(columns) - 0.4], ticks="", tickfont={"size": 11}, fixedrange=True,
    )  # fmt: skip
    layout["yaxis"] = axis(
        "", tickmode="array", tickvals=list(LANES.values()), ticktext=list(LANE_NAMES.values()),
        range=[-0.55, 2.55], showgrid=False, ticks="", fixedrange=True,
    )  # fmt: skip
    layout["shapes"] = [
        {
            "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": at - 0.45, "y1": at + 0.45, "line": {"width": 0},
            "fillcolor": "rgba(128,128,128,0.10)", "layer": "below",
        }
        for at in LANES.values()
    ]  # fmt: skip
    done = points[:current]
    data: list[dict[str, Any]] = [
        _line(points, "rgba(128,128,128,0.45)", 1.5, "dot"),
        _line(done, ink, 2, "solid"),
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "marker": {
                "size": [20 if at == current else 11 for at in range(1, len(points) + 1)],
                "color": [COMPONENTS[step.component] for step in steps],
                "opacity": [1.0 if at <= current else 0.4 for at in range(1, len(points) + 1)],
                "line": {"width": [3 if at == current else 0 for at in range(1, len(points) + 1)], "color": ink},
            },
            "text": [f"{at}. {_hover(step)}" for at, step in enumerate(steps, start=1)],
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    return {"data": data, "layout": layout}


def _columns(steps: Sequence[Step]) -> list[str]:
    """Places in the order of the request; the wire is between them and no column."""
    return list(dict.fromkeys(step.where for step in steps if step.space != "wire")) or [step.where for step in steps]


def _points(steps: Sequence[Step], columns: list[str]) -> list[tuple[float, float]]:
    turned = next((at for at, step in enumerate(steps) if step.component == "application"), len(steps))
    points: list[tuple[float, float]] = []
    place = 0.0
    for at, step in enumerate(steps):
        low = -0.12 if at >= turned else 0.12
        if step.space == "wire":
            beyond = next((s.where for s in steps[at + 1 :] if s.space != "wire"), None)
            x = place if beyond is None else (place + columns.index(beyond)) / 2
        else:
            x = place = float(columns.index(step.where))
        same = sum(
            1 for other in points if abs(other[1] - (LANES[step.space] + low)) < 0.01 and abs(other[0] - x) < 0.3
        )
        points.append(
            (x + 0.085 * same * (-1 if at >= turned else 1) - (0.2 if at < turned else -0.2), LANES[step.space] + low)
        )
    return points


def _line(points: Sequence[tuple[float, float]], colour: str, width: float, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": colour, "width": width, "dash": dash},
        "hoverinfo": "skip",
    }


def _wrapped(name: str) -> str:
    return safe(name).replace(" of ", "<br>of ").replace(" on the node", "<br>on the node")


def _tree(lone: Lone) -> dict[tuple[str, ...], int]:
    """Nanoseconds of each part and of all that holds it, by its path from the root."""
    sizes: dict[tuple[str, ...], int] = {}
    above: list[tuple[str, ...]] = []
    for number, hop in enumerate(lone.hops):
        label = hop_label(lone.hops, number)
        above.append((label,) if hop.parent < 0 else (*above[hop.parent], label))
    for step in lone.steps:
        path = (*above[step.hop], step.component, short(step.operation))
        for end in range(1, len(path) + 1):
            sizes[path[:end]] = sizes.get(path[:end], 0) + step.ns
    return sizes


def _part_colour(path: tuple[str, ...]) -> str:
    named = [part for part in path[-2:] if part in COMPONENTS]
    return COMPONENTS[named[-1]] if named else WHOLE_COLOUR


def _marker(component: str) -> dict[str, Any]:
    return {
        "color": COMPONENTS[component],
        "pattern": {"shape": PATTERNS[component], "fillmode": "overlay", "size": 6},
    }


def _hover(step: Step) -> str:
    error = f" ± {step.standard_error:.0%}" if step.standard_error else ""
    return (
        f"{safe(step.operation)}, {step.phase}: {numbers.latency(step.ns / US)}{error}<br>"
        f"{safe(step.where)}, {LANE_NAMES[step.space]}, {step.source}"
    )


def _signed(us: float) -> str:
    return f"{'+' if us > 0 else '−' if us < 0 else ''}{numbers.latency(abs(us))}"
