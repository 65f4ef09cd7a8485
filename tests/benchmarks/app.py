"""How fast the web app answers, and whether it serves a class. For a machine that does nothing else:

    python -m tests.benchmarks.app [--steps 12] [--users 30] [--no-browser] [--json FILE]

* cold: a server just started, a browser with empty caches: seconds until the answer is there, and the chart.
* warm: the same page again. Goal: answer and chart within 1 s.
* step: from the key that moves a slider until the new answer is painted. Goal: below 300 ms.
* CPU of a full rerun of Explore, the calls of Streamlit included. Goal: below 60 ms.
* users: so many visitors, each with a session of their own, all step at once, again and again: how long until each
  has the new answer, and how many errors. Goal: none. One server, as ``meshsim app`` starts it.

Medians. The browser's part needs Chromium. CPU seconds bear a busy machine better than the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meshsim.measure.host import LoadWatch, conditions

from .goals import Number, at_most
from .page import goals_table

TESTS = Path(__file__).parents[1]
RATES = (200, 500, 1000, 2000, 1000, 500)
"""Where the slider of requests a second is moved to, in turn."""
WARM_S = 25.0
"""Until the answers that may be asked for next are known."""
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
STEP = """([slider, key]) => new Promise(resolve => {
  const answer = () => document.querySelector('[data-testid="answer"]')?.innerText;
  const before = answer(), began = performance.now();
  const look = () => answer() && answer() !== before
    ? requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)))
    : performance.now() - began > 30000 ? resolve(-1) : setTimeout(look, 4);
  slider.focus();
  for (const type of ['keydown', 'keyup'])
    slider.dispatchEvent(new KeyboardEvent(type, {key, code: key, bubbles: true}));
  look();
})"""


def main(words: list[str] | None = None) -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.app", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--steps", type=int, default=12, help="of the slider, and reruns")
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--no-browser", action="store_true", help="only what needs no Chromium")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    given = parser.parse_args(words)
    sys.path.insert(0, str(TESTS / "app"))
    measured: dict[str, Any] = {}
    with LoadWatch() as watch:
        measured["rerun CPU"] = rerun_cpu(given.steps)
        with tempfile.TemporaryDirectory(prefix="meshsim-bench-") as name, serving(Path(name)) as address:
            if not given.no_browser:
                measured |= in_browser(address, given.steps)
            else:
                time.sleep(WARM_S)
            measured["users"] = asyncio.run(all_at_once(address, given.users))
    numbers = told(measured)
    print(goals_table(numbers))
    foreign = watch.foreign_cores
    load = os.getloadavg()[1]
    print(f"\n{os.cpu_count()} cores; others used {foreign:.2f} of them meanwhile; load {load:.1f}")
    if given.json is not None:
        given.json.write_text(json.dumps({**measured, "foreign_cores": foreign, "host": conditions()}, indent=1) + "\n")
    return 0


def told(measured: dict[str, Any]) -> list[Number]:
    """Beside the goals."""
    why = "no Chromium asked for"
    median = {name: statistics.median(values) for name, values in measured.items() if isinstance(values, list)}
    users = measured["users"]
    return [
        Number("cold: answer", "-", measured.get("cold answer"), _seconds(measured.get("cold answer"), why), None),
        Number("cold: chart", "-", measured.get("cold chart"), _seconds(measured.get("cold chart"), why), None),
        at_most("warm: answer and chart", 1.0, median.get("warm"), " s", why),
        at_most("step of a slider, painted", 300, median.get("step"), " ms", why),
        at_most("own CPU of a rerun", 60, median["rerun CPU"], " ms"),
        at_most(f"errors, {users['users']} users at once", 0, float(len(users["errors"])), ""),
        Number("their wait, median", "-", users["median_s"], _seconds(users["median_s"]), None),
        Number("their wait, longest", "-", users["longest_s"], _seconds(users["longest_s"]), None),
        Number("server's CPU for each of their steps", "-", users["cpu_ms"], f"{users['cpu_ms']:.0f} ms", None),
    ]


def _seconds(value: float | None, why: str = "") -> str:
    return why if value is None else f"{value:.3g} s"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server with nothing cached."""
    from browsing import serving as start

    with start(folder) as address:
        yield address


def rerun_cpu(steps: int) -> list[float]:
    """Milliseconds of CPU of the page's own code and of what it calls, a rerun, in this process."""
    from streamlit.testing.v1 import AppTest

    from meshsim.app.pages import explore

    inner, spent = explore.render, []

    def timed() -> None:
        began = time.thread_time()
        inner()
        spent.append(1e3 * (time.thread_time() - began))

    explore.render = timed
    try:
        app = AppTest.from_file(str(TESTS.parent / "app.py"), default_timeout=120).run()
        time.sleep(WARM_S)
        app.run()
        spent.clear()
        for step in range(steps):
            app.select_slider(key="rps").set_value(RATES[step % len(RATES)]).run()
            assert not app.exception
    finally:
        explore.render = inner
    return spent


