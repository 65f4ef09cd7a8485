"""Which model computed a number: the version of meshsim, and a hash of the sources that its numbers depend on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import meshsim

PARTS = ("scenario", "costs", "plan", "engines", "results", "formats", "studies/row.py", "studies/columns.py")
"""Code that decides on numbers: any change of it is another model."""


@cache
def model_version() -> str:
    """'0.1.0+3f9a1c20b7d4'. Between two releases, every change of the code is a version of its own."""
    root = Path(meshsim.__file__).parent
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py")) or [root / part]:
            digest.update(str(path.relative_to(root).as_posix()).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{meshsim.__version__}+{digest.hexdigest()[:12]}"
