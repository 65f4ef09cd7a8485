"""The pages of ``solve``, ``sensitivity`` and ``metastable``."""

from __future__ import annotations

from html import escape

from meshsim.figures import metastability_figure, numbers, solution_figure, tornado_figure
from meshsim.formats.document import bullets, chart, document, section, small_print, table
from meshsim.results.rows import MetastabilityReport, SensitivityReport, SolutionReport

TOO_SHORT = "–"


def _head(title: str, answer: str, partial: bool) -> str:
    stopped = "The study was stopped early: only what was finished is here."
    warning = f'<div class="warning" role="note">{bullets([stopped])}</div>' if partial else ""
    return (
        f'<p class="kicker">meshsim · a simulation, not a measurement</p><h1>{escape(title)}</h1>'
        f'<p class="answer">{escape(answer)}</p>{warning}'
    )


def solution_page(report: SolutionReport) -> str:
    """The page of ``meshsim solve``."""
    words = {"p999": "p99.9"}.get(report.of, report.of)
    title = f"{report.application}: what keeps {words} at most {report.target_ms:g} ms"
    said = [one.sentence for one in report.solutions]
    lines = [
        (
            one.dataplane,
            TOO_SHORT if one.answer is None else f"{one.answer:g}",
            TOO_SHORT if one.beyond is None else f"{one.beyond:g}",
            {None: "", True: "yes", False: "no"}[one.verified],
            str(len(one.trials)),
        )
        for one in report.solutions
    ]
    head = ("data plane", f"kept with, {report.unit}", "not with", "verified", "trials")
    body = [
        _head(title, " ".join(said), report.partial),
        chart("solution"),
        '<p class="small">Each mark is a trial: a dot kept the target, a cross missed it, an open diamond could not '
        "tell. Verified: other random numbers say the same of the answer and of the next value.</p>",
        section("The answers", table(head, lines, "The answers")),
        small_print(report.provenance, report.notes, ""),
    ]
    charts = {"solution": {"figure": solution_figure(report), "alt": " ".join(said)}}
    return document(title, "".join(body), charts, report, kind="solve")


def sensitivity_page(report: SensitivityReport) -> str:
    """The page of ``meshsim sensitivity``: a tornado a data plane, then what the errors of the costs leave."""
    words = {"p999": "p99.9"}.get(report.of, report.of)
    rate = numbers.count(report.rps)
    title = f"{report.application}: what {words} depends on at {rate} requests a second"
    names = list(dict.fromkeys(one.dataplane for one in report.influences if one.value_us is not None))
    first = {name: next(one for one in report.influences if one.dataplane == name) for name in names}
    said = [f"{words} over {name} depends most on {one.input}." for name, one in first.items()]
    charts = {
        f"tornado-{number}": {"figure": tornado_figure(report, name), "alt": said[number]}
        for number, name in enumerate(names)
    }
    chances = [
        f"{one.a} has a lower {one.metric} than {one.b} in {one.probability_a_lower:.0%} of the {one.draws} drawn "
        "cost books."
        for one in report.chances
    ]
    bands = [
        (one.dataplane, one.metric, *(_number(x) for x in (one.value, one.low, one.high)), one.unit)
        for one in report.bands
    ]
    sobol = [
        (one.dataplane, one.operation, f"{one.first_order:.2f} ± {one.first_order_half_width:.2f}",
         f"{one.total:.2f} ± {one.total_half_width:.2f}")
        for one in report.sobol
    ]  # fmt: skip
    body = [
        _head(title, " ".join(said), report.partial),
        *(section(name, chart(f"tornado-{number}")) for number, name in enumerate(names)),
        section(
            "What the errors of all costs together leave",
            table(("data plane", "figure", "as it is", "low", "high", "unit"), bands, "Bands", names=2)
            + bullets(chances),
        )
        if bands
        else "",
        section(
            "Sobol indices: shares of the variance",
            table(("data plane", "cost", "alone", "with all others"), sobol, "Sobol indices", names=2),
        )
        if sobol
        else "",
        small_print(report.provenance, report.notes, ""),
    ]
    return document(title, "".join(body), charts, report, kind="sensitivity")


def _number(value: float | None) -> str:
    return TOO_SHORT if value is None else numbers.digits(value)


def metastability_page(report: MetastabilityReport) -> str:
    """The page of ``meshsim metastable``: a map a data plane."""
    title = f"{report.application}: {report.trigger}, then {report.within_s:g} s to recover"
    names = list(dict.fromkeys(cell.dataplane for cell in report.cells))
    said = [metastability_words(report, name) for name in names]
    lines = [
        (
            cell.dataplane, cell.policy, numbers.count(cell.rps), cell.verdict or cell.reason,
            *("" if share is None else f"{share:.0%}" for share in (cell.good_before, cell.good_after)),
            "" if cell.recovery_s is None else f"{numbers.digits(cell.recovery_s)} s",
        )
        for cell in report.cells
    ]  # fmt: skip
    head = ("data plane", "retries", "requests/s", "verdict", "good before", "good in the end", "well again after")
    body = [
        _head(title, " ".join(said), report.partial),
        *(section(name, chart(f"map-{number}")) for number, name in enumerate(names)),
        f'<p class="small">It works while {report.good_share:.0%} of the answers are good, each attempt within '
        f"{report.timeout_ms:g} ms. Vulnerable: it works, and the trigger keeps it down long after it has ended. "
        "Stuck: it is down without a trigger. Dotted: above it, theory says, an overload feeds itself.</p>",
        section("The cells", table(head, lines, "The cells", names=2)),
        small_print(report.provenance, report.notes, ""),
    ]
    charts = {
        f"map-{number}": {"figure": metastability_figure(report, name), "alt": said[number]}
        for number, name in enumerate(names)
    }
    return document(title, "".join(body), charts, report, kind="metastable")


def metastability_words(report: MetastabilityReport, dataplane: str) -> str:
    """From which rate on each policy is vulnerable."""
    said = []
    for policy in dict.fromkeys(cell.policy for cell in report.cells if cell.dataplane == dataplane):
        mine = [cell for cell in report.cells if (cell.dataplane, cell.policy) == (dataplane, policy)]
        hit = min((cell.rps for cell in mine if cell.verdict in ("vulnerable", "stuck")), default=None)
        safe_to = "at no rate of the map" if hit is None else f"from {numbers.count(hit)} requests/s on"
        said.append(f"with {policy} retries {safe_to}")
    return f"{dataplane} is tipped {', '.join(said)}."
