"""What the machinery of a sweep costs, and what a second worker brings. For a machine that does nothing else:

    python tests/benchmarks/sweep.py [--points 200] [--json]

* overhead: the wall time of a sweep of short points in one process, study file and all, less the time that the points
  themselves took, a point. Goal: below 5 ms.
* speed-up: the same longer points in one process and in two. Goal: 1.9 times. The pool of processes is warm in both.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from meshsim.studies.store import Store
from meshsim.studies.sweep import sweep

OVERHEAD_MS, SPEED_UP = 5.0, 1.9


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
    """Seconds of the wall clock, and seconds in the points themselves."""
    began = time.perf_counter()
    done = sweep(path, out, jobs=jobs)
    wall = time.perf_counter() - began
    assert done.missing == done.failed == 0
    return wall, sum(timing.seconds for timing in Store(out).timings())


def measure(points: int) -> dict[str, float]:
    """Both figures."""
    with tempfile.TemporaryDirectory(prefix="meshsim-bench-") as name:
        folder = Path(name)
        short, long, warm = study(folder, points, 100), study(folder, 8, 6_000), study(folder, 4, 100)
        timed(warm, folder / "warm", 1)  # imports, and what is compiled at first use
        wall, inside = timed(short, folder / "short", 1)
        one, _ = timed(long, folder / "one", 1)
        timed(warm, folder / "warm2", 2)
        two, _ = timed(long, folder / "two", 2)
    return {
        "points": points, "overhead_ms_a_point": 1000 * (wall - inside) / points,
        "point_ms": 1000 * inside / points, "one_worker_s": one, "two_workers_s": two, "speed_up": one / two,
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
            f"overhead: {found['overhead_ms_a_point']:.2f} ms a point of {found['point_ms']:.0f} ms (goal < {OVERHEAD_MS:g})"
        )
        print(f"two workers: {found['speed_up']:.2f} times one (goal {SPEED_UP:g}); load average before: {busy:.2f}")
    return 0 if found["overhead_ms_a_point"] < OVERHEAD_MS and found["speed_up"] >= SPEED_UP else 1


if __name__ == "__main__":
    sys.exit(main())
