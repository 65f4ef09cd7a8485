"""Programs on the packets of real connections from pod to pod: what they add to each message.

One program is too cheap to be seen among the microseconds that a message takes, so copies are attached one behind the
other and the slope counts. All paths take turns within one run.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.ebpf import testrun
from meshsim.measure.ebpf.attach import XDP_GENERIC, XDP_NATIVE, at_interface, index_of
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import BpfError, ran, statistics
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import Figure, Line, best, line
from meshsim.measure.kernel.paths import TIMER, cores_to_compare, pingpong, tcp
from meshsim.measure.lab import Lab, Pod

NAME = "ebpf.datapath"
LIVE = "ebpf.live"
COPIES = (0, 1, 8, 16)
QUICK_COPIES = (0, 16)
XDP = (
    ("xdp_policy", "native", XDP_NATIVE), ("xdp_pass", "native", XDP_NATIVE), ("xdp_policy", "generic", XDP_GENERIC),
)  # fmt: skip
SIZE = 64
FIRST_PORT = 7200


def run(bench: Bench) -> None:
    """Round trips to pods with 0 … 16 copies of the policy at their interface, with XDP, and past the bridge."""
    lab = bench.lab
    lab.keep_awake()
    client = lab.pod("client")
    with ExitStack() as stack:
        paths: dict[str, str] = {}
        policy = stack.enter_context(Loaded("datapath"))
        copies = QUICK_COPIES if bench.quick else COPIES
        for number in copies:
            server = lab.pod(f"policy-{number}")
            port = FIRST_PORT + len(paths)
            testrun.allow(policy, {client.address: testrun.IDENTITY}, port, 1000 if not paths else 0)
            both_ways(stack, policy, server, number, "tc_policy_in", "tc_policy_out")
            paths[f"policy-{number}"] = tcp(client, server, port)
        most = max(copies)
        if not bench.quick:
            server = lab.pod(f"pass-{most}")
            both_ways(stack, policy, server, most, "tc_pass", "tc_pass")
            paths[f"pass-{most}"] = tcp(client, server, FIRST_PORT + len(paths))
        for name, mode, flags in XDP[:1] if bench.quick else XDP:
            server, port = lab.pod(f"{name}-{mode}"), FIRST_PORT + len(paths)
            testrun.allow(policy, {client.address: testrun.IDENTITY}, port, 0)
            try:
                at_interface(stack, server, policy.program(name, "xdp"), "xdp", flags=flags)
            except BpfError:
                continue  # an interface that cannot do this way of XDP
            paths[f"{name}-{mode}"] = tcp(client, server, port)
        server = lab.pod("past-the-bridge")
        near = lab.pod("near")
        past_the_bridge(stack, lab, near, server)
        paths["past-the-bridge"] = tcp(near, server, FIRST_PORT + len(paths))
        for cores in cores_to_compare():
            if cores == "other" and bench.quick:
                continue
            seconds = 0.6 if bench.quick else 2.0 if cores == "same" else 1.0
            bench.measure({"cores": cores, "bytes": SIZE}, partial(pingpong, lab, cores, SIZE, seconds, paths))


def both_ways(stack: ExitStack, loaded: Loaded, pod: Pod, copies: int, inward: str, outward: str) -> None:
    """Copies of a program on what comes into a pod and on what leaves it: one program is attached only once."""
    for _ in range(copies):
        at_interface(stack, pod, loaded.program(inward, "tc-ingress"), "tc-ingress")
        at_interface(stack, pod, loaded.program(outward, "tc-egress"), "tc-egress")


def past_the_bridge(stack: ExitStack, lab: Lab, one: Pod, other: Pod) -> None:
    """What the one pod sends goes into the other at once, and back: bpf_redirect_peer where it leaves the pod."""
    for sender, receiver in ((one, other), (other, one)):
        bridge, inner = lab.outer_end(receiver)
        _, outer = lab.outer_end(sender)
        loaded = stack.enter_context(Loaded("datapath", constants={"target": index_of(bridge, inner)}))
        at_interface(stack, bridge, loaded.program("tc_peer", "tc-ingress"), "tc-ingress", interface=outer)


def run_live(bench: Bench) -> None:
    """What the kernel's own clock says of each run on real packets, and of a program there that does nothing."""
    lab = bench.lab
    lab.keep_awake()
    client, server, other = lab.pod("client"), lab.pod("server"), lab.pod("nothing")
    with ExitStack() as stack, Loaded("datapath") as loaded:
        testrun.allow(loaded, {client.address: testrun.IDENTITY}, FIRST_PORT)
        policy, nothing = loaded.program("tc_policy_in", "tc-ingress"), loaded.program("tc_pass", "tc-ingress")
        at_interface(stack, server, policy, "tc-ingress")
        at_interface(stack, other, nothing, "tc-ingress")
        paths = {"policy": tcp(client, server, FIRST_PORT), "nothing": tcp(client, other, FIRST_PORT + 1)}

        def take() -> dict[str, Reading | str]:
            stop = statistics()
            try:
                before = ran(policy), ran(nothing)
                pingpong(lab, "same", SIZE, 0.2 if bench.quick else 0.5, paths)
                after = ran(policy), ran(nothing)
            finally:
                os.close(stop)
            return {
                "policy_run_ns": per_run(before[0], after[0]), "nothing_run_ns": per_run(before[1], after[1]),
            }  # fmt: skip

        bench.measure({"bytes": SIZE}, take)


