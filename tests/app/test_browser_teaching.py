"""Graph, Anatomy, Learn, Trust and the moving requests in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit

pytestmark = pytest.mark.browser

DATA = Path(__file__).parents[1] / "data" / "isotope"
SHOP = {"application": "online-boutique"}


def canvas(page: Any) -> Any:
    """The moving picture, drawn."""
    page.wait_for_selector(".traffic[data-dots]", timeout=30_000)
    return page.locator(".traffic").first


def until(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait for it; the canvas lies in a shadow tree, which only locators reach."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_requests_move_and_pause_and_go_on_by_steps(visit: Visit) -> None:
    page = visit.open()
    moving = canvas(page)
    assert moving.get_attribute("data-paused") == "false"
    first = int(moving.get_attribute("data-answered"))
    assert until(lambda: int(moving.get_attribute("data-answered")) > first)
    slow = moving.get_by_role("button", name="Slow")
    assert slow.get_attribute("aria-pressed") == "false"
    slow.click()
    assert slow.get_attribute("aria-pressed") == "true"
    moving.get_by_role("button", name="Pause").click()
    assert moving.get_attribute("data-paused") == "true"
    answered, dots = moving.get_attribute("data-answered"), moving.get_attribute("data-dots")
    page.wait_for_timeout(400)
    assert (moving.get_attribute("data-answered"), moving.get_attribute("data-dots")) == (answered, dots)
    step = moving.get_by_role("button", name="Step")
    for _ in range(40):
        step.click()
    assert int(moving.get_attribute("data-answered")) > int(answered)
    alt = moving.locator("canvas").get_attribute("aria-label")
    assert "Requests moving through" in alt
    assert "2 services" in alt


def test_the_pause_survives_a_change_of_the_data(visit: Visit) -> None:
    page = visit.open()
    moving = canvas(page)
    moving.get_by_role("button", name="Pause").click()
    before = moving.locator("canvas").get_attribute("aria-label")
    slider = page.get_by_role("slider", name="Requests a second, from outside")
    slider.focus()
    slider.press("ArrowRight")
    assert until(lambda: moving.locator("canvas").get_attribute("aria-label") != before)
    assert moving.get_attribute("data-paused") == "true"


def test_nothing_moves_by_itself_where_less_motion_is_asked_for(browser: Any, server: str) -> None:
    visit = Visit(browser, server, reduced_motion="reduce")
    moving = canvas(visit.open())
    assert moving.get_attribute("data-paused") == "true"
    assert int(moving.get_attribute("data-dots")) > 0  # a still picture of requests under way
    moving.get_by_role("button", name="Play").press("Enter")  # the keyboard reaches it
    assert moving.get_attribute("data-paused") == "false"
    visit.close()


def test_out_of_sight_nothing_moves(visit: Visit) -> None:
    page = visit.open()
    moving = canvas(page)
    page.set_viewport_size({"width": 1280, "height": 300})
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
    page.wait_for_timeout(500)
    answered = moving.get_attribute("data-answered")
    page.wait_for_timeout(1500)
    assert moving.get_attribute("data-answered") == answered


def test_a_click_on_a_dot_shows_the_service(visit: Visit) -> None:
    page = visit.open("graph", **SHOP)
    dots = page.locator(".scatterlayer .points path")
    dots.nth(11).wait_for()
    service = page.get_by_role("combobox", name="Service")
    before = service.input_value()
    for number in (3, 7):
        box = dots.nth(number).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.wait_for_timeout(200)
        page.mouse.click(x, y)
        assert until(lambda old=before: service.input_value() != old)
        visit.settle()
        after = service.input_value()
        assert after != before
        before = after
    assert f"service={before}" in page.url


def test_an_own_graph_is_uploaded_and_found_in(visit: Visit) -> None:
    page = visit.open("graph", **SHOP)
    page.get_by_role("button", name="Your own").click()
    page.locator("input[type=file]").set_input_files(str(DATA / "tree-111-services.yaml"))
    page.get_by_test_id("answer").get_by_text("111 services").wait_for(timeout=60_000)
    page.keyboard.press("Escape")
    find = page.get_by_role("textbox", name="Find")
    find.fill("layer = 1")
    find.press("Enter")
    page.get_by_text("1 of 111 found").wait_for(timeout=30_000)


def test_a_wrong_file_is_refused_with_its_line(visit: Visit, tmp_path: Path) -> None:
    wrong = tmp_path / "mine.yaml"
    wrong.write_text("schema: meshsim/application/1\nname: mine\nservices: 3\n")
    page = visit.open("graph", **SHOP)
    page.get_by_role("button", name="Your own").click()
    page.locator("input[type=file]").set_input_files(str(wrong))
    page.get_by_text("mine.yaml:3: services").wait_for(timeout=30_000)
    assert page.get_by_test_id("stException").count() == 0


def test_steps_of_a_request_by_the_keyboard(visit: Visit) -> None:
    page = visit.open("anatomy", application="two-tier", plane="istio-sidecar")
    page.get_by_role("tab", name="Step by step").click()
    slider = page.get_by_role("slider", name="Step")
    slider.wait_for()
    slider.focus()
    slider.press("ArrowRight")
    page.get_by_text("2 of ").first.wait_for(timeout=20_000)


def test_a_chapter_by_the_keyboard_alone(visit: Visit) -> None:
    page = visit.open("learn", chapter="wasm")
    assert page.get_by_text("You said").count() == 0
    slider = page.get_by_role("slider", name="In µs")
    slider.focus()
    slider.press("ArrowRight")
    page.get_by_role("button", name="Reveal").press("Enter")
    page.get_by_text("You said 105").wait_for(timeout=60_000)
    canvas(page)


def test_trust_can_be_searched(visit: Visit) -> None:
    page = visit.open("trust")
    page.locator(".js-plotly-plot").first.wait_for(timeout=60_000)
    page.get_by_role("tab", name="Costs").click()
    field = page.get_by_role("textbox", name="Operation contains")
    field.fill("proxy.envoy.wasm")
    field.press("Enter")
    page.get_by_text(" operations. Click a heading to sort").wait_for(timeout=30_000)
    assert page.get_by_test_id("stDataFrame").count() >= 1


def test_a_phone_is_wide_enough(browser: Any, server: str) -> None:
    visit = Visit(browser, server, viewport={"width": 390, "height": 844})
    beyond = {}
    for name in ("graph", "anatomy", "learn", "trust", ""):
        page = visit.open(name)
        page.wait_for_timeout(1000)
        beyond[name] = page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth")
    assert set(beyond.values()) == {0}, beyond
    visit.close()
