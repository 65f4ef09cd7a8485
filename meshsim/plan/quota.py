"""CPU limits: which container an instruction's work is charged to, and what each container may use.

Kernel work is done in interrupts and is not throttled; it is charged to the node alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from meshsim.plan.deploy import Deployment
from meshsim.plan.plan import CPU_SLOT, FIRST_PROXY_SLOT, THREADS_SLOT, Ints, Op
from meshsim.plan.program import Program
from meshsim.scenario.scenario import Scenario

WORKS = (Op.WORK, Op.MORE)


@dataclass(frozen=True)
class Quotas:
    """CPU limits of containers, as cgroup v2 knows them (``cpu.max``): one row a container that has one."""

    pod_quota: Ints
    """(p, slots) row of the container in that slot of a pod, -1 without limit."""
    quota_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """(q,) CPU time in one period."""
    period_ns: int = 0

    def __len__(self) -> int:
        return len(self.quota_ns)


@dataclass(frozen=True)
class Containers:
    """Limits by slot (proxies) and by service (applications), in cores."""

    by_slot: dict[int, float]
    by_service: list[float | None]
    service_pods: list[int]
    period_ns: int

    @cached_property
    def any(self) -> bool:
        """Whether any container has a limit."""
        return bool(self.by_slot) or any(limit is not None for limit in self.by_service)

    def charged(self, program: Program) -> Program:
        """Write into ``slot`` of each piece of work whose container it is charged to: CPU_SLOT for none.

        Work of another container is another visit to a core. Without any limit the program stays as it is.
        """
        if not self.any:
            return program
        held: dict[int, int] = {}
        charged: Program = []
        before = -1
        for i in program:
            if i.op == Op.ACQUIRE and i.slot >= FIRST_PROXY_SLOT:
                held[i.at] = i.slot
            elif i.op == Op.RELEASE:
                held.pop(i.at, None) if i.slot >= FIRST_PROXY_SLOT else None
            elif i.op in WORKS and i.tag is not None:
                whose = {"application": THREADS_SLOT, "proxy": held.get(i.at, CPU_SLOT)}.get(i.tag.component, CPU_SLOT)
                op = Op.WORK if i.op == Op.MORE and whose != before else i.op
                charged.append(i._replace(op=op, slot=whose))
                before = whose
                continue
            charged.append(i)
        return charged

    def rows(self, pod_station: Ints) -> Quotas:
        """Number the containers. A proxy of a node is one container for all pods that it serves."""
        rows = np.full(pod_station.shape, -1, np.int64)
        quota: list[int] = []
        known: dict[tuple[int, int], int] = {}

        def row(key: tuple[int, int], cores: float) -> int:
            if key not in known:
                known[key] = len(quota)
                quota.append(max(1, round(cores * self.period_ns)))
            return known[key]

        if not self.any:
            return Quotas(rows, np.array(quota, np.int64), self.period_ns)
        service_of = np.repeat(np.arange(len(self.service_pods)), self.service_pods)
        for pod in range(len(pod_station)):
            limit = self.by_service[service_of[pod]] if pod < len(service_of) else None
            if limit is not None:
                rows[pod, THREADS_SLOT] = row((THREADS_SLOT, pod), limit)
            for slot, cores in self.by_slot.items():
                if pod_station[pod, slot] >= 0:
                    rows[pod, slot] = row((slot, int(pod_station[pod, slot])), cores)
        return Quotas(rows, np.array(quota, np.int64), self.period_ns)


def container_quotas(deployment: Deployment, scenario: Scenario) -> Containers:
    """CPU limits of a deployment."""
    by_slot = {
        FIRST_PROXY_SLOT + number: proxy.limits.cpu_millicores / 1000
        for proxy, number in zip(deployment.proxies, deployment.proxy_slot, strict=True)
        if proxy.limits is not None
    }
    limits = [service.cpu_limit_millicores for service in deployment.application.services]
    return Containers(
        by_slot,
        [None if limit is None else limit / 1000 for limit in limits],
        deployment.service_pods,
        round(scenario.cluster.cpu_quota_period_ms * 1e6),
    )
