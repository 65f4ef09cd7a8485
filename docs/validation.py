"""Writes docs/validation.md from the scoreboards that are shipped: ``python docs/validation.py``. A test compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from meshsim.figures import numbers
from meshsim.results.bands import bands
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import QUANTITIES, Scoreboard, ScoreRow, ratio_summaries, read, summaries
from meshsim.scenario.catalog import scoreboards
from meshsim.testbed.scenarios import FITTED

HERE = Path(__file__).parent
INTRODUCTION = """# Does the model tell the truth?

`meshsim validate` builds small real meshes on one host, drives them, simulates the same files, and writes both side by
side: [validate.md](validate.md) says how. Here is what came out, all of it. Written by `python docs/validation.py` from
`models/validation/*.json`.
"""

CAUSES = """## Causes, as far as they were found

**Turns of an event loop** were the largest, and are in the model now: a worker that finds several messages ready
serves them in one turn, and pays for its beginning once ([measured.md](measured.md), `proxy.envoy.turn`). The same
measurements, predicted before and after, over scenarios that nothing was fitted to:

| what | median error before | after | worst before | after |
|---|---|---|---|---|
| CPU of the proxies | 0% | 3% | 61% | 36% |
| CPU of applications and generator | 12% | 14% | 48% | 48% |
| CPU of everything | 4% | 5% | 41% | 42% |
| p50 | 11% | 17% | 8082% | 99% |
| p99 | 54% | 66% | 95% | 98% |
| requests a second in a closed loop | 13% | 19% | 50% | 76% |
| memory | 12% | 12% | 28% | 28% |

With one proxy the rate in closed loop is right now (0.97 of the measured one; it was 0.62), and 80 % of the real
saturation is no overload any more. With two proxies or a chain it is too high, and the medians became worse: two
errors had cancelled each other. What was too expensive a proxy hid what is next.

**Another day, another host of the same type.** `epyc-2-vcpu-b` was measured in six rounds without foreign load, with
a book of its own that was measured two hours later. A fixed piece of work took 8 % longer there than on the first
host, but Envoy 1.5 to 2 times as long, and how long differed from one start of the same proxy to the next (5,400 to
9,800 requests a second in closed loop). With the book of the first host proxies are predicted 26 % too cheap at the
median, p50 45 % too low and the closed loop 72 % too fast; with its own 14 %, 33 % and 4 %. So a book is worth as
much as it is near: `meshsim measure` on your host first.

**A third host, of a newer generation,** `epyc-genoa-2-vcpu`: six rounds, 2 of 816 points disturbed, with its own book
(4 of 1025). It is the quietest of the three. What resists on all three:

