"""Chapter: a proxy in every pod."""

from __future__ import annotations

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.app.learn.charts import bars, in_words
from meshsim.engines.analytic import solve
from meshsim.figures import numbers as n
from meshsim.figures.journey import differences, short
from meshsim.formats.load import load_application
from meshsim.scenario.catalog import load_dataplane
from meshsim.scenario.scenario import Load, Scenario
from meshsim.studies.lone import lone_request
from meshsim.studies.setup import prepare

RPS = 500.0
BARE, MESH, OTHER = "no-mesh", "istio-sidecar", "linkerd"
TITLE = "Median time of a page, ms"


def answer() -> Answer:
    """Online Boutique by the analytic engine, with and without sidecars."""
    p50_ms, cores, gib = {}, {}, {}
    for plane in (BARE, MESH, OTHER):
        plan = prepare(Scenario(application="online-boutique", dataplane=plane, load=Load(rps=RPS))).plan
        found = solve(plan)
        p50_ms[plane] = found.p50_us / 1000
        cores[plane] = float(found.cores_by_tag.sum()) + sum(plan.bill.idle_cores.values())
        gib[plane] = plan.bill.memory_mib / 1024
    more = p50_ms[MESH] - p50_ms[BARE]
    return Answer(
        more,
        f"{more:.1f} ms more at the median, {cores[MESH] - cores[BARE]:.1f} cores and {gib[MESH] - gib[BARE]:.1f} GiB. "
        f"Of a page that is alone, this takes longer: {longest()}.",
        [
            {"data plane": plane, "p50, ms": p50_ms[plane], "CPU, cores": cores[plane], "memory, GiB": gib[plane]}
            for plane in p50_ms
        ],
        bars(list(p50_ms), list(p50_ms.values()), TITLE),
        in_words(list(p50_ms), list(p50_ms.values()), TITLE),
        engine="analytic engine, an approximation",
    )


def longest() -> str:
    """The three operations that a lone request has most more of over sidecars, in words."""
    mesh, base = (lone_request(prepare(Scenario(application="online-boutique", dataplane=plane))) for plane in
                  (MESH, BARE))  # fmt: skip
    found = differences(mesh, base)[:3]
    return n.listed([f"{short(operation)} ({who}) by {n.latency(us)}" for who, operation, us in found])


def scene() -> Scene:
    """The shop over sidecars."""
    return Scene(
        load_application("online-boutique")[0],
        load_dataplane(MESH),
        RPS,
        "Each call passes the blue proxy of the caller, then that of the called service; so does the answer.",
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
    scene,
)
