"""Chapter: code of one's own inside the proxy."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.app.learn.charts import bars, in_words
from meshsim.formats.load import load_application
from meshsim.scenario.catalog import load_dataplane
from meshsim.scenario.scenario import Scenario
from meshsim.studies.lone import by_operation, lone_request
from meshsim.studies.setup import prepare

BARE, FILTERED = "istio-sidecar", "istio-sidecar-wasm-v8"
CALL = 1
TITLE = "Time of one call, µs"


def answer() -> Answer:
    """One call with and without the filter, and what the filter needs in memory."""
    plain, with_filter = (prepare(Scenario(application="two-tier", dataplane=plane)) for plane in (BARE, FILTERED))
    before, after = (by_operation(lone_request(one).of_hop(CALL)) for one in (plain, with_filter))
    rows = [
        {"operation": operation, "who": who, "more, µs": (after.get((who, operation), 0) - ns) / 1000}
        for (who, operation), ns in {**dict.fromkeys(after, 0), **before}.items()
        if after.get((who, operation), 0) != ns
    ]
    names = ["the call without it", "what it adds"]
    parts = [sum(before.values()) / 1000, (sum(after.values()) - sum(before.values())) / 1000]
    us = (sum(after.values()) - sum(before.values())) / 1000
    share = us * 1000 / sum(before.values())
    mib = (with_filter.plan.bill.memory_mib - plain.plan.bill.memory_mib) / 2  # two services, a sidecar each
    return Answer(
        us,
        f"{us:.1f} µs, {share:.1%} of the call. What may weigh more is memory: {mib:.1f} MiB in every sidecar for the "
        "engine and the module.",
        rows,
        bars(names, parts, TITLE),
        in_words(names, parts, TITLE),
        engine="reference engine, one request alone; costs measured in V8",
    )


def scene() -> Scene:
    """Two sidecars with the filter in them."""
    return Scene(
        load_application("two-tier")[0], load_dataplane(FILTERED), 300.0,
        "The filter runs in each blue proxy, once for the request and once for the answer.",
    )  # fmt: skip


CHAPTER = Chapter(
    "wasm",
    "A Wasm filter",
    "**WebAssembly** runs code of your own inside the proxy, in a sandbox: rewrite a header, check a token, count "
    "what you like. Write it in Rust or Go, ship it as a file, load it while the proxy runs.\n\n"
    "The sandbox has a price. Entering it is a function call with a check; each time the filter asks the proxy for a "
    "header, bytes are **copied** across the border. The engine that runs it (V8, as in a browser) is compiled in and "
    "stays in memory, once a worker.\n\n"
    "Take a filter that reads some headers and adds one, on both sidecars of a call.",
    Guess("How many microseconds does it add to one call, there and back?", 0, 500, 5, 100, "µs"),
    answer,
    "On Anatomy, choose istio-sidecar-wasm-v8 and look for wasm among the steps.",
    scene,
)
