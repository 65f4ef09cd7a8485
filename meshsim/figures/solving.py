"""How a search for a latency target went: every trial of each data plane, and the target."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, log_axis, safe
from meshsim.figures.palette import look
from meshsim.results.rows import Solution, SolutionReport, Trial

MARKS = {"kept": "circle", "unsure": "diamond-open", "missed": "x"}


def solution_figure(report: SolutionReport, *, theme: Theme = "light") -> Figure:
    """The quantile against the value that was tried, one line a data plane; the mark says what came out."""
    trials = [trial for one in report.solutions for trial in _known(one)]
    words = {"p999": "p99.9"}.get(report.of, report.of)
    layout = base_layout(theme, 420)
    layout["hovermode"] = "closest"
    data: list[dict[str, Any]] = [_line(one) for one in report.solutions]
    if trials:
        xs = [trial.value for trial in trials]
        layout["xaxis"] = log_axis(report.unit, xs)
        heights = [y for trace in data for y in trace["y"]]
        layout["yaxis"] = log_axis(f"{words} latency, ms", [*heights, report.target_ms])
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"target, {report.target_ms:g} ms",
                "x": [min(xs), max(xs)],
                "y": [report.target_ms, report.target_ms],
                "line": {"color": INK[theme], "width": 2, "dash": "dot"},
                "hoverinfo": "skip",
            }
        )
    else:
        layout["xaxis"], layout["yaxis"] = axis(report.unit), axis(f"{words} latency, ms")
    return {"data": data, "layout": layout}


def _known(one: Solution) -> list[Trial]:
    """Trials with a latency; of two at one value, the first."""
    found: dict[float, Trial] = {}
    for trial in one.trials:
        if trial.latency_us is not None and trial.latency_us.value is not None:
            found.setdefault(trial.value, trial)
    return [found[value] for value in sorted(found)]


def _line(one: Solution) -> dict[str, Any]:
    style, trials = look(one.dataplane), _known(one)
    estimates = [trial.latency_us for trial in trials if trial.latency_us is not None]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": safe(one.dataplane),
        "x": [trial.value for trial in trials],
        "y": [(estimate.value or 0.0) / 1000 for estimate in estimates],
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "size": 11, "symbol": [MARKS[trial.outcome] for trial in trials]},
        "text": [
            f"<b>{safe(one.dataplane)}</b>, {trial.value:g}: {numbers.interval(estimate, numbers.latency)}<br>"
            f"{trial.outcome} ({trial.replications} replications)"
            for trial, estimate in zip(trials, estimates, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
