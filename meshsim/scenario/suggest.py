"""The nearest right name, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def choices(wrong: str, allowed: Iterable[str], limit: int = 12) -> str:
    """Say what would have been right: the nearest name first, then the choices (at most ``limit``)."""
    names = sorted(allowed)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    listed = ", ".join(names[:limit]) + (f", … ({len(names)} in all)" if len(names) > limit else "")
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from: {listed}"