* p99 is two to five times what is predicted, whatever the load: see the scheduler below.
* 64 KiB: a message is read in several pieces, each with a wake-up of its own when it crosses cores (a round trip of
  64 KiB through `epoll` took 32 us on one core, 114 us between two; the book's, read in one call, 30 and 55). CPU of
  applications is a fifth to a third too low.
* Chains of three with two sidecars each: 30 to 60 % too fast in closed loop.
* CPU of applications at 80 % of saturation, a seventh too high on the newest host: threads sleep less often than they
  have nothing to do (0.9 times a request measured, 1.4 predicted, at 50 % without a mesh). Falling asleep takes time,
  and what comes meanwhile needs no wake-up.
* p50 at 80 % of saturation: where reality is near its knee, a few per cent of CPU decide between 1.5 and 30 ms, and
  rounds differ as much (one sidecar: 1.2 to 31 ms).

**Answers in batches** were the next, and are in the model now (`sends: after-turn`, [dataplanes.md](dataplanes.md)):
Envoy writes what it has to pass on in the turn of its event loop after the one in which it read it
(`activateFileEvents`, for the next iteration), so that a whole batch moves on together, and the next proxy is idle
until it comes. With it came threads that keep their core as long as they have work and their slice lasts. The same
measurements, predicted before and after; plain medians:

| what | first host, before | after | second host, its own book, before | after |
|---|---|---|---|---|
| requests a second in a closed loop, two sidecars | +36 % | +14 % | +48 % | +24 % |
| the same with mutual TLS | +32 % | +10 % | +51 % | +27 % |
| requests a second in a closed loop, all | 21 % | 11 % | 22 % | 21 % |
| p50 at 50 % of saturation, all | 26 % | 21 % | 37 % | 37 % |
| p99 at 50 % of saturation, all | 81 % | 77 % | 77 % | 77 % |

Chains of three with two sidecars each became worse (+37 to +51 %, +60 to +70 %): there it is not only that.

**The kernel's scheduler.** The model has one line for all cores; Linux keeps a line a core, puts a woken thread where
its waker runs or where it ran, and moves it later or not at all. Two proxies that were pinned to a core each did not
get more done (3,900 to 4,800 requests a second; 3,800 to 5,700 where the kernel places them; four tries each, no
spinners: 3,600 to 4,200), and half a core stayed idle all the same. Tried and not kept, in the compiled engine: a line
a core, where a thread that finds no idle core stands in the line of one at random, and is taken from it after 0.5 ms
by a core that has nothing to do. On the second host it is nearer to what was measured (closed loop 18 to 12 %, p50 at
80 % of saturation 68 to 59 %, p99 at 50 % 77 to 67 %), on the first one only p99 is (77 to 57 %), and p50 is further
off (21 to 34 % at 50 % of saturation), and so on the third (31 to 40 %; p99 81 to 59 %). The rules by which Linux
chooses the line would have to be in it, not chance.

What is seen of lines at cores in the samples (`run_queue_ns`, rounds without foreign load): in
`two-sidecars.chain-of-3` at 10 % of saturation a quarter of one core is used, and yet threads stand in line for 300
us a request, 16 % of its latency; at 50 % it is 480 to 560 us. In closed loop 1.46 to 1.6 of 2 cores are busy with
two proxies and 32 requests always under way, where one line would keep both cores busy; with one proxy and its three
threads hardly anybody waits (5 us a request). p99 at 50 % of saturation is 4 to 9 ms in most scenarios, however
little their work: one or two slices of this kernel, behind another thread of the same core.

**Work at low rates: cold caches.** CPU at 10 % of saturation was predicted a quarter too low, at 80 % right, and the
more so the longer the chain. What follows a pause costs more than what follows work, more than a wake-up and the
beginning of a turn explain. Idle spinners are not the cause, nor is the speed of the processor: a fixed piece of work
of 20 us, repeated for 12 s, has medians within 5 % in any 5 ms. So the pause itself was measured (`proxy.envoy.cold`,
`kernel.cold`): one Envoy with a core of its own, on which nothing else runs but a loop in registers, takes 170 us of
CPU a request at 1000 requests a second, 218 at 400, 312 at 150 and 433 at 50; 160 when the next request comes at
once. To read a message from a bare socket and answer takes 23 us more or less at once, 31 after 4 ms and 41 after 16.
It is in the model now: a thread works the more the longer it has slept ([dataplanes.md](dataplanes.md)). On the third
host that alone brought the proxies' CPU at 10 % of saturation from 17 % off to 7 %. Istio's own benchmark, fitted
without knowing of it, wants 435 to 512 us where 501 were measured ([istio.md](istio.md)); that figure is what the two
older books, which lack the experiment, fall back on.

**Wake-ups of applications** were waited for twice, once in what a socket's reader waits and once in the wake-up, and
all their CPU stood in the way of the request. Between two cores a round trip takes 14.9 us longer than on one, and
both ends together use 29 us more: most of that is done while the other end goes on already. So a request waits for
what was measured to elapse, and the work goes on beside it. A byte costs what it costs between two cores (two to
three times as much as on one), a wake-up what it costs a reader of TCP, and both are medians, not the best of the
rounds: where a virtual machine's cores lie is no noise (the same round trip took 29 us in one hour and 39 in another,
and nothing between). The generator's timer is late by 10 to 15 us; that belongs to it, and is taken from the
baseline. All of this together, and cold caches; median error over scenarios that nothing was fitted to, plain median
in brackets:

