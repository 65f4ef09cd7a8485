"""Chapter: many calls at once."""

from meshsim.app.learn.chapter import Answer, Chapter, Guess, Scene
from meshsim.app.learn.charts import bars, in_words
from meshsim.app.learn.worlds import FREE, application, lowered, service, simulated
from meshsim.results.intervals import estimate_quantile, mean_interval
from meshsim.scenario.catalog import load_dataplane

WIDTHS = (1, 5, 20)
CALL_MS = 1.0
REQUESTS = 1500
TITLE = "Mean time of the page, ms"


def answer() -> Answer:
    """Parallel calls with exponential waits: the mean of the slowest of n is the n-th harmonic number."""
    rows = []
    for width in WIDTHS:
        wait = {"wait": {"mean_us": CALL_MS * 1000, "law": "exponential", "cv": 1.0}}
        leaves = [service(f"leaf-{number}", [wait]) for number in range(width)]
        root = service("page", [{"parallel": [[{"call": {"service": leaf["name"]}}] for leaf in leaves]}])
        seen = simulated(lowered(application([root, *leaves]), 50.0, what_if=FREE), REQUESTS).latency
        mean, p99 = mean_interval(seen), estimate_quantile(seen, 0.99)
        rows.append(
            {
                "calls at once": width,
                "mean, ms": (mean.value or 0.0) / 1000,
                "from": (mean.low or 0.0) / 1000,
                "to": (mean.high or 0.0) / 1000,
                "theory, ms": CALL_MS * harmonic(width),
                "p99, ms": (p99.value or 0.0) / 1000,
            }
        )
    last = rows[-1]
    names = [f"{width} at once" if width > 1 else "one call" for width in WIDTHS]
    means = [row["mean, ms"] for row in rows]
    return Answer(
        last["mean, ms"],
        f"{last['mean, ms']:.2f} ms on average (95 %: {last['from']:.2f} to {last['to']:.2f} ms), though each call "
        f"takes {CALL_MS:g} ms. The page waits for the slowest, and with many calls one is always slow.",
        rows,
        bars(
            names,
            means,
            TITLE,
            intervals=[(row["from"], row["to"]) for row in rows],
            theory=[row["theory, ms"] for row in rows],
        ),
        in_words(names, means, TITLE),
        closed_form="The slowest of n exponential times takes 1 + 1/2 + … + 1/n of their mean: "
        f"{last['theory, ms']:.2f} ms for n = {WIDTHS[-1]}.",
        engine=f"simulation of {REQUESTS:,} requests for each width",
    )


def scene() -> Scene:
    """Five of the twenty, so that there is room."""
    leaves = [service(f"part-{number}", []) for number in range(1, 6)]
    root = service("page", [{"parallel": [[{"call": {"service": leaf["name"]}}] for leaf in leaves]}])
    return Scene(
        application([root, *leaves]),
        load_dataplane("no-mesh"),
        300.0,
        "Five calls at once: the page answers the client when the last dot is back.",
    )


def harmonic(n: int) -> float:
    """1 + 1/2 + … + 1/n."""
    return sum(1 / number for number in range(1, n + 1))


CHAPTER = Chapter(
    "fan-out",
    "Fan-out",
    "A page asks many services **at the same time** and is done when the last answer is there.\n\n"
    "Each call takes 1 ms on average: often less, now and then 3 or 4 ms. For one call that hardly matters. But the "
    "page does not get the average of its calls; it gets the **slowest**. With twenty calls, what is rare for one is "
    "usual for the page.\n\n"
    "That is why people who run microservices look at p99 and not at the mean: the p99 of a service is the everyday "
    "life of those who call it often. And a mesh stands in each of these calls.",
    Guess(
        "Twenty calls of 1 ms on average, all at once: how long does the page take on average?", 1, 20, 0.25, 1, "ms"
    ),
    answer,
    "On Graph, look for the service that most calls lead to.",
    scene,
)
