"""Chapter: one call between two services."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.figures import numbers as n
from meshsim.figures.journey import short, waterfall_figure
from meshsim.formats.load import load_application
from meshsim.scenario.catalog import load_dataplane
from meshsim.scenario.scenario import Scenario
from meshsim.studies.lone import by_operation, lone_request
from meshsim.studies.setup import prepare

CALL = 1  # the client of the example calls the server


def answer() -> Answer:
    """One request alone over no mesh: the sum of its operations."""
    alone = lone_request(prepare(Scenario(application="two-tier", dataplane="no-mesh")))
    steps = alone.on_the_way(CALL)
    us = sum(step.ns for step in steps) / 1000
    rows = [
        {"operation": short(operation), "who": who, "µs": ns / 1000}
        for (who, operation), ns in by_operation(steps).items()
    ]
    spent: dict[str, int] = {}
    for (_, operation), ns in by_operation(steps).items():
        spent[short(operation)] = spent.get(short(operation), 0) + ns
    largest = sorted(spent.items(), key=lambda item: -item[1])[:3]
    return Answer(
        us,
        f"{us:.1f} µs, before the server has computed anything. All of it is the kernel's work and the wire: "
        f"{n.listed([f'{one} {ns / 1000:.1f} µs' for one, ns in largest])} take most.",
        rows,
        waterfall_figure(alone, CALL),
        f"Waterfall of {len(steps)} steps of a call without a mesh, {us:.1f} µs together.",
        engine="reference engine, one request alone",
    )


def scene() -> Scene:
    """Client, server, nothing else."""
    return Scene(
        load_application("two-tier")[0], load_dataplane("no-mesh"), 300.0,
        "Below each application lies the kernel of its node; every message goes through it.",
    )  # fmt: skip


CHAPTER = Chapter(
    "one-hop",
    "One hop",
    "A service calls another on the same cluster: 1 KiB there, 1 KiB back. No mesh at all.\n\n"
    "The application hands the bytes to the **kernel**. The kernel wraps them, looks up the connection, finds the pod "
    "behind the service's address, and sends. On the other side the kernel unwraps them and **wakes** the thread that "
    "waits for them. Then all of that again for the answer.\n\n"
    "Computing the answer is not counted here. This is the floor: every mesh adds to it.",
    Guess("How long do the kernel and the wire take, there and back?", 0, 200, 5, 20, "µs"),
    answer,
    "Anatomy shows the same call over any data plane, step by step.",
    scene,
)
