"""Small studies for the tests of sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def write_study(folder: Path, points: int = 6, requests: int = 100, name: str = "study.yaml") -> Path:
    """Half of the points over no mesh, half over a sidecar; each with a seed of its own."""
    path = folder / name
    path.write_text(
        "schema: meshsim/study/1\nname: small\n"
        f"scenario: {{application: two-tier, run: {{requests: {requests}, sample: 0}}}}\n"
        f"grid: {{dataplane: [no-mesh, linkerd]}}\nreplications: {points // 2}\n"
    )
    return path


def start(study: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """``meshsim sweep`` in a group of processes of its own, so that a test can kill all of it."""
    command = [sys.executable, "-m", "meshsim", "sweep", str(study), "--out", str(out), "--json", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=dict(os.environ))


def parts(folder: Path) -> dict[str, bytes]:
    """Bytes of every part, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}
