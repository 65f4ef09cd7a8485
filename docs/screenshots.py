"""Pictures of every page, for docs/app.md: a computer's window and a phone, light and dark.

    python docs/screenshots.py [PAGE ...]

Needs Chromium and the test extra. Starts its own app on localhost, and stops it. Numbers that a simulation gives are
shown once it has ended, so the pictures show what a visitor sees after half a minute.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "app"))
from browsing import FLAGS, chromium, serving

FOLDER = Path(__file__).parent / "screenshots"
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
PAGES = {
    "explore": "",
    "anatomy": "anatomy",
    "anatomy-step": "anatomy",
    "graph": "graph",
    "learn": "learn?chapter=node-proxy",
    "compare": "compare",
    "run": "run",
    "report": "report",
    "trust": "trust",
}
COLOURS = 256
"""Of a picture; text stays sharp."""


def main(wanted: list[str]) -> None:
    """Take those asked for, or all."""
    unknown = set(wanted) - set(PAGES)
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such page; choose from: {', '.join(PAGES)}")
    path = chromium()
    if path is None:
        raise SystemExit("no Chromium on this machine")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="meshsim-") as folder,
        serving(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.goto(f"{address}/")  # its chart takes longest: begun first, taken last
                settle(page)
                for name in sorted(wanted or PAGES, key=lambda one: one == "explore"):
                    page.goto(f"{address}/{PAGES[name]}")
                    prepare(page, name)
                    if page.get_by_test_id("stException").count():
                        raise SystemExit(f"{name}: {page.get_by_test_id('stException').first.inner_text()}")
                    save(page.screenshot(), FOLDER / f"{name}-{size}-{scheme}.png")
                context.close()
        browser.close()
    total = sum(path.stat().st_size for path in FOLDER.glob("*.png"))
    print(f"{len(list(FOLDER.glob('*.png')))} pictures, {total / 2**20:.1f} MiB")


def prepare(page: Page, name: str) -> None:
    """Bring it to where it is worth a picture."""
    settle(page)
    if name == "learn":
        page.get_by_role("button", name="Reveal").click()
        page.get_by_text("You said").wait_for(timeout=60_000)
    if name == "anatomy-step":
        page.get_by_role("tab", name="Step by step").click()
        slider = page.get_by_role("slider", name="Step")
        slider.focus()
        for _ in range(10):
            slider.press("ArrowRight")
        page.get_by_text("11 of ").first.wait_for(timeout=30_000)
    if name == "run":
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
    if name in ("explore", "compare", "report"):
        try:
            page.get_by_text("Simulated").first.wait_for(timeout=120_000)
        except Exception:  # a page that does not simulate of itself
            print(f"{name}: nothing was simulated", file=sys.stderr)
    settle(page)
    if name == "explore":
        page.get_by_text("Larger sizes are being worked out").wait_for(timeout=400_000, state="detached")
        settle(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(700)


def settle(page: Page) -> None:
    """Until the script has run and the charts are drawn."""
    still = '[data-testid="stApp"][data-test-script-state="notRunning"]'
    for _ in range(2):
        page.wait_for_selector(still, timeout=120_000, state="attached")
        page.wait_for_timeout(1200)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)


def save(png: bytes, path: Path) -> None:
    """With few colours: a third of the bytes."""
    picture: Any = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
