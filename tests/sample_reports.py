"""Reports made by hand, with round numbers, for the tests of figures, pages and the app."""

from __future__ import annotations

from meshsim.results.rows import (
    Attribution,
    Audit,
    Band,
    ComparisonReport,
    CpuCores,
    Crossover,
    Difference,
    Estimate,
    GrowthReport,
    ModelError,
    Provenance,
    Quantiles,
    Row,
)

# Per data plane: added median latency in µs, proxy cores, MiB a service, MiB a service squared, dollars a service.
PLANES = {
    "no-mesh": (0.0, 0.0, 64.0, 0.0, 2.1),
    "istio-sidecar": (2100.0, 1.3, 112.0, 0.12, 4.4),
    "linkerd": (1150.0, 0.6, 76.0, 0.011, 3.4),
    "cilium": (980.0, 0.7, 82.0, 0.0, 2.9),
    "istio-ambient": (1220.0, 0.8, 80.0, 0.004, 3.0),
}
SIZES = (10, 30, 100, 300, 1000)


def around(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def quantiles(p50: float, half: float, tail: float = 1.0) -> Quantiles:
    return Quantiles(
        p50=around(p50, half),
        p90=around(p50 * 1.9, half * 2 * tail),
        p99=around(p50 * 3.4, half * 6 * tail),
        p999=Estimate(value=None, note="1,500 requests are too few for p99.9: 12,000 are needed"),
    )


def row(plane: str, services: int, rps: float, *, baseline: str | None = "no-mesh") -> Row:
    added, proxy, linear, square, dollars = PLANES[plane]
    grown = 1 + 0.25 * (services / 10) ** 0.4
    p50 = (4000 + added) * grown
    scale = rps / 500
    memory = services * linear + square * services**2
    usd = services * dollars + square * services
    cpu = CpuCores(
        application=2.4 * scale,
        proxy=proxy * scale,
        kernel=(0.5 + 0.3 * proxy) * scale,
        total=(2.9 + 1.3 * proxy) * scale,
    )
    watts = 3 * cpu.total + 0.4 * memory / 1024
    difference = None
    if baseline is not None and plane != baseline:
        difference = Difference(
            baseline=baseline,
            latency_us=quantiles(added * grown, 60.0),
            cpu_cores=around(1.3 * proxy * scale, 0.02),
            memory_mib=memory - services * 64.0,
            pods=0,
            usd_month=usd - services * 2.1,
            power_watts=3 * 1.3 * proxy * scale + 0.4 * (memory - services * 64.0) / 1024,
        )
    attribution = [
        Attribution(
            component="application",
            operation="compute",
            running_us=3000 * grown,
            queueing_us=400,
            waiting_us=0,
        ),
        Attribution(
            component="kernel",
            operation="kernel.tcp.send",
            running_us=420 * grown,
            queueing_us=20,
            waiting_us=0,
        ),
        Attribution(
            component="network",
            operation="kernel.wire.cross-node",
            running_us=0,
            queueing_us=0,
            waiting_us=580 * grown,
        ),
    ]
    if proxy:
        attribution.append(
            Attribution(
                component="proxy",
                operation=f"proxy.{plane}.http1.request",
                running_us=added * 0.6 * grown,
                queueing_us=added * 0.3,
                waiting_us=added * 0.1,
            )
        )
    return Row(
        dataplane=plane,
        engine="reference",
        services=services,
        rps=rps,
        latency_us=quantiles(p50, 55.0),
        mean_us=around(p50 * 1.15, 60),
        cpu_cores=cpu,
        memory_mib=memory,
        pods=services * 2,
        nodes=max(1, services // 20),
        usd_month=usd,
        power_watts=watts,
        requests=1500,
        failed=0,
        events=1_000_000,
        busiest="CPU of node-1, busy 42% of the time",
        utilisation=0.42,
        model_error=ModelError(
            latency_us_p50=Band(low=p50 * 0.93, high=p50 * 1.07),
            cpu_cores=Band(low=cpu.total * 0.9, high=cpu.total * 1.1),
            memory_mib=Band(low=memory * 0.92, high=memory * 1.08),
            usd_month=Band(low=usd * 0.98, high=usd * 1.02),
            power_watts=Band(low=watts * 0.9, high=watts * 1.1),
        ),
        attribution=attribution,
        difference=difference,
        audit=Audit(ok=True, checks=["Little's law holds at every station."]),
    )


def provenance(command: str) -> Provenance:
    return Provenance(
        meshsim="0.1.0",
        seed=1,
        application="online-boutique",
        application_hash="3f" * 32,
        costs=["published"],
        costs_hash="a7" * 32,
        machine="gcp-e2-standard-4",
        price_date="2026-10-01",
        policy="L7",
        command=command,
    )


def comparison(services: int = 11, rps: float = 500.0, planes: tuple[str, ...] = tuple(PLANES)) -> ComparisonReport:
    base = "no-mesh" if "no-mesh" in planes else None
    return ComparisonReport(
        application="online-boutique",
        rps=rps,
        rows=[row(plane, services, rps, baseline=base) for plane in planes],
        provenance=provenance("meshsim compare online-boutique --rps 500"),
    )


def growth(sizes: tuple[int, ...] = SIZES, planes: tuple[str, ...] = tuple(PLANES)) -> GrowthReport:
    base = "no-mesh" if "no-mesh" in planes else None
    return GrowthReport(
        application="online-boutique",
        rate="per-service",
        rows=[row(plane, size, 50.0 * size, baseline=base) for size in sizes for plane in planes],
        crossovers=[
            Crossover(
                metric="memory_mib", unit="MiB", cheaper="cilium", dearer="linkerd", services=545, low=545, high=545,
                sentence="From 545 services on, cilium needs less memory than linkerd.",
            ),
            Crossover(
                metric="memory_mib", unit="MiB", cheaper="istio-ambient", dearer="linkerd", services=571, low=571,
                high=571, sentence="From 571 services on, istio-ambient needs less memory than linkerd.",
            ),
            Crossover(
                metric="p99", unit="us", cheaper="linkerd", dearer="istio-ambient", services=47, low=31, high=88,
                sentence="From about 47 services on, linkerd has a lower p99 latency than istio-ambient "
                "(between 31 and 88).",
            ),
        ] if {"linkerd", "cilium", "istio-ambient"} <= set(planes) else [],
        provenance=provenance("meshsim grow online-boutique --services 10,30,100,300,1000"),
    )  # fmt: skip
