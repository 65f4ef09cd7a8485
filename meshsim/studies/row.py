"""From one finished run to the row that is reported: quantiles, cores by component, the bill, the two errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.arrivals import CLOSED
from meshsim.plan.plan import Plan
from meshsim.results.attribution import attribute
from meshsim.results.audit import audit
from meshsim.results.intervals import estimate_quantile, mean_interval
from meshsim.results.paths import critical_paths
from meshsim.results.rows import Attribution, Band, CpuCores, ModelError, Quantiles, Row, Scaled, StartUpLink
from meshsim.results.run import RunResult
from meshsim.results.sample import Sample
from meshsim.results.tail import tail
from meshsim.scenario.machine import Machine

HOURS_A_MONTH = 730.0
"""8 760 hours a year over twelve months, as cloud price lists count."""
Z95 = 1.96
MIB = 1024.0 * 1024.0
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Money:
    """What a deployment occupies of a cluster that it shares with others, in dollars a month.

    A node is sold whole, but what is left on it serves other work: so a workload pays for the share of a node that
    it takes, which is the larger of its share of the CPU and its share of the memory that nodes of this type offer
    to pods. Of each it takes what it has reserved or what it uses, whichever is more.
    """

    machine: Machine
    reserved_cores: float
    reserved_memory_mib: float
    cross_zone_gb_month: float = 0.0

    @property
    def traffic_usd_month(self) -> float:
        """What the provider charges for traffic between zones; 0 where the machine's file has no price of it."""
        return self.cross_zone_gb_month * (self.machine.cross_zone_usd_gb or 0.0)

    def usd_month(self, cores: float, memory_mib: float) -> float:
        """``cores`` and ``memory_mib`` in use."""
        of_cpu = max(self.reserved_cores, cores) / self.machine.allocatable_cores
        of_memory = max(self.reserved_memory_mib, memory_mib) / self.machine.allocatable_memory_mib
        return max(of_cpu, of_memory) * self.machine.usd_hour * HOURS_A_MONTH + self.traffic_usd_month


def money(plan: Plan, machine: Machine, rps: float | None = None) -> Money:
    """The price of this plan's reservations on this machine, and of what leaves zones at ``rps``, or its own rate."""
    gb = plan.cross_zone_bytes * (plan.rps if rps is None else rps) * HOURS_A_MONTH * 3600 / 1e9
    return Money(machine, plan.bill.reserved_cores, plan.bill.reserved_memory_mib, gb)


def money_of(result: RunResult, machine: Machine) -> Money:
    """The same for a run; of a closed loop at the rate that its answers came to."""
    closed = result.plan.arrivals.kind == CLOSED
    return money(result.plan, machine, result.measured / (max(result.window_ns, 1) / 1e9) if closed else None)


def make_row(result: RunResult, dataplane: str, services: int, machine: Machine) -> Row:
    """One run as a row of the report, without the difference to a baseline."""
    plan, bill = result.plan, result.plan.bill
    cores_by_tag = _cores_by_tag(result)
    cpu = split_cores(plan, cores_by_tag)
    price = money_of(result, machine)
    paths = critical_paths(Sample.of(result.records), plan)
    checked = audit(result, paths)  # first: it tells of records that contradict themselves
    attribution = [] if paths.broken else attribute(paths, plan)
    latency = Quantiles(**{name: estimate_quantile(result.latency, q) for name, q in QUANTILES.items()})
    mean = mean_interval(result.latency)
    utilisation = _utilisation(result)
    worst = int(np.argmax(utilisation))
    pushed = bill.control_plane
    return Row(
        dataplane=dataplane,
        engine=result.engine,
        services=services,
        rps=plan.rps,
        latency_us=latency,
        mean_us=mean,
        cpu_cores=cpu,
        memory_mib=bill.memory_mib,
        pods=bill.pods,
        nodes=bill.nodes,
        usd_month=price.usd_month(cpu.total, bill.memory_mib),
        cross_zone_gb_month=price.cross_zone_gb_month,
        cross_zone_usd_month=price.traffic_usd_month,
        power_watts=machine.watts(cpu.total, bill.memory_mib),
        config_mib=0.0 if pushed is None else pushed.config_bytes / MIB,
        push_kib_s=0.0 if pushed is None else pushed.push_bytes_s / 1024,
        control_plane_cores=0.0 if pushed is None else pushed.control_plane_cores,
        requests=result.measured,
        failed=result.measured_failed,
        error_rate=result.measured_failed / max(result.measured, 1),
        goodput_rps=(result.measured - result.measured_failed) / (max(result.window_ns, 1) / 1e9),
        failures={name: count for name, count in result.failures.items() if count},
        resilience={name: count for name, count in result.counts.items() if count},
        scaling=_scaling(result),
        events=result.events,
        busiest=f"{plan.station_names[worst]}, busy {utilisation[worst]:.0%} of the time",
        utilisation=float(utilisation[worst]),
        model_error=within_costs(plan, cores_by_tag, cpu, price, attribution, latency.p50.value, mean.value),
        attribution=attribution,
        tail=None if paths.broken else tail(paths, plan, result.counts.get("cpu_throttles", 0)),
        audit=checked,
    )


