"""Skips with the reason, for tests that need something of the host."""

from __future__ import annotations

import pytest

from meshsim.measure.doctor import capability


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip unless the host has all of these capabilities; the reason says how to get what is missing."""
    lacking = [one for one in map(capability, names) if not one.ok]
    return pytest.mark.skipif(
        bool(lacking), reason="; ".join(f"this host lacks {one.what}: {one.remedy}" for one in lacking)
    )
