"""Horizontal pod autoscaling, as Kubernetes does it in outline (autoscaling/v2, one CPU metric).

Every interval it looks at the CPU time that the pods of a service used in an interval that ended ``delay`` intervals
ago. Wanted pods = that time over what one pod uses at its target, rounded up; pods that are still starting count as
idle, as in Kubernetes. Deviations within the tolerance are left alone. More pods are started at once and get requests
when their start-up is over, which takes longer for a pod that needs an image or a node. Fewer: only if every decision
of the stabilization time wanted fewer, and then the last pods get no new requests from that instant; what they work on
they finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.engines.frame import CLOCK, Timed, order
from meshsim.plan.routes import MILLION

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

BEHIND_QUOTAS = 1 << 31


class Autoscaling:
    """All autoscalers of a run."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.rows: list[list[int]] = sim.plan.autoscalers.tolist()
        self.wanted = [row[1] for row in self.rows]
        self.used: list[list[int]] = [[0] for _ in self.rows]
        """CPU time of the service from the start of the run, at each decision."""
        self.asked: list[list[tuple[int, int]]] = [[] for _ in self.rows]
        """(time, pods) of decisions that still count."""
        self.history: list[tuple[int, int, int]] = []
        """(time ns, service, pods that get requests) whenever that changes."""
        self.tags = [n for n, tag in enumerate(sim.plan.tags) if tag.component in ("application", "proxy")]
        for number, row in enumerate(self.rows):
            self.set_ready(row[0], row[1])
            self.schedule(number, row[5], self.on_decision)

    def schedule(self, number: int, delay: int, what: object) -> None:
        """Something that happens by the clock, for one autoscaler: decisions before new pods."""
        later = 1 if what == self.on_ready else 0
        place = order(CLOCK, BEHIND_QUOTAS + 2 * number + later)
        Timed(self.sim.env, delay, place, what, number)  # type: ignore[arg-type]

    def set_ready(self, service: int, pods: int) -> None:
        """So many pods get requests from now on."""
        first, _ = self.sim.service_pods[service]
        self.sim.service_pods[service] = (first, pods)
        self.history.append((self.sim.now, service, pods))

    def on_decision(self, event: Timed) -> None:
        """Look at the metric, and start or stop pods."""
        sim, number = self.sim, event.about
        sim.now = int(sim.env.now)
        row = self.rows[number]
        service, _, fewest, most, target_ns, interval_ns, delay, tolerance, stabilization_ns = row[:9]
        cpu, first = sim.recorder.cpu, service * sim.recorder.tags
        self.used[number].append(sum(cpu[first + tag] for tag in self.tags))
        self.schedule(number, interval_ns, self.on_decision)
        samples = self.used[number]
        if len(samples) < delay + 2:
            return
        used = samples[-1 - delay] - samples[-2 - delay]
        wanted = self.wanted[number]
        asked = wanted
        if abs(used * MILLION // (wanted * target_ns) - MILLION) > tolerance:
            asked = min(most, max(fewest, -(-used // target_ns)))
        self.asked[number].append((sim.now, asked))
        self.asked[number] = [
            (at, pods) for at, pods in self.asked[number] if at > sim.now - stabilization_ns or at == sim.now
        ]
        if asked < wanted:
            asked = min(wanted, max(pods for _, pods in self.asked[number]))
        self.wanted[number] = asked
        for pod in range(wanted, asked):
            self.schedule(number, self.start_up_ns(row, pod), self.on_ready)
        if asked < sim.service_pods[service][1]:
            self.set_ready(service, asked)

    def start_up_ns(self, row: list[int], pod: int) -> int:
        """How long a pod of the service takes to start, by its number."""
        start_up_ns, no_image_from, no_image_ns, new_node_from, new_node_ns = row[9:]
        return new_node_ns if pod >= new_node_from else no_image_ns if pod >= no_image_from else start_up_ns

    def on_ready(self, event: Timed) -> None:
        """A new pod gets requests, unless it is no longer wanted."""
        sim, number = self.sim, event.about
        sim.now = int(sim.env.now)
        service = self.rows[number][0]
        if sim.service_pods[service][1] < self.wanted[number]:
            self.set_ready(service, sim.service_pods[service][1] + 1)
