"""What needs a process of its own, because it looks at memory or at a first call.

    python -m tests.benchmarks.alone NAME [NUMBER]

prints what it measured as one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def in_a_process(name: str, number: int = 0, *, fresh_cache: bool = False) -> dict[str, Any]:
    """Run one of the functions below in a new process; with ``fresh_cache`` it finds no machine code."""
    with tempfile.TemporaryDirectory(prefix="meshsim-benchmark-") as folder:
        env = {**os.environ, **({"NUMBA_CACHE_DIR": folder} if fresh_cache else {})}
        words = [sys.executable, "-m", __name__, name, str(number)]
        done = subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def resident_bytes(field: str = "VmRSS") -> int:
    """Memory of this process now, or with VmHWM the most that it ever had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def analytic() -> Any | None:
    """The analytic engine, None where this version has none."""
    try:
        return importlib.import_module("meshsim.engines.analytic")
    except ImportError:
        return None


def first_call(_number: int) -> dict[str, float | None]:
    """Seconds until an analytic answer, and until the machine code is there, on a machine that has neither yet."""
    from .models import Mesh

    plan = Mesh().plan()
    began = time.perf_counter()
    engine = analytic()
    answer = None
    if engine is not None:
        engine.solve(plan)
        answer = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time()
    from meshsim.engines import compiled

    compiled.machine_code()
    return {"answer_s": answer, "compile_s": time.perf_counter() - began, "compile_cpu_s": time.process_time() - cpu}


def pending(requests: int) -> dict[str, float]:
    """Time an event, and memory a request, while so many requests are in flight, each waiting for one event.

    They come in until they are as many as are answered; what is timed is the rest.
    """
    from meshsim.engines import compiled
    from meshsim.scenario.scenario import Run

    from .models import Waits

    compiled.run(Waits(200).plan(), Run(requests=1000, sample=0))
    model = Waits(requests)
    plan = model.plan()
    # Twice the time that a request takes, with 9 events each, less the 4.5 that those in flight still have before them.
    filled = 14 * requests
    goal = filled + max(10 * compiled.EVENTS_AT_A_TIME, requests // 2)
    before = resident_bytes()
    seen: list[tuple[int, float]] = []
    memory = 0

    def watch() -> bool:
        nonlocal memory
        events = (len(seen) + 1) * compiled.EVENTS_AT_A_TIME
        seen.append((events, time.process_time()))
        memory = resident_bytes()
        return events >= goal

    result = compiled.run(plan, Run(requests=100_000_000, warmup=0, sample=0), should_stop=watch)
    steady = [point for point in seen if point[0] >= filled]
    (first, began), (last, ended) = steady[0], steady[-1]
    return {
        "in_flight": result.in_flight,
        "ns_an_event": (ended - began) / (last - first) * 1e9,
        "bytes_a_request": (memory - before) / result.in_flight,
        "peak_bytes": resident_bytes("VmHWM"),
    }


def large(requests: int) -> dict[str, float]:
    """10 000 services, 100 000 pods: lowering, running, memory. With 0 requests it is only lowered and answered."""
    from meshsim.engines import compiled
    from meshsim.plan.lower import lower
    from meshsim.scenario.scenario import Run

    from .models import Large
    from .timing import cpu_seconds

    parts = Large().parts()
    lowering, plan = cpu_seconds(lambda: lower(*parts))
    found: dict[str, float] = {
        "services": len(plan.service_names),
        "pods": len(plan.pod_node),
        "busiest": float(plan.station_load.max()),
        "lowering_cpu_s": lowering,
    }
    engine = analytic()
    if engine is not None:
        rates = [plan.rps * share for share in (0.7, 0.9, 1.0, 0.8, 0.6, 0.95)]
        times = [cpu_seconds(lambda rate=rate: engine.solve(plan, rate))[0] for rate in rates]  # type: ignore[misc]
        found["analytic_cpu_s"] = sorted(times[1:])[2]  # the first reads the plan
    if requests:
        compiled.machine_code()
        wall = time.perf_counter()
        cpu, result = cpu_seconds(lambda: compiled.run(plan, Run(requests=requests, warmup=0.0)))
        found |= {
            "requests": result.measured,
            "events": result.events,
            "run_wall_s": time.perf_counter() - wall,
            "run_cpu_s": cpu,
            "peak_bytes": resident_bytes("VmHWM"),
        }
    return found


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](int(sys.argv[2]))))
