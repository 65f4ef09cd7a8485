"""Traces in Chrome's format: nothing overlaps that would not be drawn, and nothing is lost."""

from __future__ import annotations

import json
from collections import defaultdict

import meshsim as ms
from meshsim.formats.trace import lanes, trace_json


def test_slices_nest_and_the_entry_lasts_as_long_as_the_request() -> None:
    run = ms.simulate(application="online-boutique", dataplane="istio-sidecar", rps=100, requests=200)
    records, plan = run.result.records[:25], run.result.plan
    found = json.loads(trace_json(records, plan, seed="1"))
    assert found["otherData"] == {"seed": "1"}
    by_lane = defaultdict(list)
    for event in found["traceEvents"]:
        if event["ph"] == "X":
            by_lane[event["pid"], event["tid"]].append(event)
    for events in by_lane.values():
        open_until: list[float] = []
        for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
            end = event["ts"] + event["dur"]
            while open_until and open_until[-1] <= event["ts"] + 1e-9:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 1e-6
            open_until.append(end)
    for record in records:
        entry = record.spans[0]
        first = next(event for event in by_lane[record.request, 0] if event["cat"] == "call")
        assert round(first["dur"] * 1000) == entry.end_ns - entry.start_ns
        calls = sum(
            event["cat"] == "call" for key, events in by_lane.items() if key[0] == record.request for event in events
        )
        assert calls == sum(span.end_ns >= 0 for span in record.spans)


def test_lanes_would_show_an_overlap() -> None:
    run = ms.simulate(application="online-boutique", dataplane="no-mesh", rps=100, requests=200)
    spans = run.result.records[0].spans
    assert len(lanes(spans)) > 1  # a call lies inside the time of its caller
