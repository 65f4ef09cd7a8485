"""Programs put where they run: at the interface of a pod, at a cgroup; off again when the block ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from meshsim.measure.ebpf.system import KINDS, link
from meshsim.measure.lab import Cgroup, Pod

T = TypeVar("T")
XDP_NATIVE = 1 << 2
XDP_GENERIC = 1 << 1


def inside(pod: Pod, work: Callable[[], T]) -> T:
    """Do something in the network namespace of a pod: in a thread that goes there and does not come back."""
    done: list[T] = []
    failed: list[BaseException] = []

    def there() -> None:
        try:
            pod.enter_here()
            done.append(work())
        except BaseException as error:  # carried over to the caller
            failed.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def at_interface(
    stack: ExitStack, pod: Pod, program: int, kind: str, *, interface: str = "eth0", flags: int = 0
) -> None:
    """Attach to an interface of a pod until the stack is closed. Further programs of tc come after the earlier ones."""
    fd = inside(pod, lambda: link(program, socket.if_nametoindex(interface), KINDS[kind], flags))
    stack.callback(os.close, fd)


def index_of(pod: Pod, interface: str) -> int:
    """Number of an interface in a pod."""
    return inside(pod, lambda: socket.if_nametoindex(interface))


@contextmanager
def at_cgroup(program: int, kind: str, cgroup: Cgroup) -> Iterator[None]:
    """``with at_cgroup(…):`` the program runs for the sockets of a cgroup."""
    target = os.open(cgroup.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = link(program, target, KINDS[kind])
    finally:
        os.close(target)
    try:
        yield
    finally:
        os.close(fd)
