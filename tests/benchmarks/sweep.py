"""What the machinery of a sweep costs, and what a second worker brings. For a machine that does nothing else:

    python tests/benchmarks/sweep.py [--points 200] [--json]

* overhead: a sweep of short points in one process, less the simulation of the same points in a plain loop, a point.
  Reading the study and the models it names happens once and is told apart. Goal: below 5 ms. The same in CPU time,
  which a busy machine disturbs less.
* speed-up: the same longer points in one process and in two, each with its processes started. Goal: 1.9 times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from meshsim.studies.point import simulate_point
from meshsim.studies.study import read_study
from meshsim.studies.sweep import sweep

OVERHEAD_MS, SPEED_UP = 5.0, 1.9
LONG = 1_000_000
"""Requests of a point beside which it does not matter what a process costs."""


def study(folder: Path, points: int, requests: int) -> Path:
    """Points that differ in their seed only."""
    path = folder / f"{points}-{requests}.yaml"
    path.write_text(
        "schema: meshsim/study/1\nname: benchmark\n"
        f"scenario: {{application: two-tier, run: {{requests: {requests}, sample: 0}}}}\n"
        f"grid: {{dataplane: [linkerd]}}\nreplications: {points}\n"
    )
    return path


def timed(path: Path, out: Path, jobs: int) -> tuple[float, float]:
    """Seconds of a sweep by the wall clock, and of CPU in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = sweep(path, out, jobs=jobs)
    assert done.missing == done.failed == 0
    return time.perf_counter() - wall, time.process_time() - cpu


def plain(path: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds of the same points in a loop, and seconds to read the study, which a sweep does too."""
    began = time.perf_counter(), time.process_time()
    points = read_study(path)
    read = time.perf_counter() - began[0], time.process_time() - began[1]
    for point in points:
        simulate_point(point.prepared, lambda done, total: None, lambda: False)
    return time.perf_counter() - began[0], time.process_time() - began[1], read[0]


def measure(points: int) -> dict[str, float]:
    """Both figures."""
    with tempfile.TemporaryDirectory(prefix="meshsim-bench-") as name:
        folder = Path(name)
        short, long, warm = study(folder, points, 100), study(folder, 10, LONG), study(folder, 4, 100)
        timed(warm, folder / "warm", 1)  # imports, and what is compiled at first use
        loop, loop_cpu, read = plain(short)
        wall, cpu = timed(short, folder / "short", 1)
        one, _ = timed(long, folder / "one", 1)
        timed(warm, folder / "warm2", 2)
        two, _ = timed(long, folder / "two", 2)
    return {
        "points": points, "overhead_ms_a_point": 1000 * (wall - loop) / points,
        "overhead_cpu_ms_a_point": 1000 * (cpu - loop_cpu) / points, "point_ms": 1000 * (loop - read) / points,
        "read_once_ms": 1000 * read, "one_worker_s": one - read, "two_workers_s": two - read,
        "speed_up": (one - read) / (two - read),
    }  # fmt: skip


def main() -> int:
    """Print both; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=200, help="of the overhead's sweep")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    busy = os.getloadavg()[0]
    found = {**measure(given.points), "load_before": busy}
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"overhead: {found['overhead_ms_a_point']:.2f} ms a point of {found['point_ms']:.0f} ms (goal < "
            f"{OVERHEAD_MS:g}), {found['overhead_cpu_ms_a_point']:.2f} ms of CPU; reading, once: "
            f"{found['read_once_ms']:.0f} ms"
        )
        print(f"two workers: {found['speed_up']:.2f} times one (goal {SPEED_UP:g}); load before: {busy:.2f}")
    return 0 if found["overhead_ms_a_point"] < OVERHEAD_MS and found["speed_up"] >= SPEED_UP else 1


if __name__ == "__main__":
    sys.exit(main())
