"""Figures and pages of solve, sensitivity, metastable, verdicts and tails: valid, escaped, and saying what came out."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest
from sample_reports import around, comparison, growth, provenance

from meshsim.figures import (
    growth_figure,
    metastability_figure,
    solution_figure,
    tail_figure,
    tornado_figure,
    verdict_figure,
)
from meshsim.formats.page import comparison_page
from meshsim.formats.study_pages import metastability_page, sensitivity_page, solution_page
from meshsim.results.rows import (
    Attribution,
    ComparisonReport,
    Estimate,
    Influence,
    MetastabilityBoundary,
    MetastabilityCell,
    MetastabilityReport,
    SensitivityReport,
    Solution,
    SolutionReport,
    Tail,
    Trial,
    Verdict,
)
from meshsim.scenario.base import MeshsimError

NASTY = "evil</script><b>x"


def cell(policy: str, rps: float, verdict: str | None) -> MetastabilityCell:
    return MetastabilityCell(
        dataplane=NASTY, rps=rps, policy=policy, verdict=verdict, good_before=1.0, good_after=0.1,
        recovery_s=None, runs={}, reason="" if verdict else "does not fit",
    )  # fmt: skip


def a_map() -> MetastabilityReport:
    verdicts = {"0": ("safe", "safe", "stuck"), "3": ("safe", "vulnerable", None)}
    return MetastabilityReport(
        application="a", trigger="5 times the load for 1 s", timeout_ms=100, calls="entry", good_share=0.9,
        calm_s=4, trigger_s=1, within_s=4,
        cells=[cell(policy, 100.0 * (k + 1), one) for policy, row in verdicts.items() for k, one in enumerate(row)],
        boundaries=[
            MetastabilityBoundary(dataplane=NASTY, policy=policy, capacity_rps=250, sustained_rps=250 / attempts)
            for policy, attempts in (("0", 1), ("3", 4))
        ],
        provenance=provenance("meshsim metastable a"),
    )  # fmt: skip


def solutions() -> SolutionReport:
    trials = [
        Trial(value=value, latency_us=around(us, 100), outcome=outcome, replications=1)
        for value, us, outcome in ((100, 5000, "kept"), (200, 9900, "unsure"), (400, 20_000, "missed"))
    ]
    trials.append(Trial(value=800, latency_us=None, outcome="missed", replications=0, reason="overloaded"))
    one = Solution(
        dataplane=NASTY, answer=100, beyond=200, latency_us=trials[0].latency_us,
        latency_beyond_us=trials[1].latency_us, verified=True, trials=trials, sentence=f"{NASTY} keeps it.",
    )  # fmt: skip
    none = one.model_copy(update={"dataplane": "none", "answer": None, "trials": trials[3:], "beyond": None})
    return SolutionReport(
        application="a", find="rps", unit="requests/s", of="p99", target_ms=10, solutions=[one, none],
        provenance=provenance("meshsim solve a"),
    )  # fmt: skip


def sensitive() -> SensitivityReport:
    one = Influence(
        dataplane=NASTY, input="kernel.tcp", kind="cost", factor_low=0.5, factor_high=2, value_us=2000,
        at_low_us=1500, at_high_us=None,
    )  # fmt: skip
    return SensitivityReport(
        application="a", rps=100, of="p99", influences=[one], bands=[], chances=[], sobol=[], draws=0,
        provenance=provenance("meshsim sensitivity a"),
    )  # fmt: skip


def settled() -> ComparisonReport:
    report = comparison()
    verdicts = [
        Verdict(
            metric=metric, unit=unit, a="cilium", b="linkerd", difference=around(-1500, 200),
            probability_a_lower=0.999, settled=metric == "p99", sentence=f"{metric} <b>is lower</b>.",
        )
        for metric, unit in (("p99", "us"), ("usd_month", "USD/month"))
    ]  # fmt: skip
    part = {"component": "proxy", "running_us": 10.0, "waiting_us": 5.0}
    tail = Tail(
        typical=[Attribution(operation="proxy.envoy.queue", queueing_us=0.0, **part)],
        slowest=[Attribution(operation="proxy.envoy.queue", queueing_us=900.0, **part)],
        slowest_from=0.99, typical_requests=100, slowest_requests=10,
    )  # fmt: skip
    rows = [report.rows[0].model_copy(update={"tail": tail}), *report.rows[1:]]
    return report.model_copy(update={"verdicts": verdicts, "rows": rows, "replications": 4})


def test_every_figure_is_valid_plotly_and_json() -> None:
    report = settled()
    figures = [metastability_figure(a_map()), solution_figure(solutions()), tornado_figure(sensitive()),
               verdict_figure(report), tail_figure(report.rows)]  # fmt: skip
    for figure in figures:
        go.Figure(figure)
        json.dumps(figure)
        assert NASTY not in json.dumps(figure["layout"])


def test_the_map_draws_each_state_with_a_mark_of_its_own_and_the_theory() -> None:
    traces = {trace["name"]: trace for trace in metastability_figure(a_map())["data"]}
    assert traces["safe"]["x"] == [100, 200, 100]
    assert (traces["vulnerable"]["x"], traces["vulnerable"]["y"]) == ([200], [1])
    assert traces["stuck"]["x"] == [300]
    assert len({traces[state]["marker"]["symbol"] for state in ("safe", "vulnerable", "stuck")}) == 3
    assert traces["feeds itself above (theory)"]["x"] == [250, 250, None, 62.5, 62.5, None]
    with pytest.raises(MeshsimError, match="dataplane: 'other' received"):
        metastability_figure(a_map(), "other")


def test_trials_verdicts_and_tails_are_drawn_where_they_lie() -> None:
    first, none, target = solution_figure(solutions())["data"]
    assert (first["x"], first["y"]) == ([100, 200, 400], [5.0, 9.9, 20.0])
    assert first["marker"]["symbol"] == ["circle", "diamond-open", "x"]
    assert none["x"] == []
    assert target["y"] == [10, 10]
    latency, money = verdict_figure(settled())["data"][:1], verdict_figure(settled())["data"][-1:]
    assert latency[0]["x"] == [-1.5]
    assert money[0]["x"] == [-1500]
    bars = {trace["name"]: trace["x"] for trace in tail_figure(settled().rows)["data"]}
    assert bars["in line for a proxy's worker"] == [0.0, 900.0]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (metastability_page(a_map()), "is tipped with 0 retries from 300 requests/s on, with 3 retries from 200"),
        (solution_page(solutions()), "keeps it."),
        (sensitivity_page(sensitive()), "depends most on kernel.tcp"),
        (comparison_page(settled()), "p99 &lt;b&gt;is lower&lt;/b&gt;."),
    ],
    ids=["metastable", "solve", "sensitivity", "compare"],
)  # fmt: skip
def test_a_page_says_what_came_out_escapes_texts_and_loads_nothing(page: str, words: str) -> None:
    assert words in page
    assert "<b>x" not in page.split("<script>")[0]
    assert "default-src 'none'" in page
    for outside in ('src="http', 'href="http', "@import"):
        assert outside not in page.split("<script>")[0]


def test_an_analytic_curve_has_the_simulated_points_as_marks_on_it() -> None:
    report = growth()
    some = report.rows[0]
    told = [("cilium", 1000, 20_000.0), ("cilium", 10, 5000.0), ("unknown", 10, 1.0)]
    latency = {value: some.latency_us.model_copy(update={"p50": Estimate(value=value)}) for *_, value in told}
    curve = [
        some.model_copy(update={"dataplane": name, "services": services, "latency_us": latency[value]})
        for name, services, value in told
    ]
    report = report.model_copy(update={"curve": curve})
    assert not [trace for trace in growth_figure(report, "memory")["data"] if trace.get("meta") == "analytic"]
    traces = growth_figure(report, "p50")["data"]
    (drawn,) = [trace for trace in traces if trace.get("meta") == "analytic"]
    assert (drawn["x"], drawn["y"]) == ([10, 1000], [5.0, 20.0])
    modes = {trace["name"]: trace["mode"] for trace in traces if "mode" in trace}
    assert modes["cilium"] == "markers"
    assert modes["linkerd"] == "lines+markers"
