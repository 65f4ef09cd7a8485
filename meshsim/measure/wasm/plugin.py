"""What a plug-in does in a measurement, and how its costs are told apart: by copies, host calls, and bytes of compute.

One plug-in is far below the noise of a proxy, so requests run through 0, 1 … 16 copies of it; the slope over copies is
the cost of one. Slopes of plug-ins that call the host more or less often give the fixed part and the part of a call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.book import cost
from meshsim.measure.experiment import Samples
from meshsim.measure.fit import Figure, figure, line

HASHED_BYTES = 4096
VARIANTS: dict[str, tuple[str, int]] = {
    "no-op": ("", 0),
    "read-add": ("r1a1", 2),
    "reads-adds": ("r10a2", 12),
    "hash": (f"r1a1h{HASHED_BYTES}", 2),
}
"""What a copy does -> its configuration, its host calls in a request."""


def slopes(samples: Samples, experiment: str, metric: str, variant: str) -> dict[int, float]:
    """By round: what one more copy of a variant costs."""
    points = np.vstack(
        [
            samples.points(experiment, "copies", metric, variant=variant),
            samples.points(experiment, "copies", metric, variant="none"),
        ]
    )
    found = {}
    for number in np.unique(points[:, 0]):
        mine = points[points[:, 0] == number]
        if len(np.unique(mine[:, 1])) >= 2:
            found[int(number)] = line(mine).per_unit.value
    return found


def plugin_costs(
    samples: Samples, experiment: str, metric: str, prefix: str, words: str, conditions: str, taken_off: str
) -> list[Cost]:
    """``prefix``.request, .host-call and .compute, as far as the variants were measured."""
    by_variant = {variant: slopes(samples, experiment, metric, variant) for variant in VARIANTS}
    rows = np.array(
        [
            (number, VARIANTS[variant][1], slope)
            for variant in ("no-op", "read-add", "reads-adds")
            for number, slope in by_variant[variant].items()
        ],
        np.float64,
    ).reshape(-1, 3)
    if len(np.unique(rows[:, 1])) < 2:
        return []
    fixed, per_call, residuals = _parts(rows)
    found = [
        cost(
            f"{prefix}.request",
            "request and plug-in",
            experiment=experiment,
            reference=f"{words}: slope over copies of our filter, extrapolated to no host call; residuals of the line "
            f"over host calls, ns: {', '.join(f'{r:.0f}' for r in residuals)}",
            conditions=conditions,
            cpu=fixed,
            taken_off=taken_off,
        ),
        cost(
            f"{prefix}.host-call",
            "host call",
            experiment=experiment,
            reference=f"{words}: 0, 2 and 12 calls in a request, mostly reads of one short header, the others add one",
            conditions=conditions,
            cpu=per_call,
            taken_off=taken_off,
        ),
    ]
    rounds = sorted(by_variant["hash"].keys() & by_variant["read-add"].keys())
    if rounds:
        hashed = figure([(by_variant["hash"][n] - by_variant["read-add"][n]) / HASHED_BYTES for n in rounds])
        found.append(
            cost(
                f"{prefix}.compute",
                "byte of compute",
                experiment=experiment,
                reference=f"{words}: FNV-1a over {HASHED_BYTES} bytes in the guest, each step waiting for the last",
                conditions=conditions,
                cpu=hashed,
                taken_off="the same plug-in without the hash",
            ).model_copy(update={"cpu_ns": 0.0, "cpu_ns_per_byte": float(f"{max(hashed.value, 0.0):.4g}")})
        )
    return found


def _parts(rows: NDArray[np.float64]) -> tuple[Figure, Figure, list[float]]:
    """Fixed part and part of a call of slopes: rows (round, calls, slope).

    Least squares, each round by itself: three slopes leave a robust fit nothing to choose from.
    """
    terms = []
    for number in np.unique(rows[:, 0]):
        mine = rows[rows[:, 0] == number]
        if len(np.unique(mine[:, 1])) >= 2:
            per_call, fixed = np.polyfit(mine[:, 1], mine[:, 2], 1)
            terms.append((float(fixed), float(per_call)))
    fixed, per_call = (figure([t[k] for t in terms]) for k in (0, 1))
    calls = np.unique(rows[:, 1])
    middle = [float(np.median(rows[rows[:, 1] == c, 2])) for c in calls]
    return fixed, per_call, [m - fixed.value - per_call.value * float(c) for m, c in zip(middle, calls, strict=True)]
