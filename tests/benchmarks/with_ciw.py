"""Queues as a user of Ciw writes them: distributions and routing as data, no programs."""

from __future__ import annotations

import random

import ciw

from .models import SERVERS, VISITS, Network, SingleQueue
from .ran import Ran, ran


def single_queue(model: SingleQueue, stages: int, seed: int = 1) -> Ran:
    """M/M/1 until so many customers are served."""
    queue = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=model.rate / 1e6)],
        service_distributions=[ciw.dists.Exponential(rate=1 / model.service_us)],
        number_of_servers=[1],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(queue)
    simulation.simulate_until_max_customers(stages, method="Finish")
    records = simulation.get_all_records()
    return ran(len(records), [record.exit_date - record.arrival_date for record in records])


def network(model: Network, stages: int, seed: int = 1) -> Ran:
    """An open network of stations: requests come in at a node that serves at once, and follow a route drawn there."""
    rng = random.Random(seed)
    servers = [servers for servers, count in zip(SERVERS, model.counts, strict=True) for _ in range(count)]
    means = [mean for mean, count in zip(model.mean_us, model.counts, strict=True) for _ in range(count)]
    first = [2 + sum(model.counts[:kind]) for kind in range(len(SERVERS))]  # nodes are counted from 1

    def tour(_individual: object, _simulation: object) -> list[int]:
        kinds = (visit % len(SERVERS) for visit in range(VISITS))
        return [1, *(first[kind] + rng.randrange(model.counts[kind]) for kind in kinds)]

    stations = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=model.rate / 1e6)] + [None] * len(servers),
        service_distributions=[ciw.dists.Deterministic(value=0.0)] + [ciw.dists.Exponential(rate=1 / m) for m in means],
        number_of_servers=[float("inf"), *servers],
        routing=ciw.routing.ProcessBased(tour),
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(stations)
    simulation.simulate_until_max_customers(max(1, stages // VISITS), method="Finish")
    records = simulation.get_all_records()
    visits = sum(record.node > 1 for record in records)
    came: dict[int, float] = {}
    left: dict[int, tuple[float, int]] = {}
    for record in records:
        came[record.id_number] = min(came.get(record.id_number, record.arrival_date), record.arrival_date)
        end, seen = left.get(record.id_number, (0.0, 0))
        left[record.id_number] = max(end, record.exit_date), seen + 1
    answered = sorted((end, number) for number, (end, seen) in left.items() if seen == VISITS + 1)
    return ran(visits, [end - came[number] for end, number in answered])
