"""What can be drawn against the number of services: where a row has it, and in which unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshsim.figures import numbers
from meshsim.results.rows import NO_WATTS, Band, Estimate, Row
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices


@dataclass(frozen=True)
class Metric:
    """One thing that data planes are compared by."""

    key: str
    title: str
    """On the axis, without the unit."""
    short: str
    """On a button."""
    of: Callable[[Row], Estimate]
    """Value and 95 % sampling interval, in the unit of the row; no interval where nothing was sampled."""
    model: Callable[[Row], Band | None]
    """95 % band from the errors of the costs, where the report has one."""
    show: numbers.Show
    """The value in words, with its unit."""
    unit: str
    factor: float = 1.0
    """From the unit of the row to ``unit``."""
    big_unit: str = ""
    big_factor: float = 1.0
    """Used instead when every value is at least 1 in it."""
    crossing: str = ""
    """What ``Crossover.metric`` calls it; empty if no crossovers of it are looked for."""
    real: str = ""
    """What ``RealityBand.quantity`` calls it; empty where no scoreboard measures it."""

    def scale(self, rows: list[Row]) -> tuple[str, float]:
        """Unit for the axis, and the factor that leads to it."""
        if self.show is numbers.money:
            return f"{numbers.currency().words} a month", numbers.currency().per_usd
        values = [value for row in rows if (value := self.of(row).value)]
        if self.big_unit and values and min(values) * self.big_factor >= 1:
            return self.big_unit, self.big_factor
        return self.unit, self.factor


def _exactly(value: float) -> Estimate:
    return Estimate(value=value)


def _watts(row: Row) -> Estimate:
    return Estimate(value=row.power_watts, note="" if row.power_watts is not None else NO_WATTS)


def _nothing(row: Row) -> Band | None:
    return None


def _latency(
    key: str, title: str, of: Callable[[Row], Estimate], model: Callable[[Row], Band | None] = _nothing
) -> Metric:
    return Metric(
        key, title, f"{'p99.9' if key == 'p999' else key} latency", of, model, numbers.latency,
        unit="µs", big_unit="ms", big_factor=1e-3, crossing=key, real=f"latency_us_{key}",
    )  # fmt: skip


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        _latency(
            "p50",
            "Median latency (p50)",
            lambda row: row.latency_us.p50,
            lambda row: row.model_error.latency_us_p50,
        ),
        _latency("p90", "p90 latency", lambda row: row.latency_us.p90),
        _latency("p99", "p99 latency", lambda row: row.latency_us.p99),
        _latency("p999", "p99.9 latency", lambda row: row.latency_us.p999),
        _latency("mean", "Mean latency", lambda row: row.mean_us),
        Metric(
            "cpu", "CPU in use", "CPU",
            lambda row: _exactly(row.cpu_cores.total), lambda row: row.model_error.cpu_cores, numbers.cores,
            unit="cores", crossing="cpu_cores", real="cpu_cores",
        ),
        Metric(
            "proxy_cpu", "CPU in use by proxies", "Proxy CPU",
            lambda row: _exactly(row.cpu_cores.proxy), _nothing, numbers.cores,
            unit="cores",
        ),
        Metric(
            "memory", "Memory", "Memory",
            lambda row: _exactly(row.memory_mib), lambda row: row.model_error.memory_mib, numbers.memory,
            unit="GiB", factor=1 / 1024, crossing="memory_mib", real="memory_mib",
        ),
        Metric(
            "usd_month", "Cost", "Money",
            lambda row: _exactly(row.usd_month), lambda row: row.model_error.usd_month, numbers.money,
            unit="US dollars a month", crossing="usd_month",
        ),
        Metric(
            "power", "Electrical power", "Power",
            _watts, lambda row: row.model_error.power_watts, numbers.watts,
            unit="W", big_unit="kW", big_factor=1e-3, crossing="power_watts",
        ),
        Metric(
            "config", "Configuration that the fleet holds", "Configuration",
            lambda row: _exactly(row.config_mib), _nothing, numbers.memory,
            unit="MiB", big_unit="GiB", big_factor=1 / 1024, crossing="config_mib",
        ),
        Metric(
            "push", "Configuration sent as pods come and go", "Push work",
            lambda row: _exactly(row.push_kib_s), _nothing, lambda value: f"{numbers.digits(value)} KiB/s",
            unit="KiB/s", crossing="push_kib_s",
        ),
    )
}  # fmt: skip


def metric_named(key: str) -> Metric:
    """The metric of that key; a MeshsimError names the choices."""
    if key not in METRICS:
        raise MeshsimError(f"metric: {key!r} received; {choices(key, METRICS)}")
    return METRICS[key]
