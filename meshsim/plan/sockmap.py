"""sk_msg redirect: a message goes from one socket of a node to another, past TCP and the network stack."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.costs.books import Costs
from meshsim.plan.plan import Place, When
from meshsim.plan.program import Program, spend
from meshsim.plan.wakeups import NO_WAIT, read


def joined_sockets(costs: Costs, at: Place, key: str, size: int, *, reader_is_a_worker: bool) -> Program:
    """One message between an application and the proxy in its pod: the work of both sockets.

    If the reader is a worker of a proxy, its wake-up is in ``proxy.<software>.wakeup`` and is not waited for twice.
    """
    cost = read(costs, "kernel.sockmap.message")
    if reader_is_a_worker:
        cost = cost.model_copy(update=NO_WAIT)
    return spend(cost, "kernel", at, key, size=size)


def between_pods(costs: Costs, here: Place, there: Place, key: str, size: int) -> Program:
    """One message between two applications, if they happen to be on one node."""
    cost = read(costs, "kernel.sockmap.message")
    return spend(cost, "kernel", here, key, size=size, when=When.SAME_NODE, other=there)


def without_its_socket(cost: Cost, socket: Cost) -> Cost:
    """A proxy's cost of a message, less one of its two sockets: published proxy CPU contains the proxy's sockets.

    At most half of what the proxy spends in the kernel is taken off: it has two sockets, and one of them stays.
    """
    saved = min(socket.cpu_ns, cost.kernel_share * cost.cpu_ns / 2)
    per_byte = min(socket.cpu_ns_per_byte, cost.kernel_share * cost.cpu_ns_per_byte / 2)
    left = cost.cpu_ns - saved
    share = (cost.kernel_share * cost.cpu_ns - saved) / left if left > 0 else 0.0
    return cost.model_copy(
        update={"cpu_ns": left, "cpu_ns_per_byte": cost.cpu_ns_per_byte - per_byte, "kernel_share": share}
    )
