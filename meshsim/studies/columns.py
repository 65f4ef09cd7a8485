"""One point as a row of a Parquet part: what was asked, what came out, and what it takes to run it again."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from meshsim import __version__
from meshsim.results.fingerprint import fingerprint
from meshsim.results.rows import Estimate, Row
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.studies.study import SweepPoint, field_kinds
from meshsim.studies.version import model_version

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

QUANTILES = ("p50", "p90", "p99", "p999")
UNITS = {"run.warmup": "run_warmup_share"}
"""Columns whose field does not say its unit, or says it otherwise."""
TIMELINE_BINS = 128
TIMELINE = ("timeline_good", "timeline_failed", "timeline_latency_ns")
"""Answers by time, one entry a bin: good ones, failed ones, and the sum of their latencies."""
MODEL_ERRORS = {"latency_p50": "us", "cpu": "cores", "memory": "mib", "usd": "month", "power": "watts"}

REALITY = {
    "latency_p50": ("latency_us_p50", "us"), "latency_p99": ("latency_us_p99", "us"), "cpu": ("cpu_cores", "cores"),
    "memory": ("memory_mib", "mib"),
}  # fmt: skip
"""Bands of the scoreboard: column -> its quantity and unit."""


@cache
def column_types() -> dict[str, type]:
    """The columns of a part, the same for every point. Units are in the names."""
    types: dict[str, type] = {"key": str, "meshsim": str, "model": str}
    for name, kind in field_kinds().items():
        types[_column(name)] = kind
    types["services"] = int
    for name in (*QUANTILES, "mean"):
        types |= {f"latency_{name}{end}_us": float for end in ("", "_low", "_high")}
    types |= {f"cpu_{name}_cores": float for name in ("application", "proxy", "kernel", "total")}
    types |= {"memory_mib": float, "pods": int, "nodes": int, "usd_month": float}
    types |= {"cross_zone_gb_month": float, "cross_zone_usd_month": float, "power_watts": float}
    types |= {"config_mib": float, "push_kib_s": float, "control_plane_cores": float}
    types |= {
        "requests": int,
        "failed_requests": int,
        "goodput_rps": float,
        "events": int,
        "busiest": str,
        "utilisation_share": float,
    }
    for name, unit in MODEL_ERRORS.items():
        types |= {f"model_error_{name}{end}_{unit}": float for end in ("_low", "_high")}
    for name, (_, unit) in REALITY.items():
        types |= {f"reality_{name}{end}_{unit}": float for end in ("_low", "_high")}
    types |= {"reality_inside": bool, "reality_outside": str}
    types |= {"timeline_bin_ns": int, **dict.fromkeys(TIMELINE, list)}
    types |= {"audit_ok": bool, "error": str, "fingerprint": str, "scenario": str}
    return types | {f"{name}_hash": str for name in ("application", "dataplane", "machine", "costs")}


def values(point: SweepPoint, row: Row | None, result: RunResult | None, error: str) -> dict[str, Any]:
    """One value a column; None where there is no number."""
    found: dict[str, Any] = dict.fromkeys(column_types())
    found |= _asked(point) | {"error": error}
    if row is not None and result is not None:
        found |= _numbers(row) | {"fingerprint": fingerprint(result)}
        found["timeline_bin_ns"], bins = result.timeline.coarse(TIMELINE_BINS)
        found |= {name: [values[number] for values in bins] for number, name in enumerate(TIMELINE)}
    return found


def table(row: dict[str, Any]) -> pa.Table:
    """A table of one row."""
    import pyarrow as pa

    schema = _schema()
    return pa.Table.from_arrays([pa.array([row[field.name]], field.type) for field in schema], schema=schema)


@cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), list: pa.list_(pa.int64())}
    return pa.schema([(name, kinds[kind]) for name, kind in column_types().items()])


def one_line(error: MeshsimError) -> str:
    """The text of the column ``error``."""
    return " ".join(str(error).split())


def _column(field: str) -> str:
    return UNITS.get(field, field.replace(".", "_"))


def _asked(point: SweepPoint) -> dict[str, Any]:
    scenario = point.prepared.scenario
    told: dict[str, Any] = {"key": point.key, "meshsim": __version__, "model": model_version()}
    whole = scenario.model_dump(mode="json")
    for name, kind in field_kinds().items():
        value: Any = scenario
        for step in name.split("."):
            value = getattr(value, step)
        if kind is str and value is not None and not isinstance(value, str):
            if name == "costs":
                value = ",".join(value)
            else:  # a number, or auto; or a part of the scenario with fields of its own
                plain = whole
                for step in name.split("."):
                    plain = plain[step]
                value = json.dumps(plain, sort_keys=True)
        told[_column(name)] = value
    # Not the scaled application: what cannot be scaled is one of the errors that a row may tell.
    told["services"] = scenario.services or len(point.prepared.original.services)
    told["scenario"] = scenario.model_dump_json(by_alias=True)
    return told | {f"{name}_hash": hash_ for name, hash_ in point.hashes.items()}


def _numbers(row: Row) -> dict[str, Any]:
    estimates: dict[str, Estimate] = {name: getattr(row.latency_us, name) for name in QUANTILES} | {"mean": row.mean_us}
    found: dict[str, Any] = {}
    for name, estimate in estimates.items():
        found[f"latency_{name}_us"] = estimate.value
        found[f"latency_{name}_low_us"], found[f"latency_{name}_high_us"] = estimate.low, estimate.high
    for name in ("application", "proxy", "kernel", "total"):
        found[f"cpu_{name}_cores"] = getattr(row.cpu_cores, name)
    error = row.model_error
    bands = {"latency_p50": error.latency_us_p50, "cpu": error.cpu_cores, "memory": error.memory_mib}
    bands |= {"usd": error.usd_month} | ({} if error.power_watts is None else {"power": error.power_watts})
    for name, ends in bands.items():
        unit = MODEL_ERRORS[name]
        found[f"model_error_{name}_low_{unit}"], found[f"model_error_{name}_high_{unit}"] = ends.low, ends.high
    if row.reality is not None:
        for name, (quantity, unit) in REALITY.items():
            for band in row.reality.bands:
                if band.quantity == quantity:
                    found[f"reality_{name}_low_{unit}"], found[f"reality_{name}_high_{unit}"] = band.low, band.high
        found |= {"reality_inside": row.reality.inside, "reality_outside": "; ".join(row.reality.outside)}
    bill = (
        "memory_mib",
        "pods",
        "nodes",
        "usd_month",
        "cross_zone_gb_month",
        "cross_zone_usd_month",
        "power_watts",
        "config_mib",
        "push_kib_s",
        "control_plane_cores",
    )
    for name in (*bill, "requests", "events", "busiest"):
        found[name] = getattr(row, name)
    return found | {
        "failed_requests": row.failed,
        "goodput_rps": row.goodput_rps,
        "utilisation_share": row.utilisation,
        "audit_ok": row.audit.ok,
    }
