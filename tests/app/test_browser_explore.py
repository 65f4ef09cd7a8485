"""Explore, Compare and Report in a real Chromium: links, code, files, keyboard, less motion."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pandas as pd
import pytest
from browsing import PATIENCE_MS, Visit
from test_links import same_numbers

pytestmark = pytest.mark.browser
SIMULATED = "Simulated"


def answer(page: Any) -> str:
    return str(page.get_by_test_id("answer").inner_text())


def rested(page: Any) -> str:
    """The answer once the simulation is there."""
    page.get_by_test_id("answer").get_by_text("simulated", exact=True).wait_for(timeout=PATIENCE_MS)
    return answer(page)


def copied(page: Any, button: str) -> str:
    """What a popover offers to copy."""
    page.get_by_role("button", name=button).click()
    code = page.get_by_test_id("stCode").locator("visible=true").first
    code.wait_for(timeout=PATIENCE_MS)
    return str(code.locator("code").inner_text())


def test_it_opens_on_an_answer_with_a_chart_that_says_what_it_shows(visit: Visit) -> None:
    page = visit.open()
    assert "two-tier with 2 services at 500 requests a second" in answer(page)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    chart = page.get_by_role("figure").first
    assert chart.get_attribute("aria-label").startswith("Line chart of ")
    said = rested(page)
    assert "(95 %: " in said


def test_a_link_brings_back_the_view_exactly(visit: Visit) -> None:
    page = visit.open(planes="linkerd", rps="200", seed="2")
    rested(page)
    page.get_by_role("slider", name="Requests a second").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("at 500 requests a second").wait_for(timeout=PATIENCE_MS)
    page.get_by_text("Log axes").click()
    before = rested(page)
    visit.settle()  # the click is served
    assert not page.get_by_role("switch", name="Log axes").is_checked()
    link = copied(page, "Copy link")
    asked = parse_qs(urlsplit(link).query)
    assert {"app", "services", "rps", "planes", "requests", "seed", "node", "metric", "log", "mv"} == set(asked)
    assert (asked["rps"], asked["seed"], asked["log"]) == (["500"], ["2"], ["false"])
    page.goto(link)
    visit.settle()
    assert rested(page) == before
    assert not page.get_by_test_id("stAlert").count()
    assert not page.get_by_role("switch", name="Log axes").is_checked()
    page.get_by_text("Log axes").click()  # redraws the chart alone
    visit.settle()
    assert parse_qs(urlsplit(copied(page, "Copy link")).query)["log"] == ["true"]


def test_a_link_that_asks_for_what_is_not_there_says_so(visit: Visit) -> None:
    page = visit.open(rps="77777", planes="nonsense", mv="0")
    page.get_by_text("rps = 77777, which is no choice here; showing 500.").wait_for()
    page.get_by_text("planes = nonsense, which is no choice here").wait_for()
    page.get_by_text("The link was made with model 0;").wait_for()
    assert "two-tier" in answer(page)


def test_what_is_copied_as_python_gives_the_numbers_on_the_page(visit: Visit, tmp_path: Path) -> None:
    page = visit.open(planes="linkerd")
    rested(page)
    program = copied(page, "Copy as code")
    (tmp_path / "study.py").write_text(program)
    ran = subprocess.run([sys.executable, tmp_path / "study.py"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(io.StringIO(ran.stdout))
    page.goto(page.url.replace("/?", "/report?"))
    visit.settle()
    rested(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Table, CSV").click()
    same_numbers(table, pd.read_csv(waiting.value.path(), comment="#"))


def test_every_file_of_the_report_opens(visit: Visit, server: str) -> None:
    page = visit.open("report", planes="linkerd")
    rested(page)
    files = {}
    traces = ("Trace of 20 requests, JSON", "The same for Jaeger")
    for name in ("Page, HTML", "Table, CSV", "Table, Parquet", "Report, JSON", *traces):
        with page.expect_download(timeout=PATIENCE_MS) as waiting:
            page.get_by_role("button", name=name, exact=True).click()
        files[name] = Path(waiting.value.path())
    report = json.loads(files["Report, JSON"].read_text())
    table = pd.read_csv(files["Table, CSV"], comment="#")
    pd.testing.assert_frame_equal(table, pd.read_parquet(files["Table, Parquet"]), check_dtype=False)
    p50 = table[(table["metric"] == "p50") & (table["dataplane"] == "linkerd")]
    (row,) = report["rows"]
    assert p50["value"].item() == pytest.approx(row["latency_us"]["p50"]["value"])
    trace = json.loads(files["Trace of 20 requests, JSON"].read_text())
    assert trace["traceEvents"]
    assert len(json.loads(files["The same for Jaeger"].read_text())["data"]) == len(
        {event["pid"] for event in trace["traceEvents"]}
    )
    # The page opens from a folder, offline, with its charts; and it prints.
    other = visit.context.new_page()
    html = files["Page, HTML"].rename(files["Page, HTML"].with_suffix(".html"))
    other.goto(html.as_uri())
    other.wait_for_selector(".js-plotly-plot .main-svg")
    assert "two-tier with 2 services" in other.inner_text("main")
    assert len(other.pdf(format="A4")) > 10_000
    visit.asked[:] = [url for url in visit.asked if url != html.as_uri()]


def test_an_application_of_ones_own_is_uploaded_answered_and_reached_by_its_link(visit: Visit) -> None:
    page = visit.open(planes="linkerd")
    page.get_by_role("button", name="More").click()
    chooser = page.locator('input[type="file"]')
    wrong = {"name": "shop.yaml", "mimeType": "application/yaml", "buffer": b"schema: meshsim/application/1\nnme: x\n"}
    chooser.set_input_files(wrong)
    page.get_by_text("shop.yaml:2: nme: ").wait_for(timeout=PATIENCE_MS)
    chooser.set_input_files(Path(__file__).parents[1] / "data" / "isotope" / "tree-13-services.yaml")
    page.get_by_text("tree-13-services with 13 services at 500 requests a second").wait_for(timeout=PATIENCE_MS)
    assert not page.get_by_test_id("stAlert").filter(has_text="shop.yaml").count()
    other = visit.context.new_page()
    other.goto(page.url)
    other.get_by_text("tree-13-services with 13 services").wait_for(timeout=PATIENCE_MS)


def test_the_first_controls_are_reached_by_keyboard_alone(visit: Visit) -> None:
    page = visit.open()
    services = page.get_by_role("slider", name="Services")
    for _ in range(20):
        page.keyboard.press("Tab")
        if services.evaluate("slider => slider === document.activeElement"):
            break
    else:
        pytest.fail("twenty tabs do not reach the slider of services")
    before = answer(page)
    page.keyboard.press("ArrowRight")
    page.get_by_text("two-tier with 4 services").or_(page.get_by_text("two-tier with 5 services")).wait_for()
    assert answer(page) != before
    assert "services=" in page.url


def test_less_motion_is_honoured(browser: Any, server: str) -> None:
    visit = Visit(browser, server, reduced_motion="reduce")
    page = visit.open()
    page.get_by_role("button", name=re.compile("^(Play|Go on|Resume|Start)$")).wait_for(timeout=PATIENCE_MS)
    visit.close()


def test_the_canvas_moves_and_pauses(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name=re.compile("^(Play|Go on|Resume)$")).wait_for()


def test_compare_pins_swaps_and_comes_back_by_its_link(visit: Visit) -> None:
    page = visit.open("compare", planes="linkerd", plane="linkerd", a="two-tier,2,200,istio-sidecar")
    assert "Against A, B" in answer(page)
    page.get_by_text("A: two-tier with 2 services at 200 requests a second over istio-sidecar").wait_for()
    before = rested(page)
    link = copied(page, "Copy link")
    page.goto(link)
    visit.settle()
    assert rested(page) == before
    page.get_by_role("button", name="Swap").click()
    page.get_by_text("A: two-tier with 2 services at 500 requests a second over linkerd").wait_for(timeout=PATIENCE_MS)
    page.goto(f"{visit.address}/compare?a=nonsense")
    page.get_by_text("The link asks for A = nonsense, which is no scenario here.").wait_for(timeout=PATIENCE_MS)


def picture(page: Any) -> Path:
    """What the camera of the first chart saves."""
    page.locator(".js-plotly-plot").first.hover()
    with page.expect_download(timeout=PATIENCE_MS) as waiting:
        page.locator('.modebar-btn[data-attr="toImage"], .modebar-btn[data-title^="Download plot"]').first.click()
    return Path(waiting.value.path()).rename(
        Path(waiting.value.path()).with_name(str(waiting.value.suggested_filename))
    )


def camera_saves(page: Any, kind: str) -> None:
    """Wait until the chart has been drawn anew with the choice."""
    page.wait_for_function(
        "kind => document.querySelector('.js-plotly-plot')?._context?.toImageButtonOptions?.format === kind", arg=kind
    )


def test_the_camera_saves_png_and_when_asked_svg(visit: Visit) -> None:
    page = visit.open(planes="linkerd")
    rested(page)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    png = picture(page)
    assert png.name == "meshsim-growth.png"
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    page.get_by_text("The chart as a table, or as a picture for slides").click()
    choice = page.get_by_role("radiogroup", name="The camera of a chart saves")
    choice.get_by_role("radio", name="SVG").click()
    camera_saves(page, "svg")
    svg = picture(page)
    assert svg.name == "meshsim-growth.svg"
    root = ElementTree.fromstring(svg.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert "Services" in drawn
    choice.get_by_role("radio", name="PNG").click()
    camera_saves(page, "png")
    assert picture(page).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
