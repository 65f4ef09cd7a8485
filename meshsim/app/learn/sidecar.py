"""Chapter: a proxy in every pod."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess
from meshsim.engines.analytic import solve
from meshsim.scenario.scenario import Load, Scenario
from meshsim.studies.setup import prepare

RPS = 500.0
PLANES = ("no-mesh", "istio-sidecar", "linkerd")


def answer() -> Answer:
    """Online Boutique by the analytic engine, with and without sidecars."""
    rows = []
    for plane in PLANES:
        plan = prepare(Scenario(application="online-boutique", dataplane=plane, load=Load(rps=RPS))).plan
        found = solve(plan)
        rows.append(
            {
                "data plane": plane,
                "p50, ms": found.p50_us / 1000,
                "p99, ms": found.p99_us / 1000,
                "CPU, cores": float(found.cores_by_tag.sum()) + sum(plan.bill.idle_cores.values()),
                "memory, GiB": plan.bill.memory_mib / 1024,
            }
        )
    bare, mesh = rows[0], rows[1]
    more = float(mesh["p50, ms"]) - float(bare["p50, ms"])  # type: ignore[arg-type]
    return Answer(
        more,
        f"{more:.1f} ms more at the median, {float(mesh['CPU, cores']) - float(bare['CPU, cores']):.1f} cores and "  # type: ignore[arg-type]
        f"{float(mesh['memory, GiB']) - float(bare['memory, GiB']):.1f} GiB. Most of the time goes into waking proxies "  # type: ignore[arg-type]
        "proxy and parses the request again.",
        rows,
        engine="analytic engine, an approximation",
    )


CHAPTER = Chapter(
    "sidecar",
    "A sidecar in every pod",
    "A **sidecar** is a proxy beside each service. Rules in the kernel send all traffic to it. It encrypts, retries, "
    "routes and counts, and the application knows nothing of it.\n\n"
    "So a call now passes two proxies on the way there and two on the way back: four passes. Each must be **woken**, "
    "reads the message out of the kernel, parses it, encrypts or decrypts it, and hands it to the kernel again.\n\n"
    "A page of Online Boutique, a small shop, makes about a dozen calls one after the other. 500 of them come each "
    "second.",
    Guess("How many milliseconds do Istio's sidecars add to the median request?", 0, 20, 0.5, 1, "ms"),
    answer,
    "On Explore, compare all data planes at this rate.",
)
