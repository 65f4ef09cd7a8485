"""Chapter: waiting in line."""

from __future__ import annotations

from typing import Any

from meshsim.app.learn.chapter import Answer, Chapter, Guess
from meshsim.app.learn.worlds import FREE, application, lowered, service, simulated
from meshsim.figures.layout import axis, base_layout
from meshsim.results.intervals import mean_interval

SERVICE_US = 1000.0
LOADS = (0.3, 0.5, 0.7, 0.9)
REQUESTS = 40_000


def answer() -> Answer:
    """M/M/1 simulated at some loads, beside 1 / (1 - load)."""
    world = application(
        [service("till", [{"compute": {"mean_us": SERVICE_US, "law": "exponential", "cv": 1.0}}], threads=1)]
    )
    rows = []
    for load in LOADS:
        seen = mean_interval(simulated(lowered(world, load * 1e6 / SERVICE_US, what_if=FREE), REQUESTS).latency)
        rows.append(
            {
                "utilisation": load,
                "simulated, ms": (seen.value or 0.0) / 1000,
                "from": (seen.low or 0.0) / 1000,
                "to": (seen.high or 0.0) / 1000,
                "theory, ms": SERVICE_US / 1000 / (1 - load),
            }
        )
    last = rows[-1]
    return Answer(
        last["simulated, ms"],
        f"{last['simulated, ms']:.1f} ms on average (95 %: {last['from']:.1f} to {last['to']:.1f} ms), of which only "
        f"{SERVICE_US / 1000:g} ms is work. The rest is standing in line.",
        rows,
        _figure(rows),
        "Mean time against utilisation: nearly flat at first, then rising ever more steeply towards 1.",
        closed_form="M/M/1: mean time = service time / (1 − utilisation) = "
        f"{last['theory, ms']:.1f} ms at {last['utilisation']:.0%}.",
        engine=f"simulation of {REQUESTS:,} requests at each load",
    )


def _figure(rows: list[dict[str, float]]) -> dict[str, Any]:
    layout = base_layout("light", 320)
    layout["xaxis"] = axis("Utilisation of the one worker", range=[0, 1])
    layout["yaxis"] = axis("Mean time, ms", rangemode="tozero")
    loads = [number / 100 for number in range(1, 93)]
    theory = {
        "type": "scatter", "mode": "lines", "name": "theory: 1 / (1 − utilisation)", "x": loads,
        "y": [SERVICE_US / 1000 / (1 - load) for load in loads], "line": {"color": "#7d7d7d", "dash": "dot"},
    }  # fmt: skip
    points = {
        "type": "scatter", "mode": "markers", "name": "simulated, 95 %", "x": [row["utilisation"] for row in rows],
        "y": [row["simulated, ms"] for row in rows], "marker": {"size": 9, "color": "#0077aa"},
        "error_y": {
            "type": "data", "symmetric": False, "color": "#0077aa",
            "array": [row["to"] - row["simulated, ms"] for row in rows],
            "arrayminus": [row["simulated, ms"] - row["from"] for row in rows],
        },
    }  # fmt: skip
    return {"data": [theory, points], "layout": layout}


CHAPTER = Chapter(
    "queue",
    "A queue",
    "One worker serves one request at a time, in 1 ms on average, sometimes less, sometimes more. Requests come at "
    "random.\n\n"
    "While the worker is busy, who comes must **wait in line**. At half load there is a free moment before long. At "
    "90 % there hardly is one: every small crowd takes long to clear, and the next comes before it has.\n\n"
    "Every proxy, every thread pool, every core is such a worker. So a mesh does not only add work to each request; it "
    "makes everything **busier**, and busy things are slow out of all proportion.",
    Guess("At 90 % utilisation, how long does a request of 1 ms of work take on average?", 1, 20, 0.5, 2, "ms"),
    answer,
    "On Explore, raise the rate until the page says which worker saturates.",
)