def per_run(before: tuple[int, int], after: tuple[int, int]) -> float:
    """ns a run between two readings of (ns, runs)."""
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def copy_rows(samples: Samples, kind: str = "policy") -> NDArray[np.float64]:
    """Rows (round, copies, half of a round trip on one core)."""
    rows = []
    for sample in samples.of(NAME, cores="same"):
        for metric, value in sample.values.items():
            name, _, rest = metric.partition(f"{kind}-")
            if not name and rest.endswith("_round_trip_ns"):
                rows.append((sample.round, float(rest.removesuffix("_round_trip_ns")), value / 2))
    return np.array(rows, np.float64).reshape(-1, 3)


def costs(samples: Samples) -> list[Cost]:
    """kernel.ebpf.policy.message."""
    rows = copy_rows(samples)
    if len(set(rows[:, 1])) < 2:
        return []
    slope, most = line(rows), int(rows[:, 1].max())
    harness = samples.values(testrun.NAME, "run_ns", program="tc_policy_in")
    floor = samples.values(testrun.NAME, "run_ns", program="tc_pass")
    beside = (
        f" In the kernel's harness a run costs {best(harness).value - best(floor).value:.0f} ns."
        if len(harness) and len(floor)
        else ""
    )
    live = [s.values["policy_run_ns"] - s.values["nothing_run_ns"] for s in samples.of(LIVE)]
    if live:
        beside += f" By live run statistics, more than a program that does nothing: {np.median(live):.0f} ns."
    return [
        cost(
            "kernel.ebpf.policy.message",
            "message, at one end",
            experiment=NAME,
            reference="a tc program (tcx) that parses to the 5-tuple and looks up the peer's identity and the verdict "
            f"in two hash maps of 1000 entries: slope of half a round trip over 0 to {most} copies at a "
            "pod's interface, both processes pinned to one core. An acknowledgement travels with the answer, so a "
            f"message is one packet; count twice where it does not.{beside}",
            conditions="the copies find the maps in the cache",
            cpu=Line(slope.per_unit, Figure(0.0, 0.0, 0.0, slope.per_unit.rounds), slope.residuals),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=samples.of(NAME, cores="same")[0],
            metric=f"policy-{most}_round_trip_ns",
        )
    ]


NEEDS = ("root", "compiler", "namespaces", "ip", "bpf", "bpf-links")
EXPERIMENTS = [
    Experiment(
        NAME,
        "tc and XDP programs on the packets of real connections, by number of copies [ns a message]",
        run, seconds=8, quick_seconds=3, needs=NEEDS,
    ),
    Experiment(
        LIVE,
        "one run of the policy on real packets, by the kernel's own run statistics [ns]",
        run_live, seconds=1.5, quick_seconds=1, needs=NEEDS,
    ),
]  # fmt: skip
