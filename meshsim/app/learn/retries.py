"""Chapter: trying again."""

from typing import Any

from meshsim.app.learn.chapter import Answer, Chapter, Guess
from meshsim.app.learn.charts import bars, in_words
from meshsim.app.learn.worlds import FREE, application, lowered, service, simulated

FAILING = 0.5
RETRIES = (0, 1, 3)
TITLE = "Attempts of a request"
REQUESTS = 20_000


def answer() -> Answer:
    """Attempts a request when half of them fail, beside the geometric sum."""
    rows = []
    for retries in RETRIES:
        leaf = service("shelf", [{"compute": {"mean_us": 100, "law": "constant"}}])
        root = service("shop", [{"call": {"service": "shelf"}}])
        rule = {"from": "shop", "to": "shelf", "at": "application", "retries": {"max": retries}}
        fault = {"kind": "errors", "service": "shelf", "at_s": 0, "for_s": 1e6, "share": FAILING}
        rules: dict[str, Any] = {"resilience": [rule]} if retries else {}
        run = simulated(lowered(application([root, leaf]), 100.0, what_if=FREE, faults=[fault], **rules), REQUESTS)
        made = run.counts.get("attempts", 0) if retries else run.sent
        rows.append(
            {
                "retries at most": retries,
                "attempts a request": made / run.sent,
                "theory": (1 - FAILING ** (retries + 1)) / (1 - FAILING),
                "requests that fail": run.failed / run.sent,
                "theory, failing": FAILING ** (retries + 1),
            }
        )
    names = [f"{count} retries" if count != 1 else "one retry" for count in RETRIES]
    attempts = [row["attempts a request"] for row in rows]
    last = rows[-1]
    deep = last["attempts a request"] ** 3
    return Answer(
        last["attempts a request"],
        f"{last['attempts a request']:.2f} attempts a request, and {last['requests that fail']:.1%} still fail. But "
        f"three services in a row that all retry multiply it: {deep:.1f} times the load on the last one, just when it "
        "is in trouble. A budget (retries at most a share of requests) stops that.",
        rows,
        bars(names, attempts, TITLE, theory=[row["theory"] for row in rows]),
        in_words(names, attempts, TITLE),
        closed_form=f"1 + p + p² + p³ with p = {FAILING:g}: {last['theory']:.3f} attempts; p⁴ = "
        f"{last['theory, failing']:.2%} fail.",
        engine=f"simulation of {REQUESTS:,} requests for each line",
    )


CHAPTER = Chapter(
    "retries",
    "Retries",
    "A call failed. Try again: it may have been bad luck. A mesh does that without a line of code, and hides most "
    "failures from users.\n\n"
    "But a retry is **one more request** to a service that is failing already, perhaps because it has too much to "
    "do. More load, more failures, more retries. And if each service on the way retries, they multiply.\n\n"
    "Now half of all attempts fail, whatever one does, and the caller may try again three times.",
    Guess("How many attempts does one request make on average?", 1, 4, 0.1, 1, "attempts"),
    answer,
    "`meshsim metastable` looks for loads at which a retry storm never ends by itself.",
)
