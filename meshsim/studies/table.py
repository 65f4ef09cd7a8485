"""Rows as a tidy table: one line a data plane, size and metric, with its unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from meshsim.results.rows import Estimate, Quantiles, Row

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("dataplane", "services", "rps", "seed", "metric", "value", "low", "high", "unit")
LATENCIES = ("p50", "p90", "p99", "p999")


def tidy(rows: Iterable[Row], seed: int) -> pd.DataFrame:
    """Columns dataplane, services, rps, seed, metric, value, low, high, unit.

    ``low`` and ``high`` are the 95 % interval of the sampling error, missing where there is none. Metrics that begin
    with ``difference.`` are against the baseline; those that begin with ``model_error.`` carry the band that the
    costs' own errors leave, and those that begin with ``reality.`` the band within which real meshes lie with 90 %
    (``Row.reality`` says whether the result is inside of what was measured), the value being that of the metric itself.
    """
    import pandas as pd

    lines = []
    for row in rows:
        common = (row.dataplane, row.services, row.rps, seed)
        lines += [(*common, metric, *numbers, unit) for metric, *numbers, unit in _metrics(row)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"value": float, "low": float, "high": float})


def _metrics(row: Row) -> Iterator[tuple[Any, ...]]:
    yield from _quantiles("", row.latency_us)
    yield _estimate("mean", row.mean_us, "us")
    for part in ("application", "proxy", "kernel", "total"):
        yield f"cpu_cores.{part}", getattr(row.cpu_cores, part), None, None, "cores"
    yield "memory_mib", row.memory_mib, None, None, "MiB"
    yield "pods", row.pods, None, None, "pods"
    yield "nodes", row.nodes, None, None, "nodes"
    yield "usd_month", row.usd_month, None, None, "USD/month"
    yield "cross_zone_gb_month", row.cross_zone_gb_month, None, None, "GB/month"
    yield "cross_zone_usd_month", row.cross_zone_usd_month, None, None, "USD/month"
    yield "power_watts", row.power_watts, None, None, "W"
    yield "config_mib", row.config_mib, None, None, "MiB"
    yield "push_kib_s", row.push_kib_s, None, None, "KiB/s"
    yield "control_plane_cores", row.control_plane_cores, None, None, "cores"
    yield "utilisation", row.utilisation, None, None, "share"
    bands, of = row.model_error, {"latency_us_p50": row.latency_us.p50.value, "cpu_cores": row.cpu_cores.total}
    of |= {"memory_mib": row.memory_mib, "usd_month": row.usd_month, "power_watts": row.power_watts}
    units = {"latency_us_p50": "us", "cpu_cores": "cores", "memory_mib": "MiB", "usd_month": "USD/month"}
    units["power_watts"] = "W"
    for name, unit in units.items():
        band = getattr(bands, name)
        if band is not None:
            yield f"model_error.{name}", of[name], band.low, band.high, unit
    of["latency_us_p99"], units["latency_us_p99"] = row.latency_us.p99.value, "us"
    for real in row.reality.bands if row.reality is not None else ():
        yield f"reality.{real.quantity}", of[real.quantity], real.low, real.high, units[real.quantity]
    if (gap := row.difference) is not None:
        yield from _quantiles("difference.", gap.latency_us)
        yield _estimate("difference.cpu_cores", gap.cpu_cores, "cores")
        yield "difference.memory_mib", gap.memory_mib, None, None, "MiB"
        yield "difference.pods", gap.pods, None, None, "pods"
        yield "difference.usd_month", gap.usd_month, None, None, "USD/month"
        yield "difference.power_watts", gap.power_watts, None, None, "W"


def _quantiles(prefix: str, latency: Quantiles) -> Iterator[tuple[Any, ...]]:
    for name in LATENCIES:
        yield _estimate(prefix + name, getattr(latency, name), "us")


def _estimate(metric: str, estimate: Estimate, unit: str) -> tuple[Any, ...]:
    return metric, estimate.value, estimate.low, estimate.high, unit