| what | first host, before | after | second | after | third | after |
|---|---|---|---|---|---|---|
| CPU of the proxies | 5 % (9) | 5 % (9) | 13 % (16) | 3 % (10) | 8 % (11) | 0 % (8) |
| CPU of applications and generator | 14 % (14) | 9 % (10) | 22 % (22) | 8 % (18) | 15 % (15) | 13 % (14) |
| CPU of everything | 5 % (11) | 0 % (9) | 16 % (19) | 9 % (13) | 13 % (14) | 10 % (12) |
| p50 | 10 % (21) | 3 % (22) | 33 % (38) | 28 % (34) | 16 % (31) | 0 % (21) |
| p99 | 65 % (65) | 69 % (69) | 74 % (74) | 67 % (68) | 70 % (70) | 70 % (71) |
| requests a second in a closed loop | 0 % (14) | 0 % (12) | 0 % (23) | 0 % (18) | 0 % (11) | 0 % (10) |
| which of two needs less, right | 739 of 768 | 750 of 787 | 728 of 742 | 741 of 754 | 730 of 740 | 742 of 754 |

p99 has a third more rows than before: at 80 % of saturation most predictions were too short to say it, and those rows,
the hardest, were missing. They are simulated ten times as long now.

p50 without a mesh was too high and with sidecars too low; on the third host it is a tenth too low in both now, and
two sidecars add 405 us to it at 10 % of saturation, measured 412 (on the first host 560 and 454: there both its CPU
and Istio's cold caches, brought to it by the ratio of other costs, are rather too much).

**The host.** A virtual machine has neighbours, who are not seen from inside. In the second round of the first host the
same proxy took 118 us instead of 80. In its third to fifth round exactly one of its two cores got work done in closed
loops (0.93 to 1.05 busy where the first rounds have 1.3 to 1.5, threads in line four times as long, and no foreign
load in the guest): its medians are partly those of a smaller machine, and its intervals wide.

**Memory.** The bill prices an Envoy that has served one connection; here 32 are open, and filters are configured.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path in scoreboards():
        parts += _board(path.stem, read(path))
    parts.append(CAUSES)
    return "\n".join(parts)


def _board(name: str, board: Scoreboard) -> Iterator[str]:
    host = board.host
    yield f"## {name}\n"
    yield (
        f"{host.get('processor', 'One host')}, {host.get('cores', '?')} cores, {host.get('kernel', '')}; "
        f"{board.rounds} interleaved rounds; predicted with {' and '.join(f'`{book}`' for book in board.costs)}. "
        f"{len({(row.case, row.load) for row in board.rows})} scenarios, {len(board.rows)} rows.\n"
    )
    yield "### Errors, over scenarios that nothing was fitted to\n"
    yield from _table(
        ("what", "rows", "median error", "goal", "worst error", "goal", "plain median", "said / seen", "worst row"),
        (
            (
                QUANTITIES[one.quantity][1], one.rows, f"{one.median_error:.0%}", f"{one.goal_median:.0%}",
                f"{one.worst_error:.0%}", "" if one.goal_worst is None else f"{one.goal_worst:.0%}",
                f"{one.median_gap:.0%}", f"{one.median_ratio:.2f}", one.worst,
            )
            for one in summaries(board)
        ),
    )  # fmt: skip
    yield (
        "A prediction inside the measured interval has no error; the plain median forgives nothing. Few or disturbed "
        "rounds make intervals wide and errors small: then only the plain median says something. The goals are aims, "
        "not results.\n"
    )
    yield from _bands(board)
    yield from _verdicts(board)
    yield from _ratios(board)
    yield from _published(board)
    yield "### Every row, worst first\n"
    yield (
        "Measured: median over undisturbed rounds, and order statistics around it: from six rounds on they hold the "
        "true median with 95 %; fewer give their whole range, which holds it with 50 % (two), 75 % (three), 88 % "
        "(four) or 94 % (five). Predicted: with the errors of the costs and of a finite run, 95 %. \\* near to what "
        "the cost book was fitted to; + outside of the range in which its costs were measured. Shares of "
        "saturation are each data plane's own: rates differ between them.\n"
    )
    yield from _table(
        ("scenario", "data plane", "quantity", "measured", "predicted", "error"), map(_row, board.worst_first())
    )
    yield "### What is no validation\n"
    for case, why in FITTED.items():
        yield f"* `{case}`: {why}."
    yield ""
    for warning in board.warnings:
        yield f"* {warning}."
    for case, why in board.skipped.items():
        yield f"* Not measured: `{case}`: {why}."


def _bands(board: Scoreboard) -> Iterator[str]:
    found = bands(board)
    if not found:
        return
    yield "### The model's own error\n"
    yield (
        "Reality lies between these factors of a prediction with a chance of 90 %; every result shows them. Load is "
        "the share of saturation. The last column leaves out one scenario after the other: the share of its rows that "
        "lie in the band which the others give. Below fourteen scenarios there is no band.\n"
    )
    yield from _table(
        ("quantity", "load", "from", "to", "scenarios", "left out"),
        (
            (
                b.quantity, "" if b.load is None else f"{b.load:.0%}", f"{b.low:.2f}", f"{b.high:.2f}", b.scenarios,
                f"{b.coverage:.0%}",
            )
            for b in found
        ),
    )  # fmt: skip


def _verdicts(board: Scoreboard) -> Iterator[str]:
    wrong = [one for one in board.verdicts if not one.right]
    yield "### Which of two data planes needs less\n"
    counted = sorted({row.rounds for row in board.rows})
    yield (
        f"Each row has {counted[0]} to {counted[-1]} undisturbed rounds. {len(board.verdicts) - len(wrong)} of "
        f"{len(board.verdicts)} right, where the measured intervals do not touch; data planes are compared at equal "
        f"shares of their own saturation.{' Wrong:' if wrong else ''}\n"
    )
    if wrong:
        yield from _table(
            ("scenario", "quantity", "a", "b", "a / b measured", "a / b predicted"),
            ((w.scenario, w.quantity, w.a, w.b, f"{w.measured_ratio:.2f}", f"{w.predicted_ratio:.2f}") for w in wrong),
        )


def _ratios(board: Scoreboard) -> Iterator[str]:
    if not board.ratios:
        return
    yield "### As ratios to no mesh\n"
    yield (
        "Each scenario over that of its application without a mesh, round by round, each at its own share of "
        "saturation: what a slow round does to both is gone.\n"
    )
    yield from _table(
        ("what", "rows", "median error", "worst error", "plain median", "worst row"),
        (
            (
                one.quantity,
                one.rows,
                f"{one.median_error:.0%}",
                f"{one.worst_error:.0%}",
                f"{one.median_gap:.0%}",
                one.worst,
            )
            for one in ratio_summaries(board)
        ),
    )
    yield from _table(
        ("scenario", "data plane", "quantity", "measured ratio", "predicted", "error"),
        (
            (
                row.scenario + ("\\*" if row.used_for_fitting else ""), row.dataplane, row.quantity,
                _interval(row.measured), _interval(row.predicted), f"{row.error:.0%}",
            )
            for row in sorted(board.ratios, key=lambda row: -row.error)
        ),
    )  # fmt: skip


def _published(board: Scoreboard) -> Iterator[str]:
    if not board.published:
        return
    yield "### What others published\n"
    yield (
        "Ratios from one harness of theirs each, predicted with the same cost books "
        "(`models/validation/published.yaml` has the settings). \\* a cost was derived from this very figure. A ratio "
        "takes the speed of a machine away, not what lies below both figures: a round trip without a mesh took 0.3 ms "
        "in Google's cloud, and takes half of that in this book, whose network is faster. That makes every predicted "
        "ratio of latencies larger.\n"
    )
    yield from _table(
        ("figure", "of", "over", "published", "predicted", "error", "setting", "source"),
        (
            (
                row.quantity + ("\\*" if row.used_for_fitting else ""), row.dataplane, row.over,
                f"{row.measured.low:g}" if row.measured.low == row.measured.high
                else f"{row.measured.low:g} to {row.measured.high:g}",
                row.predicted.note or f"{row.predicted.value:.2f}", f"{row.error:.0%}", row.setting, row.source,
            )
            for row in sorted(board.published, key=lambda row: -row.error)
        ),
    )  # fmt: skip


def _row(row: ScoreRow) -> Sequence[object]:
    marks = ("\\*" if row.used_for_fitting else "") + ("" if row.inside_range else "+")
    quantity = f"{row.quantity}, {row.unit}"
    error = f"{row.error:.0%}"
    return row.scenario + marks, row.dataplane, quantity, _interval(row.measured), _interval(row.predicted), error


def _interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    value = numbers.digits(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{numbers.digits(estimate.low)}, {numbers.digits(estimate.high)}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


if __name__ == "__main__":
    (HERE / "validation.md").write_text(page())
