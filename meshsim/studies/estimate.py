"""What the analytic engine says, as the row that ``run`` and ``compare`` print."""

from __future__ import annotations

import math

from meshsim.engines.analytic import AnalyticResult
from meshsim.results.rows import Attribution, Audit, Estimate, Quantiles, Row
from meshsim.scenario.machine import Machine
from meshsim.studies.row import MIB, QUANTILES, money, split_cores, within_costs


def estimated_row(result: AnalyticResult, dataplane: str, services: int, machine: Machine) -> Row:
    """Figures without intervals, none of them simulated; notes and the audit say which are not to be trusted.

    The band of the latency takes all the work of a request as if it were on its path.
    """
    plan, bill = result.plan, result.plan.bill
    cpu = split_cores(plan, result.cores_by_tag)
    price = money(plan, machine, result.rps)
    trust = result.trust

    def estimate(name: str, value: float) -> Estimate:
        note = "approximation" if trust.get(name, trust["p99"]) else "approximation, outside its range"  # type: ignore[call-overload]
        return Estimate(value=None if math.isnan(value) else value, note=note)

    work = [
        Attribution(
            component=tag.component,
            operation=tag.operation,
            running_us=float(cores) / result.rps * 1e6,
            queueing_us=0.0,
            waiting_us=0.0,
        )
        for tag, cores in zip(plan.tags, result.cores_by_tag, strict=True)
    ]
    busiest = result.busiest
    utilisation = float(result.utilisation[busiest])
    p50 = None if math.isnan(result.p50_us) else result.p50_us
    mean = None if math.isnan(result.mean_us) else result.mean_us
    return Row(
        dataplane=dataplane,
        engine=result.engine,
        services=services,
        rps=result.rps,
        latency_us=Quantiles(**{name: estimate(name, getattr(result, f"{name}_us")) for name in QUANTILES}),
        mean_us=estimate("mean", result.mean_us),
        cpu_cores=cpu,
        memory_mib=bill.memory_mib,
        pods=bill.pods,
        nodes=bill.nodes,
        usd_month=price.usd_month(cpu.total, bill.memory_mib),
        cross_zone_gb_month=price.cross_zone_gb_month,
        cross_zone_usd_month=price.traffic_usd_month,
        power_watts=machine.watts(cpu.total, bill.memory_mib),
        config_mib=0.0 if bill.control_plane is None else bill.control_plane.config_bytes / MIB,
        push_kib_s=0.0 if bill.control_plane is None else bill.control_plane.push_bytes_s / 1024,
        control_plane_cores=0.0 if bill.control_plane is None else bill.control_plane.control_plane_cores,
        requests=0,
        failed=0,
        events=0,
        goodput_rps=min(result.rps, result.saturation_rps),
        busiest=f"{plan.station_names[busiest]}, busy {utilisation:.0%} of the time",
        utilisation=utilisation,
        model_error=within_costs(plan, result.cores_by_tag, cpu, price, work, p50, mean),
        attribution=[],
        audit=Audit(
            ok=utilisation < 1.0,
            checks=["nothing was simulated: there is nothing to audit", *result.reasons],
        ),
    )
