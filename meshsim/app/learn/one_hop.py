"""Chapter: one call between two services."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess
from meshsim.figures.journey import short, waterfall_figure
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
    return Answer(
        us,
        f"{us:.1f} µs, before the server has computed anything. All of it is the kernel's work and the wire.",
        rows,
        waterfall_figure(alone, CALL),
        f"Waterfall of {len(steps)} steps of a call without a mesh, {us:.1f} µs together.",
        closed_form=f"The sum of the cost book's entries on the way is {us:.1f} µs: nothing queues, so nothing else is "
        "in it.",
        engine="reference engine, one request alone",
    )


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
)