def in_browser(address: str, steps: int) -> dict[str, Any]:
    """Seconds to the first page, to the same again; milliseconds of a step."""
    from browsing import FLAGS, PATIENCE_MS, chromium
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        sys.exit("Chromium is not installed; --no-browser leaves its part out")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})

        def opened() -> tuple[float, float]:
            began = time.monotonic()
            page.goto(address)
            page.wait_for_selector('[data-testid="answer"]', timeout=PATIENCE_MS)
            answer = time.monotonic() - began
            page.wait_for_selector(".js-plotly-plot .scatterlayer .trace", state="attached", timeout=PATIENCE_MS)
            return answer, time.monotonic() - began

        cold = opened()
        time.sleep(WARM_S)
        warm = []
        for _ in range(max(3, steps // 3)):
            page.goto("about:blank")
            warm.append(max(opened()))
            page.wait_for_selector(SETTLED, state="attached")
            time.sleep(2)
        taken = []
        for step in range(steps):
            slider = page.get_by_role("slider", name="Requests a second").element_handle()
            key = "ArrowRight" if step % 4 < 2 else "ArrowLeft"
            taken.append(float(page.evaluate(STEP, [slider, key])))
            page.wait_for_selector(SETTLED, state="attached")
            time.sleep(0.5)
        browser.close()
    assert min(taken) > 0, "a step was never painted"
    return {"cold answer": cold[0], "cold chart": cold[1], "warm": warm, "step": taken}


async def all_at_once(address: str, users: int, steps: int = 5) -> dict[str, Any]:
    """Sessions without a browser, over Streamlit's own protocol: all send a step, then wait until all have it."""
    visitors = [Visitor(address) for _ in range(users)]
    await asyncio.gather(*(visitor.arrive() for visitor in visitors))
    before = _cpu_of(address)
    waits: list[float] = []
    errors: list[str] = []
    for step in range(steps):
        done = await asyncio.gather(*(visitor.step(RATES[(step + n) % len(RATES)]) for n, visitor in enumerate(visitors)),
                                    return_exceptions=True)  # fmt: skip
        wrong = [one for one in done if isinstance(one, BaseException)]
        errors += [f"{type(one).__name__}: {one}" for one in wrong]
        waits += [one for one in done if isinstance(one, float)]
    cpu = _cpu_of(address) - before
    await asyncio.gather(*(visitor.leave() for visitor in visitors))
    return {
        "users": users, "steps": steps, "errors": errors, "waits_s": waits, "median_s": statistics.median(waits),
        "longest_s": max(waits), "cpu_ms": 1e3 * cpu / (users * steps),
    }  # fmt: skip


class Visitor:
    """A session: what a browser sends when a slider is moved, and what it reads until the script has run."""

    def __init__(self, address: str) -> None:
        self.url = address.replace("http", "ws", 1) + "/_stcore/stream"
        self.slider = ""
        self.socket: Any = None

    async def arrive(self) -> None:
        """Open the page."""
        from websockets.asyncio.client import connect

        self.socket = await connect(self.url, max_size=None, open_timeout=60, ping_interval=None)
        await self._ask({})
        await self._until_finished()
        assert self.slider, "the page has no slider of requests a second"

    async def step(self, rps: int) -> float:
        """Seconds until the page is there again."""
        began = time.monotonic()
        await self._ask({self.slider: str(rps)})
        sentence = await self._until_finished()
        assert f"at {rps:,} requests a second" in sentence, sentence
        return time.monotonic() - began

    async def leave(self) -> None:
        """Close."""
        await self.socket.close()

    async def _ask(self, sliders: dict[str, str]) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = ""
        for name, value in sliders.items():
            state = message.rerun_script.widget_states.widgets.add()
            state.id = name
            state.string_array_value.data.append(value)
        await self.socket.send(message.SerializeToString())

    async def _until_finished(self) -> str:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        answer = ""
        while True:
            message = ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), 120))
            kind = message.WhichOneof("type")
            if kind == "delta":
                element = message.delta.new_element
                what = element.WhichOneof("type")
                if what == "exception":
                    raise RuntimeError(element.exception.message)
                if what == "slider" and element.slider.label.startswith("Requests a second"):
                    self.slider = element.slider.id
                if what == "html" and 'data-testid="answer"' in element.html.body:
                    answer = element.html.body
            elif kind == "script_finished":
                if message.script_finished != ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY:
                    continue  # a fragment, or a run that the next one overtook
                return answer


def _cpu_of(address: str) -> float:
    """CPU seconds of the server's own process so far."""
    port = address.rsplit(":", 1)[1]
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if f"{port}".encode() in words and b"streamlit" in words:
                    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                continue
    return float("nan")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
