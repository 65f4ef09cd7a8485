"""How large a program may be before the running kernel refuses it, and in which words: what "eBPF is not
Turing-complete" means. Programs of one shape grow until they are refused; then the border is looked for.

The verdict is exact, so one round is enough; the time is that of loading.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from meshsim.measure.bench import Bench
from meshsim.measure.ebpf import assembler as a
from meshsim.measure.ebpf.objects import Loaded, function_records, type_information
from meshsim.measure.ebpf.system import KINDS, Verdict, judge, load_btf
from meshsim.measure.experiment import Experiment, Reading, Sample, Samples

NAME = "ebpf.verifier"
XDP = KINDS["xdp"]


def straight_line(size: int) -> Verdict:
    """So many instructions, one after the other."""
    return judge(a.move(a.R0, 0) * (size - 1) + a.leave(), XDP)


def counted_loop(size: int) -> Verdict:
    """A loop of so many turns that does nothing else."""
    return judge(a.move(a.R0, 0) + a.add(a.R0, 1) + a.jump_if_less(a.R0, size, -2) + a.leave(), XDP)


def called_loop(size: int) -> Verdict:
    """The same under bpf_loop: the body is a function, checked once."""
    main = [
        a.move(a.R1, size), a.address_of_function(a.R2, 6), a.move(a.R3, 0), a.move(a.R4, 0), a.call(a.LOOP),
        a.move(a.R0, 2), a.leave(),
    ]  # fmt: skip
    body = [a.move(a.R0, 0), a.leave()]
    btf = load_btf(type_information(["main", "body"]))
    try:
        return judge(b"".join(main + body), XDP, btf, function_records([("main", 0), ("body", 8)]))
    finally:
        os.close(btf)


def unbounded_loop(size: int) -> Verdict:
    """A loop that ends when chance wants it, so perhaps never."""
    return judge(a.call(a.RANDOM) + a.jump_if_equal(a.R0, 0, 1) + a.jump(-3) + a.move(a.R0, 2) + a.leave(), XDP)


def branches(size: int) -> Verdict:
    """So many two-way decisions, each of which leaves another value behind: the paths double each time."""
    text = a.move(a.R7, 0)
    for number in range(size):
        text += a.call(a.RANDOM) + a.jump_if_equal(a.R0, 0, 1) + a.add(a.R7, 1 << number)
    # The value is compared in the end, so no two paths count as the same.
    return judge(text + a.jump_if_less(a.R7, 0x7FFFFFFF, 0) + a.move(a.R0, 2) + a.leave(), XDP)


def pending_jumps(size: int) -> Verdict:
    """So many conditional jumps to the end: the other side of each waits to be looked at."""
    text = a.call(a.RANDOM)
    for number in range(size):
        text += a.jump_if_equal(a.R0, number, size - 1 - number)
    return judge(text + a.move(a.R0, 2) + a.leave(), XDP)


def stack(size: int) -> Verdict:
    """A write that far down the stack."""
    return judge(a.store_byte(a.R10, -size, 0) + a.move(a.R0, 2) + a.leave(), XDP)


def calls(size: int) -> Verdict:
    """Functions that call each other so deep."""
    return judge((a.call_function(1) + a.leave()) * (size - 1) + a.move(a.R0, 2) + a.leave(), XDP)


def packet_read(size: int) -> Verdict:
    """A byte of the packet, read without asking where the packet ends."""
    return judge(a.load_word(a.R2, a.R1, 0) + a.load_byte(a.R0, a.R2, 0) + a.leave(), XDP)


def checked_packet_read(size: int) -> Verdict:
    """That byte of the packet, read after asking."""
    ask = a.copy(a.R4, a.R2) + a.add(a.R4, size) + a.jump_if_greater(a.R4, a.R3, 1)
    read = a.load_byte(a.R0, a.R2, size - 1)
    ends = a.load_word(a.R2, a.R1, 0) + a.load_word(a.R3, a.R1, 4) + a.move(a.R0, 2)
    return judge(ends + ask + read + a.leave(), XDP)


def http(program: str, size: int) -> Verdict:
    """Our parser of HTTP/1.1 request lines, for lines of so many bytes."""
    with Loaded("http", constants={"bound": size}) as loaded:
        return loaded.judge(program, "tc-ingress")


@dataclass(frozen=True)
class Family:
    """Programs of one shape."""

    name: str
    what: str
    unit: str
    build: Callable[[int], Verdict]
    sizes: Sequence[int]
    """Tried in turn, until one is refused."""
    exact: bool
    """Whether the border is worth finding to the last unit; else to 10 %."""
    means: str


def _doubling(first: int, last: int, factor: int = 2) -> list[int]:
    sizes = [first]
    while sizes[-1] * factor <= last:
        sizes.append(sizes[-1] * factor)
    return sizes


FAMILIES = [
    Family("straight-line", "instructions one after the other", "instructions", straight_line,
           _doubling(1000, 4_096_000, 4), True, "how long a program may be at all"),
    Family("counted-loop", "an empty loop with a constant bound", "turns", counted_loop,
           _doubling(1000, 4_096_000, 4), True, "each turn is walked through: a bound is as good as its length"),
    Family("bpf-loop", "the same loop under bpf_loop", "turns", called_loop,
           _doubling(1000, 1 << 30, 32), False, "a body that is a function is walked through once"),
    Family("branches", "decisions that each leave another value", "decisions", branches,
           range(10, 33, 2), True, "paths double: what a parser remembers multiplies what must be proved"),
    Family("pending-jumps", "conditional jumps that wait to be looked at", "jumps", pending_jumps,
           _doubling(512, 16_384), True, "how many ways out a piece of code may have"),
    Family("stack", "bytes of stack", "bytes", stack, _doubling(64, 4096), True,
           "no header of ordinary length fits: buffers must be maps"),
    Family("call-depth", "functions deep", "functions", calls, range(1, 33), True, "no recursion, few layers"),
    Family("unbounded-loop", "a loop that may never end", "loops", unbounded_loop, [1], True,
           "what makes a language Turing-complete is refused"),
    Family("packet-read", "packet bytes read without asking where it ends", "bytes", packet_read, [1], True,
           "memory is safe by proof, not by luck"),
    Family("packet-read-checked", "packet bytes, asked for first", "bytes", checked_packet_read,
           _doubling(64, 1 << 14, 4), False, "the same, proved"),
    Family("http-check", "an HTTP request line, checked in a plain loop", "bytes", partial(http, "check"),
           _doubling(64, 1 << 15), False, "what a loop may parse that remembers nothing but its state"),
    Family("http-find", "an HTTP request line, its path found in a plain loop", "bytes", partial(http, "find"),
           _doubling(8, 1 << 15), False, "what a loop may parse that remembers where the path is, as routing needs it"),
    Family("http-find-called", "an HTTP request line, its path found under bpf_loop", "bytes",
           partial(http, "find_called"), _doubling(64, 1 << 14, 4), False, "bpf_loop (Linux 5.17) lifts that limit"),
]  # fmt: skip


def run(bench: Bench) -> None:
    """Every family to its border. A verdict does not change with the load of the host: each is asked for once."""
    bench.attempts = 1
    for family in FAMILIES:
        _search(bench, family)


def _search(bench: Bench, family: Family) -> None:
    accepted: list[Sample] = []
    refused: int | None = None
    limit = 0
    for size in family.sizes:
        sample = _ask(bench, family, size)
        limit = int(sample.values["limit"]) or limit
        if not sample.values["accepted"]:
            refused = size
            break
        accepted.append(sample)
    if refused is None or not accepted:
        return
    # Where the verifier's own limit would be met, if its work grows as it did so far; both sides of that.
    for guess in _guesses(accepted, limit, refused):
        low = int(accepted[-1].settings["size"])
        if low < guess < refused and not (bench.quick and not family.exact):
            sample = _ask(bench, family, guess)
            if sample.values["accepted"]:
                accepted.append(sample)
            else:
                refused = guess
    low = int(accepted[-1].settings["size"])
    enough = 1 if family.exact and not bench.quick else max(1, refused // (2 if bench.quick else 10))
    while refused - low > enough:
        middle = (low + refused) // 2
        if _ask(bench, family, middle).values["accepted"]:
            low = middle
        else:
            refused = middle


def _guesses(accepted: Sequence[Sample], limit: int, refused: int) -> list[int]:
    if len(accepted) < 2 or not limit:
        return []
    (s1, p1), (s2, p2) = ((int(s.settings["size"]), s.values["processed"]) for s in accepted[-2:])
    if p2 <= p1:
        return []
    border = s2 + int((limit - p2) * (s2 - s1) / (p2 - p1))
    return [g for g in (border, border + 1) if s2 < g < refused]


def _ask(bench: Bench, family: Family, size: int) -> Sample:
    def take() -> dict[str, Reading | str]:
        verdict = family.build(size)
        verdict.close()
        said = {"error": verdict.error, "said": verdict.words} if verdict.error else {}
        return {
            "accepted": float(not verdict.error), "processed": float(verdict.processed),
            "limit": float(verdict.limit), "verify_ns": verdict.verify_ns, **said,
        }  # fmt: skip

    return bench.measure({"family": family.name, "size": size}, take)


@dataclass(frozen=True)
class Row:
    """The border of one family."""

    family: str
    what: str
    unit: str
    accepted: int | None
    """The largest size that was accepted; None if none was."""
    refused: int | None
    """The smallest that was refused; None if none was."""
    processed: int
    """Instructions that the verifier walked through for the largest accepted (or the refused, if none was)."""
    verify_ms: float
    """How long that took."""
    error: str
    words: str
    """The verifier's own words for the smallest refused; where it has none, what the error code says."""
    means: str


