"""Text for Streamlit's Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def plain(text: str) -> str:
    """Shown as it is: a dollar sign would begin a formula, a name with stars would be bold."""
    return "".join(f"\\{sign}" if sign in "\\$*_`[]<>#~:|" else sign for sign in text)


def listed(items: Iterable[str]) -> str:
    """One line each."""
    return "\n".join(f"- {plain(item)}" for item in items)
