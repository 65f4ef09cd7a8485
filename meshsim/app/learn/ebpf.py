"""Chapter: programs in the kernel, and what they may not do."""

from __future__ import annotations

import json
from functools import cache

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.app.learn.charts import bars, in_words
from meshsim.formats.load import load_application
from meshsim.scenario.catalog import load_book, load_costs, load_dataplane, models_root
from meshsim.studies.defaults import COSTS

TITLE = "CPU time of a message, µs"
LOOP = "http-find"
"""Finds the path of a request line in a plain loop."""
COMPARED = (
    ("kernel.ebpf.service.message", "find the pod behind a service"),
    ("kernel.ebpf.policy.message", "may this service talk to that one?"),
    ("proxy.envoy.http1.request", "Envoy: parse a request and send it on"),
    ("proxy.envoy.wakeup", "Envoy: be woken for it"),
)


def scene() -> Scene:
    """No proxy at all."""
    return Scene(
        load_application("two-tier")[0], load_dataplane("ebpf-only"), 300.0,
        "Dots go through the kernel and past no proxy: what eBPF does happens in the orange line.",
    )  # fmt: skip


@cache
def largest_accepted() -> dict[str, int]:
    """By family of programs: the largest size that the verifier of the measured host let pass."""
    book = load_book(COSTS[0])
    most: dict[str, int] = {}
    for line in (models_root() / "costs" / book.samples).read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        if sample.get("experiment") == "ebpf.verifier" and sample["values"].get("accepted"):
            family = str(sample["settings"]["family"])
            most[family] = max(most.get(family, 0), int(sample["settings"]["size"]))
    return most


def answer() -> Answer:
    """The measured limit of the verifier, and the costs of eBPF programs beside those of a proxy."""
    bytes_ = largest_accepted()[LOOP]
    costs = load_costs(COSTS)
    rows = [
        {
            "what": words, "operation": name, "CPU, ns": costs[name].cpu_ns, "±": f"{costs[name].standard_error:.0%}",
            "source": costs[name].source,
        }
        for name, words in COMPARED
    ]  # fmt: skip
    names, costs_ns = [words for _, words in COMPARED], [costs[name].cpu_ns for name, _ in COMPARED]
    cheap, dear = costs[COMPARED[1][0]].cpu_ns, costs[COMPARED[2][0]].cpu_ns
    return Answer(
        float(bytes_),
        f"{bytes_} bytes: the verifier walks through every turn of a loop with every state it could be in, and gives "
        f"up after a million instructions. What eBPF may do is cheap, though: a policy check takes {cheap:.0f} ns, "
        f"Envoy's pass {dear:,.0f} ns, {dear / cheap:,.0f} times as much.",
        rows,
        bars(names, [ns / 1000 for ns in costs_ns], TITLE),
        in_words(names, [ns / 1000 for ns in costs_ns], TITLE),
        engine=f"measured on {load_book(COSTS[0]).machine}",
    )


CHAPTER = Chapter(
    "ebpf",
    "eBPF and its verifier",
    "eBPF runs small programs **inside the kernel**, at each packet or connection. No proxy to wake, no copies. "
    "Finding a pod, checking who may talk to whom: done on the spot.\n\n"
    "Why not parse HTTP there too? A mistake would take the kernel down. So the **verifier** reads each program "
    "first, follows every way through it, and refuses what it cannot prove to end and to stay in bounds. Loops that "
    "remember something multiply the ways.\n\n"
    "Take a plain loop that finds where the path of a request line begins and ends, as routing needs it.",
    Guess("Up to how many bytes of request line does the verifier accept it?", 0, 4096, 8, 1024, "bytes"),
    answer,
    "On Trust, sort the costs by CPU time and look for kernel.ebpf.",
    scene,
)
