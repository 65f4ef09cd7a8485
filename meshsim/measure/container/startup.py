"""From the command that starts a service to its first answer: bare, by runc and crun, as a new Wasm instance."""

from __future__ import annotations

from functools import partial

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.container.apps import APPS
from meshsim.measure.container.bundle import Containers, ended_at_once
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import Figure, best, figure, scaled

LAUNCHERS = ("process", "crun", "runc")
CONDITIONS = (
    "page cache warm; the network namespace was made before; no image pull, no seccomp filter, no orchestrator; "
    "wait_ns is wall time from the command to the first answer less cpu_ns"
)
POLL = "the wait for the answer asks every 50 us; so much may be too long"
HOST_PORT = 20_000


def start(app: str, launcher: str, bench: Bench) -> None:
    """Start and end one application some times."""
    with bench.lab.scope():
        made = APPS[app][0](bench.lab)
        pod = bench.lab.pod("cold")
        containers = Containers(bench.lab, pod)
        bench.lab.keep_awake()
        times = 2 if bench.quick else 6

        def take() -> dict[str, Reading]:
            seen = []
            for _ in range(times):
                with bench.lab.scope():
                    answer = containers.start(made, launcher, 8000)
                    with ended_at_once([answer]):
                        seen.append(answer)
            return {
                "first_answer_ns": [a.first_answer_ns for a in seen],
                "cpu_ns": [a.cpu_ns for a in seen],
                "second_answer_ns": [a.second_answer_ns for a in seen],
                "least_first_answer_ns": min(a.first_answer_ns for a in seen),
                "least_cpu_ns": min(a.cpu_ns for a in seen),
            }

        containers.start(made, launcher, 8001)  # once unmeasured: the files come into the page cache
        bench.measure({"app": app, "launcher": launcher, "image_bytes": made.image_bytes()}, take)


def instance(bench: Bench) -> None:
    """A new instance in a Wasm host that runs already: its first answer less an answer that needs no new instance."""
    count = 40 if bench.quick else 300
    with bench.lab.scope():
        made = APPS["wasm"][0](bench.lab)
        pod = bench.lab.pod("host")
        containers = Containers(bench.lab, pod)
        bench.lab.keep_awake()
        pod.start([*made.command(HOST_PORT, inside=False)[:-1], str(count)])
        containers.ask(HOST_PORT)  # waits for the host
        bench.measure({}, partial(_instances, containers, count))


def _instances(containers: Containers, count: int) -> dict[str, Reading]:
    both = containers.ask_each(HOST_PORT + 1, count - 1)
    return {"first_answer_ns": [first for first, _ in both], "second_answer_ns": [second for _, second in both]}


EXPERIMENTS = [
    Experiment(
        f"container.start.{launcher}.{app}",
        f"{app} by {launcher}: from start command to first answer [ns]",
        partial(start, app, launcher),
        seconds=1.2 if app in ("python", "node") or launcher == "runc" else 0.6,
        quick_seconds=0.4 if app in ("c", "wasm") else None,
        needs=("namespaces", "ip", "compiler", *APPS[app][1], *(() if launcher == "process" else ("root", launcher))),
    )
    for launcher in LAUNCHERS
    for app in APPS
] + [
    Experiment(
        "container.start.instance",
        "a new Wasm instance in a running host: first answer over the network [ns]",
        instance,
        seconds=0.6,
        quick_seconds=0.4,
        needs=("namespaces", "ip", "compiler", "wasmtime"),
    )
]


def _wall_and_cpu(samples: Samples, launcher: str, app: str) -> tuple[Figure, Figure] | None:
    name = f"container.start.{launcher}.{app}"
    if not samples.has(name):
        return None
    return best(samples.values(name, "least_first_answer_ns")), best(samples.values(name, "least_cpu_ns"))


def costs(samples: Samples) -> list[Cost]:
    """startup.process.<app>, startup.container.<runtime>, image.<app>.

    A container of an application costs startup.container.<runtime> + startup.process.<app>.
    """
    found = []
    for app in APPS:
        bare = _wall_and_cpu(samples, "process", app)
        if bare is not None:
            found.append(
                cost(
                    f"startup.process.{app}",
                    "process",
                    experiment=f"container.start.process.{app}",
                    reference=f"the echo service {app} as a bare process, to its first answer; least of each round",
                    conditions=CONDITIONS,
                    wait=_waiting(*bare),
                    cpu=bare[1],
                    raw=samples.of(f"container.start.process.{app}")[0],
                    metric="first_answer_ns",
                    taken_off=POLL,
                )
            )
            found.append(
                cost(
                    f"image.{app}",
                    "image",
                    experiment=f"container.start.process.{app}",
                    reference=f"files that the service {app} needs, with the shared libraries it is linked with",
                    memory=_image(samples, app),
                )
            )
    for launcher in LAUNCHERS[1:]:
        entry = _launcher_cost(samples, launcher)
        if entry is not None:
            found.append(entry)
    name = "container.start.instance"
    if samples.has(name):
        extra = samples.values(name, "first_answer_ns") - samples.values(name, "second_answer_ns")
        found.append(
            cost(
                "startup.wasm.wasmtime.first-answer",
                "instance",
                experiment=name,
                reference="a new instance in a running host, over the network: median first answer of a service less "
                "median second answer",
                wait=best(extra),
                raw=samples.of(name)[0],
                metric="first_answer_ns",
                taken_off="an answer that needs no new instance, connection included",
            )
        )
    return found


def _launcher_cost(samples: Samples, launcher: str) -> Cost | None:
    """What the runtime adds to a bare process of the static C program, whose own start is short."""
    name = f"container.start.{launcher}.c"
    inside, bare = _wall_and_cpu(samples, launcher, "c"), _wall_and_cpu(samples, "process", "c")
    if inside is None or bare is None:
        return None
    n = min(len(samples.values(name, "cpu_ns")), len(samples.values("container.start.process.c", "cpu_ns")))

    def added(metric: str) -> Figure:
        one, other = samples.values(name, metric)[:n], samples.values("container.start.process.c", metric)[:n]
        return best(one - other)

    wall, cpu = added("least_first_answer_ns"), added("least_cpu_ns")
    others = []
    for app in ("python", "node"):
        both = _wall_and_cpu(samples, launcher, app), _wall_and_cpu(samples, "process", app)
        if both[0] is not None and both[1] is not None:
            others.append(f"{app} {(both[0][0].value - both[1][0].value) / 1e6:.1f} ms")
    return cost(
        f"startup.container.{launcher}",
        "container",
        experiment=name,
        reference=f"what {launcher} adds to the first answer of a static C service, over a bare process of it in the "
        "same round" + (f"; it adds to {', '.join(others)}" if others else ""),
        conditions=CONDITIONS,
        wait=_waiting(wall, cpu),
        cpu=cpu,
        raw=samples.of(name)[0],
        metric="first_answer_ns",
        taken_off=f"the bare process; {POLL}",
    )


def _waiting(wall: Figure, cpu: Figure) -> Figure:
    """Wall time that is no CPU time; what runs on two cores at once may leave none."""
    return Figure(max(0.0, wall.value - cpu.value), wall.error + cpu.error, wall.spread, wall.rounds)


def _image(samples: Samples, app: str) -> Figure:
    sizes = [float(s.settings["image_bytes"]) for s in samples.of(f"container.start.process.{app}")]
    return scaled(figure(sizes), 1.0)
