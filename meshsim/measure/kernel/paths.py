"""Paths between two processes, compared by sending messages back and forth over each of them in turn."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Samples
from meshsim.measure.lab import Cgroup, Lab, Pod, Schedule
from meshsim.measure.native import tool

Cores = Literal["same", "other"]

TIMER = "clock readings inside the loop: their number times the median cost of one, in every round trip"


def cores_to_compare() -> tuple[Cores, ...]:
    """Both ends on one core, and, where there are two, on two."""
    return ("same", "other") if len(os.sched_getaffinity(0)) > 1 else ("same",)


def cpus(cores: Cores) -> tuple[int, int]:
    """The CPUs of the two ends."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[0] if cores == "same" else allowed[1]


def foremost() -> Schedule:
    """Realtime priority, so that other load does not delay what is timed; where that is not allowed, the normal one."""
    return "realtime" if capability("root").ok else "normal"


def loopback() -> str:
    """A TCP path over the host's own loopback, for hosts on which no pod can be made."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"tcp:0:0:127.0.0.1:{port}:127.0.0.1:{port}"


def tcp(
    client: Pod,
    server: Pod,
    port: int,
    *,
    listen: tuple[str, int] | None = None,
    connect: tuple[str, int] | None = None,
    transparent: bool = False,
) -> str:
    """A TCP path from one pod to another, in the words of ``native/path.h``.

    Without ``listen`` and ``connect``: to the server's address, or to loopback where both ends are in one pod.
    """
    here = ("127.0.0.1" if client is server else server.address, port)
    (listen_host, listen_port), (host, at) = listen or here, connect or here
    ends = f"{client.holder.pid}:{server.holder.pid}:{listen_host}:{listen_port}:{host}:{at}"
    return f"tcp:{ends}:transparent" if transparent else f"tcp:{ends}"


def pingpong(
    lab: Lab,
    cores: Cores,
    size: int,
    seconds: float,
    paths: Mapping[str, str],
    cgroup: Cgroup | None = None,
    pause_us: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Round trips of ``size`` bytes over some paths, in blocks of 100 that take turns for ``seconds`` in all.

    ``cgroup``: that both ends are in. ``pause_us``: between one and the next, of whole blocks all the same.

    By path: ``NAME_round_trip_ns`` and ``NAME_send_ns`` (time inside the sending call) of single messages, and
    ``NAME_own_cpu_ns``, ``NAME_peer_cpu_ns`` of the two processes per round trip, one mean a block.
    """
    own, peer = cpus(cores)
    argv = [str(tool("pingpong")), str(own), str(peer), str(size), str(seconds), str(pause_us)]
    argv += [f"{name}={path}" for name, path in paths.items()]
    found = json.loads(lab.call(argv, schedule=foremost(), cgroup=cgroup))
    return {f"{name}_{metric}": np.array(values) for name, some in found.items() for metric, values in some.items()}


def halves(
    samples: Samples, experiment: str, metric: str, less: str = "", *, setting: str = "bytes", **settings: int | str
) -> NDArray[np.float64]:
    """Rows (round, size, half of a round-trip metric): what one message costs; ``less`` a second metric, pairwise."""
    rows = []
    for sample in samples.of(experiment, **settings):
        if metric in sample.values and (not less or less in sample.values):
            value = sample.values[metric] - (sample.values[less] if less else 0.0)
            rows.append((sample.round, float(sample.settings[setting]), value / 2))
    return np.array(rows, np.float64).reshape(-1, 3)
