"""What every study hands back: a report that can be saved, tabulated, drawn and shown in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from meshsim.results.rows import ComparisonReport, Estimate, GrowthReport, Row
from meshsim.studies.table import tidy

if TYPE_CHECKING:
    import pandas as pd


class Reported:
    """Base of Comparison, Growth and Simulation."""

    report: ComparisonReport | GrowthReport

    @property
    def partial(self) -> bool:
        """True if the study was stopped before every point was done."""
        return self.report.partial

    @property
    def rows(self) -> list[Row]:
        """The rows of the report."""
        return self.report.rows

    def table(self) -> pd.DataFrame:
        """Tidy: dataplane, services, rps, seed, metric, value, low, high, unit. See ``meshsim.studies.table``."""
        return tidy(self.report.rows, self.report.provenance.seed)

    def to_json(self) -> str:
        """The report as docs/json.md describes it. The same question and seed give the same bytes."""
        return self.report.model_dump_json(by_alias=True, indent=2) + "\n"

    def plot(self, *args: Any, **options: Any) -> Any:
        """A Plotly figure."""
        raise NotImplementedError

    def headline(self) -> str:
        """The answer in one sentence."""
        from meshsim.figures.words import headline

        return headline(self.report)

    def _repr_html_(self) -> str:
        return card(self.report, self.headline())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline()}>"


def milliseconds(estimate: Estimate) -> str:
    """'12.3 ± 0.4', milliseconds, with as many digits as the interval deserves; 'too short' where there is none."""
    if estimate.value is None:
        return "too short"
    value = estimate.value / 1000
    if estimate.low is None or estimate.high is None:
        return f"{value:.3g}"
    half = (estimate.high - estimate.low) / 2000
    digits = digits_for(half)
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def in_reality(row: Row) -> str:
    """'4.8 to 14.2', with a star where that is an extrapolation: the p50 of real meshes, milliseconds."""
    for band in row.reality.bands if row.reality is not None else ():
        if band.quantity == "latency_us_p50" and band.low is not None and band.high is not None:
            star = "" if row.reality is not None and row.reality.inside else "*"
            return f"{band.low / 1000:.3g} to {band.high / 1000:.3g}{star}"
    return "–"


def digits_for(half: float) -> int:
    """Decimals that show an interval of that half-width with one or two digits."""
    for digits in range(4):
        if half >= 0.95 * 10.0**-digits:
            return digits
    return 3


CARD: list[tuple[str, Callable[[Row], str]]] = [
    ("data plane", lambda row: row.dataplane),
    ("services", lambda row: str(row.services)),
    ("p50, ms", lambda row: milliseconds(row.latency_us.p50)),
    ("p99, ms", lambda row: milliseconds(row.latency_us.p99)),
    ("CPU, cores", lambda row: f"{row.cpu_cores.total:.2f}"),
    ("memory, MiB", lambda row: f"{row.memory_mib:,.0f}"),
    ("$ a month", lambda row: f"{row.usd_month:,.2f}"),
    ("p50 in reality (90 %), ms", lambda row: in_reality(row)),
]


def card(report: ComparisonReport | GrowthReport, headline: str) -> str:
    """A short HTML card for notebooks: the sentence, then one line a row. Every text from a file is escaped."""
    head = "".join(f"<th>{escape(title)}</th>" for title, _ in CARD)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(show(row))}</td>" for _, show in CARD) + "</tr>" for row in report.rows
    )
    source = report.provenance
    small = (
        "± is the 95 % sampling interval of this run. Reality: by real meshes measured beside their simulation; * such "
        f"conditions were not measured (rows[…].reality.outside says which). Seed {source.seed}, "
        f"costs {', '.join(source.costs)}, machine {source.machine}, meshsim {source.meshsim}. "
        f"Same numbers: {source.command}"
    )
    stopped = "<p><b>Stopped early: only what was finished.</b></p>" if report.partial else ""
    return (
        f"<div><p><b>{escape(report.application)}</b>: {escape(headline)}</p>{stopped}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p><small>{escape(small)}</small></p></div>"
    )
