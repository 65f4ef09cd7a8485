"""How far reality lies from a result by the shipped scoreboard, and whether it was measured under such conditions.

``model_error`` knows only of uncertain costs. What the model leaves out shows where real meshes were measured beside
their simulation (``models/validation``): from there come bands, the wider the busier, and the conditions under which
they are known to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from meshsim.figures.numbers import listed
from meshsim.results.bands import ModelBand, bands
from meshsim.results.rows import Reality, RealityBand, Row
from meshsim.results.scoreboard import Conditions, Quantity, Scoreboard, read
from meshsim.scenario.application import Call, Entry
from meshsim.scenario.catalog import scoreboards
from meshsim.scenario.load import Load
from meshsim.studies.setup import Prepared

Kind = Literal["latency_us_p50", "latency_us_p99", "cpu_cores", "memory_mib"]
KINDS: dict[Kind, Quantity] = {
    "latency_us_p50": "p50", "latency_us_p99": "p99", "cpu_cores": "cpu-total", "memory_mib": "memory",
}  # fmt: skip
NAMED = 3
"""Costs told by name; of the others their number."""


def with_reality(row: Row, prepared: Prepared) -> Row:
    """The row with its bands, and what of it was not measured; as it is if no scoreboard is shipped."""
    found = scoreboard(prepared.costs.books[0].name)
    if found is None:
        return row
    name, board, known = found
    outside = list(_costs(prepared, board))
    if board.conditions is not None:
        outside += _conditions(row, prepared, board.conditions)
    parts = {"memory_mib": _of_proxies(prepared) / row.memory_mib if row.memory_mib else 0.0}
    chosen = [_band(kind, known, row.utilisation, parts.get(kind, 1.0)) for kind in KINDS]
    laid = [band for band in chosen if band is not None and band.part]
    return rebased(row, Reality(scoreboard=name, bands=laid, inside=not outside, outside=outside))


def rebased(row: Row, reality: Reality | None) -> Row:
    """The row with those bands, laid around its own figures."""
    if reality is None:
        return row
    values: dict[Kind, float | None] = {
        "latency_us_p50": row.latency_us.p50.value, "latency_us_p99": row.latency_us.p99.value,
        "cpu_cores": row.cpu_cores.total, "memory_mib": row.memory_mib,
    }  # fmt: skip
    laid = [_around(band, values[band.quantity]) for band in reality.bands]
    return row.model_copy(update={"reality": reality.model_copy(update={"bands": laid})})


def band_of(row: Row, quantity: str) -> RealityBand | None:
    """The row's band of one quantity; None where it is not known."""
    return next((band for band in (row.reality.bands if row.reality else ()) if band.quantity == quantity), None)


@lru_cache(maxsize=8)
def scoreboard(book: str) -> tuple[str, Scoreboard, tuple[ModelBand, ...]] | None:
    """Name, rows and bands of the scoreboard that was predicted with this book, else of the first; None without any."""
    boards = [(path.stem, read(path)) for path in scoreboards()]
    mine = [one for one in boards if one[1].costs[:1] == [book]]
    for name, board in [*mine, *boards][:1]:
        return name, board, tuple(bands(board))
    return None


def _around(band: RealityBand, value: float | None) -> RealityBand:
    if value is None:
        return band.model_copy(update={"low": None, "high": None})
    rest = value * (1 - band.part)
    low, high = (rest + value * band.part * factor for factor in (band.factor_low, band.factor_high))
    return band.model_copy(update={"low": low, "high": high})


def _of_proxies(prepared: Prepared) -> float:
    """MiB of proxies and their plug-ins; what the applications hold is given, not predicted."""
    names = {name for proxy in prepared.dataplane.proxies for name in (proxy.name, f"{proxy.name} plug-ins")}
    return sum(mib for name, mib in prepared.plan.bill.memory_by_item_mib.items() if name in names)


def _band(kind: Kind, known: Sequence[ModelBand], utilisation: float, part: float) -> RealityBand | None:
    """At the next higher load that was measured, or at the highest; its factors are laid around a figure later."""
    mine = [band for band in known if band.quantity == KINDS[kind]]
    if not mine:
        return None
    above = [band for band in mine if band.load is None or band.load >= utilisation]
    one = min(above, key=lambda band: band.load or 0.0) if above else mine[-1]
    return RealityBand(
        quantity=kind, low=None, high=None, factor_low=one.low, factor_high=one.high, part=part, load=one.load,
        scenarios=one.scenarios, coverage=one.coverage,
    )  # fmt: skip


def _costs(prepared: Prepared, board: Scoreboard) -> Iterator[str]:
    """Costs that were not measured on the host of the scoreboard."""
    book = prepared.costs.books[0].name
    if board.costs[:1] != [book]:
        yield f"costs are those of {book}, the scoreboard's those of {board.costs[0]}"
    table = prepared.costs.table
    used = dict.fromkeys(tag.operation for tag in prepared.plan.tags if tag.operation in table)
    guessed = [name for name in used if table[name][0].source != "measured"]
    if guessed:
        more = f" and {len(guessed) - NAMED} more" if len(guessed) > NAMED else ""
        yield f"{len(guessed)} of {len(used)} costs were not measured: {', '.join(guessed[:NAMED])}{more}"


def _conditions(row: Row, prepared: Prepared, known: Conditions) -> Iterator[str]:
    """In which directions a result lies beyond what was measured."""
    app, scenario = prepared.application, prepared.scenario
    calls: list[Entry | Call] = [*app.entries, *(call for s in app.services for e in s.endpoints for call in e.calls())]
    sizes = [size for call in calls for size in (call.request_bytes, call.response_bytes)]
    smallest, largest = known.payload_bytes
    if max(sizes) > largest:
        yield f"payloads up to {max(sizes):,} bytes; measured up to {largest:,}: upwards"
    if min(sizes) < smallest:
        yield f"payloads from {min(sizes):,} bytes; measured from {smallest:,}: downwards"
    others: list[str] = sorted({str(call.protocol) for call in calls} - set(known.protocols))
    if others:
        yield f"protocols {listed(others)}; measured: {listed(known.protocols)}"
    low, high = known.load
    if row.utilisation > high:
        yield f"{row.busiest}; measured up to {high:.0%}: upwards"
    if row.utilisation < low:
        yield f"{row.busiest}; measured from {low:.0%}: downwards"
    if row.services > known.services:
        yield f"{row.services:,} services; measured up to {known.services}: upwards"
    if row.nodes > known.nodes:
        yield f"{row.nodes:,} nodes with a network between them; measured on {known.nodes}: upwards"
    cores = int(prepared.plan.station_servers[prepared.plan.station_is_cpu].max())
    if cores != known.cores:
        yield f"nodes of {cores} cores; measured on {known.cores}: {'upwards' if cores > known.cores else 'downwards'}"
    asked = {
        "timeouts, retries and limits": scenario.resilience or scenario.rate_limits,
        "faults": scenario.faults,
        "autoscaling": scenario.autoscaling,
        "pinned connections or balancing": scenario.connections or scenario.balancing,
        "arrivals other than Poisson": _shaped(scenario.load),
    }
    named = [what for what, given in asked.items() if given]
    if named:
        yield f"{listed(named)}: not measured"


def _shaped(load: Load) -> bool:
    shapes = (load.mmpp, load.diurnal, load.flash_crowd, load.rates, load.rates_file)
    return load.arrivals != "poisson" or load.burst > 1 or any(shape is not None for shape in shapes)
