"""Measured costs become a cost book: entries with their evidence, the conditions, and the raw samples beside it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import FoldedScalarString

from meshsim.costs.book import Cost, CostBook, Evidence
from meshsim.measure.experiment import Sample
from meshsim.measure.fit import Figure, Line, at

LARGEST_ERROR = 3.0


def cost(
    operation: str,
    unit: str,
    *,
    reference: str,
    experiment: str,
    cpu: Figure | Line | None = None,
    wait: Figure | Line | None = None,
    memory: Figure | None = None,
    cores: Figure | None = None,
    ratio: Figure | None = None,
    conditions: str = "",
    taken_off: str = "",
    law: Literal["constant", "exponential", "lognormal", "cold"] = "constant",
    cv: float = 0.5,
    kernel_share: float = 0.0,
    raw: Sample | None = None,
    metric: str = "",
    typical_units: float = 1024.0,
) -> Cost:
    """One measured entry. Figures are in ns, bytes or cores; a Line gives the fixed and the per-byte term.

    Negative figures, which noise can make of a difference of nearly equal things, become 0 with an error that says so.
    ``raw`` and ``metric``: a sample whose quantiles are shown as the raw ones. ``typical_units``: bytes for which the
    standard error of a Line is stated, for fixed and per-byte term together.
    """
    parts = [p for p in (cpu, wait, memory, cores, ratio) if p is not None]
    figures = [f for p in parts for f in ((p.fixed, p.per_unit) if isinstance(p, Line) else (p,))]
    # What the entry is mostly made of says how sure it is: the first that is given.
    main = at(parts[0], typical_units) if isinstance(parts[0], Line) else parts[0]
    residuals = next((p.residuals for p in parts if isinstance(p, Line)), {})

    def fixed(part: Figure | Line | None) -> float:
        return 0.0 if part is None else _rounded(part.fixed if isinstance(part, Line) else part)

    def per_byte(part: Figure | Line | None) -> float:
        return _rounded(part.per_unit) if isinstance(part, Line) else 0.0

    return Cost(
        operation=operation,
        unit=unit,
        cpu_ns=fixed(cpu),
        cpu_ns_per_byte=per_byte(cpu),
        wait_ns=fixed(wait),
        wait_ns_per_byte=per_byte(wait),
        bytes=fixed(memory),
        cores=fixed(cores),
        ratio=fixed(ratio),
        law=law,
        cv=cv,
        kernel_share=round(min(max(kernel_share, 0.0), 1.0), 3),
        standard_error=round(min(LARGEST_ERROR, main.relative_error), 3),
        source="measured",
        reference=reference,
        conditions=conditions,
        evidence=Evidence(
            experiment=experiment,
            rounds=max(1, min(f.rounds for f in figures)),
            spread=round(main.spread, 3),
            quantiles=raw.quantiles.get(metric, {}) if raw is not None else {},
            residuals=residuals,
            taken_off=taken_off,
        ),
    )


def _rounded(part: Figure) -> float:
    """Four significant digits: more would pretend."""
    return float(f"{max(part.value, 0.0):.4g}")


def as_yaml(book: CostBook, heading: str) -> str:
    """The book as text that a person likes to read, with a heading of comments."""
    yaml = YAML()
    yaml.width = 118
    yaml.indent(mapping=2, sequence=4, offset=2)
    plain = _folded(book.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    stream = io.StringIO()
    yaml.dump(plain, stream)
    return "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines()) + stream.getvalue()


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, str) and len(value) > 90:
        return FoldedScalarString(value)
    return value


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def make_book(name: str, costs: Sequence[Cost], host: dict[str, str], samples: str) -> CostBook:
    """A book of what was measured on this host."""
    machine = ", ".join(host[key] for key in ("processor", "kernel", "distribution") if key in host)
    return CostBook.model_validate(
        {
            "schema": "meshsim/costs/1",
            "name": name,
            "title": f"Measured on {machine}" if machine else "Measured",
            "summary": "Costs measured by `meshsim measure` on one host; each entry says by which experiment, and how "
            "far repeats differ.",
            "machine": machine,
            "host": host,
            "samples": samples,
            "entries": list(costs),
        }
    )
