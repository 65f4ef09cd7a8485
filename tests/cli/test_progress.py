"""Lines of progress: what they say of the time that is left."""

from __future__ import annotations

import pytest

from meshsim.terminal import progress


def test_the_time_left_is_judged_by_the_last_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = iter([0.0, 5.0, 30.0, 41.0, 52.0, 63.0, 74.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("grow") as report:
        report(0, 100, "0 of 100 runs done")  # too early for a line
        report(1, 100, "1 of 100 runs done")  # after compiling for most of the time
        report(12, 100, "12 of 100 runs done")
        report(12, 100, "12 of 100 runs done")  # nothing lately: by the line before
        report(34, 100, "34 of 100 runs done")
        report(101, 100, "one taken again")
    assert capsys.readouterr().err.splitlines() == [
        "grow: 1%, 1 of 100 runs done, 30 s, about 50 min left",
        "grow: 12%, 12 of 100 runs done, 41 s, about 88 s left",
        "grow: 12%, 12 of 100 runs done, 52 s, about 3 min left",
        "grow: 34%, 34 of 100 runs done, 63 s, about 33 s left",
        "grow: 100%, one taken again, 74 s, about 0 s left",
    ]
