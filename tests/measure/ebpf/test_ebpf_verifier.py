"""The verifier's limits: instructions are encoded rightly, borders are found, and the table says what was seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hosts import needs

from meshsim.measure.bench import Bench
from meshsim.measure.ebpf import assembler as a
from meshsim.measure.ebpf import verifier
from meshsim.measure.ebpf.system import Verdict
from meshsim.measure.ebpf.verifier import FAMILIES, NAME, Family, table
from meshsim.measure.experiment import Sample, Samples
from meshsim.measure.lab import Lab

bpf = needs("bpf")


def test_instructions_are_encoded_as_the_standard_says() -> None:
    assert a.move(a.R0, 1).hex() == "b700000001000000"
    assert a.leave().hex() == "9500000000000000"
    assert a.load_word(a.R2, a.R1, 4).hex() == "6112040000000000"
    assert a.jump_if_equal(a.R1, 3, -2).hex() == "1501feff03000000"
    assert a.store_byte(a.R10, -8, 7).hex() == "720af8ff07000000"
    assert a.address_of_function(a.R2, 6).hex() == "1842000006000000" + "00" * 8


def search(family: Family, quick: bool = False) -> list[Sample]:
    with Lab() as lab:
        bench = Bench(NAME, 0, quick, lab, lambda: False)
        verifier._search(bench, family)
    return bench.samples


def pretend(border: int, cost_each: int, limit: int = 0) -> Family:
    def build(size: int) -> Verdict:
        good = size <= border
        return Verdict(-1, "" if good else "E2BIG", "" if good else "too large", size * cost_each, limit, 1000.0 * size)

    return Family("straight-line", "", "", build, [1000, 10_000, 100_000, 1_000_000], True, "")


@pytest.mark.parametrize("border", [1000, 4242, 99_999, 123_456])
def test_the_border_is_found_to_the_unit(border: int) -> None:
    (row,) = table(Samples(search(pretend(border, 3))))
    assert (row.accepted, row.refused) == (border, border + 1)
    assert (row.error, row.words) == ("E2BIG", "too large")
    assert row.processed == 3 * border


def test_a_limit_that_the_verifier_names_is_tried_first() -> None:
    asked = search(pretend(123_456, 4, limit=4 * 123_456))
    assert len(asked) == 6  # four sizes, and both sides of the border
    (row,) = table(Samples(asked))
    assert (row.accepted, row.refused) == (123_456, 123_457)


def test_the_table_says_what_was_never_accepted_or_never_refused() -> None:
    def sample(family: str, size: int, accepted: float, words: dict[str, str]) -> Sample:
        values = {"accepted": accepted, "processed": 11.0, "limit": 0.0, "verify_ns": 2.5e6}
        return Sample(NAME, 0, {"family": family, "size": size}, values, words=words)

    rows = table(
        Samples(
            [
                sample("unbounded-loop", 1, 0.0, {"error": "EINVAL", "said": "infinite loop detected"}),
                sample("bpf-loop", 1000, 1.0, {}),
                sample("stack", 512, 1.0, {}),
                sample("stack", 513, 0.0, {"error": "E2BIG", "said": ""}),
            ]
        )
    )
    assert [row.family for row in rows] == ["bpf-loop", "stack", "unbounded-loop"]  # in the order of FAMILIES
    loop, stack, unbounded = rows
    assert (loop.accepted, loop.refused, loop.error) == (1000, None, "")
    assert (stack.accepted, stack.refused) == (512, 513)
    assert stack.words == "(no words) Argument list too long"
    assert (unbounded.accepted, unbounded.refused, unbounded.verify_ms) == (None, 1, 2.5)


CHEAP = [f for f in FAMILIES if f.name in ("stack", "call-depth", "unbounded-loop", "packet-read", "bpf-loop",
                                          "pending-jumps", "packet-read-checked", "http-find-called")]  # fmt: skip


@bpf
def test_the_running_kernel_refuses_in_its_own_words() -> None:
    rows = {
        row.family: row
        for row in table(Samples([s for f in CHEAP for s in search(f, quick=f.name == "pending-jumps")]))
    }
    assert (rows["stack"].accepted, rows["stack"].refused, rows["stack"].error) == (512, 513, "EACCES")
    assert "stack" in rows["stack"].words
    assert rows["call-depth"].accepted == 8
    assert rows["unbounded-loop"].accepted is None
    assert "infinite loop" in rows["unbounded-loop"].words
    assert rows["packet-read"].accepted is None
    assert "packet" in rows["packet-read"].words
    assert rows["packet-read-checked"].refused is None
    # The body is checked once: as many turns as one likes, and a request line of any length.
    assert rows["bpf-loop"].refused is None
    assert rows["bpf-loop"].accepted is not None
    assert rows["bpf-loop"].accepted > 1_000_000
    assert rows["http-find-called"].refused is None
    assert "too complex" in rows["pending-jumps"].words


@bpf
def test_a_loop_is_as_good_as_its_length_and_remembering_costs() -> None:
    small = verifier.counted_loop(1000)
    large = verifier.counted_loop(10_000)
    small.close()
    large.close()
    assert large.processed == pytest.approx(10 * small.processed, rel=0.01)
    check, find = verifier.http("check", 32), verifier.http("find", 32)
    check.close()
    find.close()
    assert find.processed > 10 * check.processed


def test_every_family_says_what_it_means() -> None:
    assert len({f.name for f in FAMILIES}) == len(FAMILIES)
    assert all(f.means and f.what and f.unit for f in FAMILIES)
    assert Path(verifier.__file__ or "").exists()
