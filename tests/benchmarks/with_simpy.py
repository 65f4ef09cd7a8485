"""The same models as a user of SimPy writes them: a generator for each request, a Resource for whatever is shared.

Each program runs until so many stages are over, from an empty system.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import simpy

from .models import SERVERS, VISITS, Mesh, Network, SingleQueue
from .ran import Ran, ran

Steps = Generator[simpy.Event, Any, None]


def single_queue(model: SingleQueue, stages: int, seed: int = 1) -> Ran:
    """M/M/1."""
    env = simpy.Environment()
    rng = random.Random(seed)
    server = simpy.Resource(env, capacity=1)
    latencies: list[float] = []
    finished = env.event()

    def customer() -> Steps:
        came = env.now
        with server.request() as turn:
            yield turn
            yield env.timeout(rng.expovariate(1 / model.service_us))
        latencies.append(env.now - came)
        if len(latencies) == stages:
            finished.succeed()

    def source() -> Steps:
        while True:
            yield env.timeout(rng.expovariate(model.rate / 1e6))
            env.process(customer())

    env.process(source())
    env.run(until=finished)
    return ran(len(latencies), latencies)


def network(model: Network, stages: int, seed: int = 1) -> Ran:
    """An open network of stations."""
    env = simpy.Environment()
    rng = random.Random(seed)
    kinds = [
        [simpy.Resource(env, capacity=servers) for _ in range(count)]
        for servers, count in zip(SERVERS, model.counts, strict=True)
    ]
    rates = [1 / mean_us for mean_us in model.mean_us]
    latencies: list[float] = []
    done = 0
    finished = env.event()

    def request() -> Steps:
        nonlocal done
        came = env.now
        for visit in range(VISITS):
            kind = visit % len(kinds)
            with rng.choice(kinds[kind]).request() as turn:
                yield turn
                yield env.timeout(rng.expovariate(rates[kind]))
            done += 1
            if done == stages:
                finished.succeed()
        latencies.append(env.now - came)

    def source() -> Steps:
        while True:
            yield env.timeout(rng.expovariate(model.rate / 1e6))
            env.process(request())

    env.process(source())
    env.run(until=finished)
    return ran(done, latencies)


class Pod:
    """Where a container of a service and its sidecar are."""

    def __init__(self, env: simpy.Environment, node: int, cpu: simpy.Resource, model: Mesh) -> None:
        self.node = node
        self.cpu = cpu
        self.threads = simpy.Resource(env, capacity=model.threads)
        self.sidecar = simpy.Resource(env, capacity=model.workers)


def mesh(model: Mesh, stages: int, seed: int = 1) -> Ran:
    """Services that call each other, sidecars at both ends, cores that all share."""
    env = simpy.Environment()
    rng = random.Random(seed)
    cores = [simpy.Resource(env, capacity=model.cores) for _ in range(model.nodes)]
    pods = {
        service: [Pod(env, node, cpu, model) for node, cpu in enumerate(cores)] for service in model.CALLS
    }  # one pod of each service on each node
    latencies: list[float] = []
    done = 0
    finished = env.event()

    def work(pod: Pod, mean_us: float) -> Steps:
        nonlocal done
        with pod.cpu.request() as core:
            yield core
            yield env.timeout(rng.expovariate(1 / mean_us))
        done += 1
        if done == stages:
            finished.succeed()

    def wire(here: Pod | None, there: Pod) -> simpy.Event:
        near = here is not None and here.node == there.node
        return env.timeout(rng.expovariate(1 / (model.near_us if near else model.far_us)))

    def forward_request(pod: Pod) -> Steps:
        with pod.sidecar.request() as worker:
            yield worker
            yield from work(pod, model.request_us)

    def forward_response(pod: Pod) -> Steps:
        worker = pod.sidecar.request()
        yield worker
        yield from work(pod, model.response_us)
        env.process(record(pod, worker))

    def record(pod: Pod, worker: Any) -> Steps:
        yield from work(pod, model.telemetry_us)
        pod.sidecar.release(worker)

    def call(caller: Pod | None, service: str) -> Steps:
        callee = rng.choice(pods[service])
        if caller is not None:
            yield from forward_request(caller)
        yield wire(caller, callee)
        yield from forward_request(callee)
        yield from serve(callee, service)
        yield from forward_response(callee)
        yield wire(caller, callee)
        if caller is not None:
            yield from forward_response(caller)

    def serve(pod: Pod, service: str) -> Steps:
        with pod.threads.request() as thread:
            yield thread
            yield from work(pod, model.before_us)
            if model.CALLS[service]:
                yield env.all_of([env.process(call(pod, callee)) for callee in model.CALLS[service]])
            yield from work(pod, model.after_us)

    def request() -> Steps:
        came = env.now
        yield from call(None, "a")
        latencies.append(env.now - came)

    def source() -> Steps:
        while True:
            yield env.timeout(rng.expovariate(model.rate / 1e6))
            env.process(request())

    env.process(source())
    env.run(until=finished)
    return ran(done, latencies)