def _scaling(result: RunResult) -> list[Scaled]:
    """How each autoscaled service went, and where the seconds of its new pods go."""
    plan = result.plan
    return [
        Scaled(
            service=up.service,
            pods=[(at / 1e9, pods) for at, number, pods in result.scaling if plan.service_names[number] == up.service],
            start_up=[StartUpLink(name=step.name, when=step.when, ms=step.total_ns / 1e6) for step in up.steps],
            with_room=up.with_room,
            without_image=up.without_image,
            on_new_nodes=up.on_new_nodes,
        )
        for up in plan.scale_ups
    ]


def _cores_by_tag(result: RunResult) -> NDArray[np.float64]:
    """(t,) cores kept busy by each tag during the measured window."""
    cores: NDArray[np.float64] = result.cpu_ns.sum(axis=0) / max(result.window_ns, 1)
    return cores


def split_cores(plan: Plan, cores_by_tag: NDArray[np.float64]) -> CpuCores:
    """Who caused the CPU time; what a proxy or agent burns without traffic counts as proxy."""
    cores = {"application": 0.0, "proxy": sum(plan.bill.idle_cores.values()), "kernel": 0.0}
    for tag, used in zip(plan.tags, cores_by_tag.tolist(), strict=True):
        in_kernel = 1.0 if tag.component == "kernel" else tag.kernel_share
        payer = "application" if tag.component == "application" else "proxy"
        cores[payer] += (1.0 - in_kernel) * used
        cores["kernel"] += in_kernel * used
    return CpuCores(**cores, total=sum(cores.values()))


def _utilisation(result: RunResult) -> NDArray[np.float64]:
    """(n,) share of its capacity that each station was busy, from the start to the end of the run."""
    busy: NDArray[np.float64] = result.stations.busy_ns / (result.plan.station_servers * float(max(result.end_ns, 1)))
    return busy


def within_costs(
    plan: Plan,
    cores_by_tag: NDArray[np.float64],
    cpu: CpuCores,
    price: Money,
    attribution: list[Attribution],
    p50_us: float | None,
    mean_us: float | None,
) -> ModelError:
    """95 % bands if every cost moved within its standard error, alone and to first order.

    The same operation appears under several tags (at each end of a call, say); it is one cost, wrong by one factor,
    so its parts add up before they are squared. Of the median it is taken that it moves in proportion to the mean.
    """
    bill = plan.bill
    errors = {tag.operation: tag.standard_error for tag in plan.tags}
    cpu_parts: dict[str, float] = {}
    for tag, used in zip(plan.tags, cores_by_tag.tolist(), strict=True):
        cpu_parts[tag.operation] = cpu_parts.get(tag.operation, 0.0) + tag.standard_error * used
    time_parts: dict[str, float] = {}
    for part in attribution:
        spent = (part.running_us + part.waiting_us) * errors[part.operation]
        time_parts[part.operation] = time_parts.get(part.operation, 0.0) + spent
    cpu_half = Z95 * math.hypot(*cpu_parts.values())
    memory_half = Z95 * bill.memory_mib_error
    time_half = Z95 * math.hypot(*time_parts.values())
    middle = p50_us or 0.0
    if mean_us:
        time_half *= middle / mean_us
    cpu_band, memory_band = _around(cpu.total, cpu_half), _around(bill.memory_mib, memory_half)
    least = price.machine.watts(cpu_band.low, memory_band.low)
    most = price.machine.watts(cpu_band.high, memory_band.high)
    return ModelError(
        latency_us_p50=_around(middle, time_half),
        cpu_cores=cpu_band,
        memory_mib=memory_band,
        usd_month=Band(
            low=price.usd_month(cpu_band.low, memory_band.low), high=price.usd_month(cpu_band.high, memory_band.high)
        ),
        power_watts=None if least is None or most is None else Band(low=least, high=most),
    )


def _around(value: float, half: float) -> Band:
    return Band(low=max(0.0, value - half), high=value + half)
