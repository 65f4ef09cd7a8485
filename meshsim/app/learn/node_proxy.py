"""Chapter: one proxy a node, and who else uses it."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.app.learn.charts import bars, in_words
from meshsim.app.learn.worlds import application, lowered, service, simulated
from meshsim.results.intervals import mean_interval
from meshsim.results.rows import Estimate
from meshsim.scenario.catalog import load_dataplane

NODE = "aws-m5-4xlarge"
QUIET, NOISY = 1000.0, 17_000.0
PLANES = ("istio-sidecar", "cilium")
REQUESTS = 15_000
TITLE = "Mean latency of the quiet service, µs"


def answer() -> Answer:
    """Two services on one node, quiet and noisy, with a sidecar each and with one proxy for both."""
    rows, times, spans = [], {}, []
    for plane in PLANES:
        for noise in (0.0, NOISY):
            seen = quiet_mean_us(plane, noise)
            times[plane, noise] = seen.value or 0.0
            spans.append((seen.low or 0.0, seen.high or 0.0))
            rows.append(
                {
                    "data plane": plane,
                    "neighbour, requests/s": noise,
                    "quiet service, mean, µs": seen.value,
                    "from": seen.low,
                    "to": seen.high,
                }
            )
    factor = {plane: times[plane, NOISY] / times[plane, 0.0] for plane in PLANES}
    names = [f"{plane}, {'noisy' if noise else 'no'} neighbour" for plane, noise in times]
    return Answer(
        factor["cilium"],
        f"{factor['cilium']:.1f} times with the proxy of the node, {factor['istio-sidecar']:.2f} times with sidecars. "
        "The quiet service stands in the line of the noisy one for a worker of the shared proxy. With sidecars only "
        "the cores are shared, and this node has plenty.",
        rows,
        bars(names, list(times.values()), TITLE, intervals=spans),
        in_words(names, list(times.values()), TITLE),
        engine=f"simulation of {REQUESTS:,} requests",
    )


def scene() -> Scene:
    """Both services over one proxy."""
    entries = [{"service": "quiet", "weight": QUIET}, {"service": "noisy", "weight": NOISY}]
    both = application([service("quiet", []), service("noisy", [], replicas=4)], entries)
    return Scene(
        both, load_dataplane("cilium"), QUIET + NOISY,
        "All dots pass the one proxy below, whichever service they are for.",
    )  # fmt: skip


def quiet_mean_us(plane: str, noise: float) -> Estimate:
    """Mean latency of the quiet service while its neighbour gets ``noise`` requests a second, us."""
    entries = [{"service": "quiet", "weight": QUIET}]
    services = [service("quiet", [{"compute": {"mean_us": 100, "law": "exponential", "cv": 1.0}}])]
    if noise:
        entries.append({"service": "noisy", "weight": noise})
        busy = [{"compute": {"mean_us": 5, "law": "exponential", "cv": 1.0}}]
        services.append(service("noisy", busy, replicas=4))
    cluster = {"nodes": 1, "machine": NODE}
    plan = lowered(application(services, entries), QUIET + noise, plane, machine=NODE, cluster=cluster)
    return mean_interval(simulated(plan, REQUESTS if noise else REQUESTS // 5).entry_latency[0])


CHAPTER = Chapter(
    "node-proxy",
    "A node proxy, and its noisy neighbour",
    "One proxy for **all pods of a node** instead of one a pod: less memory, fewer wake-ups, fewer passes. Cilium does "
    "that for requests, Istio's ambient mode for connections.\n\n"
    "But what is shared has **one queue**. A service with a lot of traffic fills it, and its quiet neighbour stands in "
    "the same line, though it did nothing wrong. Sidecars keep lines apart; they still share the cores of the node.\n\n"
    "Here a quiet service gets 1,000 requests a second, and the four pods of its neighbour, on the same node of 16 "
    "cores, get 17,000.",
    Guess(
        "By what factor does the neighbour raise the quiet one's mean latency with a node proxy?",
        1,
        20,
        0.5,
        1,
        "times",
    ),
    answer,
    "On Trust, see how such a scenario was measured on real proxies (noisy-neighbour).",
    scene,
)
