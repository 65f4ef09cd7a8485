"""Queues as a user of Cimba-Python writes them: classes with processes, which it compiles for its C engine."""

import cimba as cb
from cimba import inputs

from .models import SERVERS, VISITS, Network, SingleQueue
from .ran import Ran


class Queue(cb.Model):
    """M/M/1, after the example that Cimba-Python shows first."""

    interarrival: cb.Input[float] = inputs.dist.exponential(mean=1.0)
    service_time: cb.Input[float] = inputs.dist.exponential(mean=1.0)
    queue: cb.Container
    stages: cb.Param[int]
    served: cb.Output[int]
    mean_queue: cb.Output[float]

    @cb.process
    def arrivals(self):
        while True:
            cb.hold(self.interarrival.next())
            self.queue.put(1)

    @cb.process
    def server(self):
        while self.served < self.stages:
            self.queue.get(1)
            cb.hold(self.service_time.next())
            self.served += 1
        cb.end_trial()

    @cb.on_end
    def measure(self):
        self.mean_queue = self.queue.mean_level()


class Station(cb.Model):
    line: cb.Resource


class Kind(cb.Model):
    """Stations with the same number of servers."""

    stations: list[Station]
    count: cb.Param[int]
    mean_us: cb.Param[float]


class Tour(cb.Model):
    """A request on its way."""

    network: cb.Ref["Stations"]
    one: cb.Ref[Kind]
    two: cb.Ref[Kind]
    four: cb.Ref[Kind]
    eight: cb.Ref[Kind]

    @cb.process
    def go(self):
        came = cb.now()
        for _ in range(self.network.rounds):
            for kind in (self.one, self.two, self.four, self.eight):
                station = kind.stations[cb.random.dice(1, kind.count) - 1]
                station.line.acquire()
                cb.hold(cb.random.exponential(kind.mean_us))
                station.line.release()
                self.network.visits += 1
        self.network.latency.record(cb.now() - came)


class Stations(cb.Model):
    """An open network."""

    one: Kind
    two: Kind
    four: Kind
    eight: Kind
    gap_us: cb.Param[float]
    stages: cb.Param[int]
    rounds: cb.Param[int]
    latency: cb.Dataset
    visits: cb.Output[int]
    mean_us: cb.Output[float]

    @cb.process
    def source(self):
        while self.visits < self.stages:
            cb.hold(cb.random.exponential(self.gap_us))
            cb.spawn(Tour, network=self, one=self.one, two=self.two, four=self.four, eight=self.eight)
        cb.end_trial()

    @cb.on_end
    def measure(self):
        self.mean_us = self.latency.sample_mean()


def single_queue(model: SingleQueue, stages: int, seed: int = 1) -> Ran:
    """M/M/1; its latency from the mean queue by Little's law."""
    queue = Queue()
    queue.interarrival = inputs.dist.exponential(mean=1e6 / model.rate)
    queue.service_time = inputs.dist.exponential(mean=model.service_us)
    queue.stages = stages
    results = cb.Experiment(queue, seed=seed).run()[queue]
    waiting = float(results.mean_queue.values[0, 0])
    return Ran(int(results.served.values[0, 0]), waiting / model.rate * 1e6 + model.service_us)


def network(model: Network, stages: int, seed: int = 1) -> Ran:
    """An open network of stations."""
    whole = Stations()
    whole.gap_us, whole.stages, whole.rounds = 1e6 / model.rate, stages, VISITS // len(SERVERS)
    for name, servers, count, mean_us in zip(
        ("one", "two", "four", "eight"), SERVERS, model.counts, model.mean_us, strict=True
    ):
        setattr(whole, name, _kind(servers, count, mean_us))
    results = cb.Experiment(whole, seed=seed).run()[whole]
    return Ran(int(results.visits.values[0, 0]), float(results.mean_us.values[0, 0]))


def _kind(servers: int, count: int, mean_us: float) -> Kind:
    kind = Kind()
    kind.count, kind.mean_us = count, mean_us
    kind.stations = []
    for _ in range(count):
        station = Station()
        station.line = cb.Resource(capacity=servers)
        kind.stations.append(station)
    return kind
