"""Charts are plain data made from reports; the page is one file that asks for nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from sample_reports import PLANES
from sample_reports import comparison as comparison_report
from sample_reports import growth as growth_report

from meshsim.figures import METRICS, PLOTLY_CONFIG, as_figure, attribution_figure, comparison_figure, growth_figure
from meshsim.figures.words import gaps, headline
from meshsim.formats.page import comparison_page, growth_page


@pytest.mark.parametrize("metric", list(METRICS))
def test_a_growth_chart_has_a_line_for_each_data_plane(metric: str) -> None:
    figure = growth_figure(growth_report(), metric, here=11)
    names = {trace.get("name") for trace in figure["data"]}
    assert set(PLANES) <= names
    as_figure(figure)
    assert figure["layout"]["yaxis"]["title"]


def test_one_simulated_size_does_not_hide_the_curve_that_it_lies_on() -> None:
    whole = growth_report()
    first = min(row.services for row in whole.rows)
    one = whole.model_copy(
        update={"rows": [row for row in whole.rows if row.services == first], "curve": whole.rows, "crossovers": []}
    )
    axes = [growth_figure(report, "p50", here=first)["layout"]["xaxis"] for report in (whole, one)]
    assert axes[0]["range"] == axes[1]["range"]
    assert axes[0]["tickvals"] == axes[1]["tickvals"]


def test_comparison_and_attribution_are_valid_figures() -> None:
    as_figure(comparison_figure(comparison_report()))
    as_figure(attribution_figure(comparison_report().rows))


def test_no_chart_offers_to_upload_anything() -> None:
    assert PLOTLY_CONFIG["showSendToCloud"] is False
    assert PLOTLY_CONFIG["displaylogo"] is False


def test_the_headline_has_numbers_and_units() -> None:
    sentence = headline(comparison_report())
    assert re.search(r"\$\d", sentence)
    assert "ms" in sentence


@pytest.mark.parametrize(
    "page", [growth_page(growth_report()), comparison_page(comparison_report())], ids=["grow", "compare"]
)
def test_a_page_names_nothing_to_be_loaded_from_outside(page: str) -> None:
    outside = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(https?:[^\"' >]+)", page)
    assert outside == []
    assert page.lower().startswith("<!doctype html>")


def test_text_of_a_report_is_escaped() -> None:
    report = comparison_report().model_copy(update={"application": "<script>alert(1)</script>"})
    page = comparison_page(report)
    assert "<script>alert(1)</script>" not in page


@pytest.mark.browser
def test_the_page_opens_offline_in_chromium(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "page.html"
    file.write_text(growth_page(growth_report()))
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            asked: list[str] = []
            wrong: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
            page.goto(file.as_uri())
            page.wait_for_selector(".js-plotly-plot .main-svg", timeout=30_000)
            assert wrong == []
            assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        finally:
            browser.close()


def test_dicts_are_json() -> None:
    json.dumps(growth_figure(growth_report(), "p50"))


def test_sizes_near_saturation_are_hatched() -> None:
    calm = growth_report()
    assert not [trace for trace in growth_figure(calm, "p99")["data"] if trace.get("meta") == "busy"]
    sizes = sorted({row.services for row in calm.rows})
    rows = [row.model_copy(update={"utilisation": 0.95 if row.services == sizes[1] else 0.2}) for row in calm.rows]
    figure = growth_figure(calm.model_copy(update={"rows": rows}), "p99")
    as_figure(figure)
    (zone,) = [trace for trace in figure["data"] if trace.get("meta") == "busy"]
    assert zone["fillpattern"]["shape"] == "/"
    assert sizes[0] < min(zone["x"]) < sizes[1] < max(zone["x"]) < sizes[2]


def test_the_gap_between_approximation_and_simulation_is_said() -> None:
    simulated = comparison_report().rows
    near = simulated[0].latency_us.p50.value
    assert near is not None
    far = simulated[0].latency_us.model_copy(
        update={"p50": simulated[0].latency_us.p50.model_copy(update={"value": near * 1.2})}
    )
    said = gaps(simulated[:1], [simulated[0].model_copy(update={"latency_us": far})], "p50")
    assert f"off by +20 % ({simulated[0].dataplane})." in said
    assert "off by +0 % (" in gaps(simulated[:1], simulated[:1], "p50")
    both = gaps(simulated[:2], [simulated[0].model_copy(update={"latency_us": far}), simulated[1]], "p50")
    assert f"off by +0 % ({simulated[1].dataplane}) to +20 % ({simulated[0].dataplane})." in both
    assert gaps(simulated[:1], [], "p50") == ""


def test_crossings_are_marked_on_the_curve_where_one_size_was_simulated() -> None:
    whole = growth_report()
    first = min(row.services for row in whole.rows)
    one = [row for row in whole.rows if row.services == first]
    figure = growth_figure(whole.model_copy(update={"rows": one, "curve": whole.rows}), "p99")
    marks = [trace for trace in figure["data"] if trace.get("meta") == "crossover"]
    assert [trace["x"] for trace in marks] == [[47]]
