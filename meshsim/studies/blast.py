"""The blast radius of each fault of a scenario: what share of the answers failed, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.results.rows import Blast
from meshsim.results.timeline import Timeline
from meshsim.scenario.faults import Fault

MORE = 0.01
"""A bin in which so much more of the answers failed than before the first fault still feels it."""


def blasts(timeline: Timeline, faults: Sequence[Fault]) -> list[Blast]:
    """One a fault, in the order of the scenario. Times are those at which the client has its answers, in bins of the
    timeline's width; where faults overlap, or follow each other soon, their failures are not told apart.
    """
    if not faults:
        return []
    width = timeline.width_ns / 1e9
    bins = list(zip(timeline.good, timeline.failed, strict=True))

    def share(first: int, behind: int) -> float | None:
        good, failed = (sum(each[k] for each in bins[max(0, first) : behind]) for k in (0, 1))
        return failed / (good + failed) if good + failed else None

    begins = [int(fault.at_s / width) for fault in faults]
    before = share(0, min(begins))
    found = []
    for fault, first in zip(faults, begins, strict=True):
        after = min((each for each in begins if each > first), default=len(bins))
        behind = int((fault.at_s + fault.for_s) / width) + 1
        felt = [n for n in range(first, after) if (share(n, n + 1) or 0.0) > (before or 0.0) + MORE]
        found.append(
            Blast(
                fault=_words(fault), at_s=fault.at_s, for_s=fault.for_s, failed_share=share(first, behind),
                failed_share_before=before, felt_for_s=(felt[-1] + 1) * width - fault.at_s if felt else 0.0,
                resolution_s=width,
            )
        )  # fmt: skip
    return found


def _words(fault: Fault) -> str:
    if fault.node is not None:
        return f"{fault.kind} of {fault.proxy} on node {fault.node}"
    whom = f"{fault.service}-{fault.replica}"
    return f"{fault.kind} of {fault.proxy} of {whom}" if fault.proxy else f"{fault.kind} of {whom}"