def table(samples: Samples) -> list[Row]:
    """One row a family that was tried, in the order of FAMILIES."""
    rows = []
    for family in FAMILIES:
        tried = sorted(samples.of(NAME, family=family.name), key=lambda s: float(s.settings["size"]))
        accepted = [s for s in tried if s.values["accepted"]]
        refused = [s for s in tried if not s.values["accepted"]]
        if not tried:
            continue
        shown = accepted[-1] if accepted else refused[0]
        error = refused[0].words.get("error", "") if refused else ""
        words = refused[0].words.get("said", "") if refused else ""
        rows.append(
            Row(
                family=family.name,
                what=family.what,
                unit=family.unit,
                accepted=int(accepted[-1].settings["size"]) if accepted else None,
                refused=int(refused[0].settings["size"]) if refused else None,
                processed=int(shown.values["processed"]),
                verify_ms=round(shown.values["verify_ns"] / 1e6, 3),
                error=error,
                words=words or (f"(no words) {_error_text(error)}" if error else ""),
                means=family.means,
            )
        )
    return rows


def _error_text(name: str) -> str:
    import errno

    code = getattr(errno, name, 0)
    return os.strerror(code) if code else name


EXPERIMENTS = [
    Experiment(
        NAME,
        "the verifier: programs of growing size, loops, branches, stack, until the kernel refuses them [size, ms]",
        run,
        seconds=14,
        quick_seconds=8,
        needs=("bpf",),
        rounds=1,
    )
]
