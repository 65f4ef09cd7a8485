"""Numbers as people read them: three significant digits, a unit, an interval.

Reports are in US dollars. In which currency money is shown is a matter of who reads: ``in_currency``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from meshsim.results.rows import Band, Estimate, Row

Show = Callable[[float], str]

TOO_SHORT = "run too short to say"
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}


@dataclass(frozen=True)
class Currency:
    """In which money is shown."""

    code: str = "USD"
    """As ISO 4217 has it."""
    per_usd: float = 1.0
    """So many for a US dollar."""

    @property
    def sign(self) -> str:
        """Before the amount."""
        return SIGNS.get(self.code, f"{self.code} ")

    @property
    def words(self) -> str:
        """On an axis."""
        return "US dollars" if self.code == "USD" else self.code


DOLLARS = Currency()
_currency: ContextVar[Currency] = ContextVar("currency", default=DOLLARS)


def currency() -> Currency:
    """The one in force: US dollars unless this thread was told otherwise."""
    return _currency.get()


def show_money_in(chosen: Currency) -> None:
    """From now on, in this thread."""
    _currency.set(chosen)


@contextmanager
def in_currency(chosen: Currency) -> Iterator[None]:
    """For as long as this lasts."""
    before = _currency.set(chosen)
    try:
        yield
    finally:
        _currency.reset(before)


def digits(value: float, significant: int = 3) -> str:
    """So many significant digits, thousands separated, never in powers of ten: 0.0412, 4.31, 1,230."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{significant - 1}e}")
    exponent = int(f"{rounded:e}".split("e")[1])
    return f"{rounded:,.{min(max(significant - 1 - exponent, 0), 9)}f}"


def latency(us: float) -> str:
    """Microseconds as µs, ms or s."""
    if abs(us) < 999.5:
        return f"{digits(us)} µs"
    return f"{digits(us / 1e3)} ms" if abs(us) < 999.5e3 else f"{digits(us / 1e6)} s"


def cores(value: float) -> str:
    """CPU cores."""
    return f"{digits(value)} cores"


def memory(mib: float) -> str:
    """MiB as MiB or GiB."""
    return f"{digits(mib)} MiB" if abs(mib) < 999.5 else f"{digits(mib / 1024)} GiB"


def watts(value: float) -> str:
    """W or kW."""
    return f"{digits(value)} W" if abs(value) < 999.5 else f"{digits(value / 1e3)} kW"


def money(usd: float) -> str:
    """US dollars, shown in the currency in force, to the cent below a hundred."""
    chosen = currency()
    amount = usd * chosen.per_usd
    said = f"{abs(amount):,.2f}" if abs(amount) < 100 else f"{abs(amount):,.0f}"
    return f"{'-' if float(said.replace(',', '')) and amount < 0 else ''}{chosen.sign}{said}"


def count(value: float) -> str:
    """Services, requests a second: whole if it is whole."""
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 else digits(value)


def span(low: float, high: float, show: Show) -> str:
    """'4.2 to 4.4 ms': both ends with the same unit once, where they share it; one figure where three digits of both
    are the same."""
    first, second = show(low), show(high)
    if first == second:
        return first
    number, _, unit = first.partition(" ")
    if unit and second.endswith(f" {unit}"):
        first = number
    return f"{first} to {second}"


def interval(estimate: Estimate, show: Show) -> str:
    """'4.31 ms (95 %: 4.25 to 4.38 ms)'."""
    if estimate.value is None:
        return f"unknown ({estimate.note or TOO_SHORT})"
    if estimate.low is None or estimate.high is None:
        return show(estimate.value)
    return f"{show(estimate.value)} (95 %: {span(estimate.low, estimate.high, show)})"


def band(model: Band, show: Show) -> str:
    """'4.1 to 4.6 ms'."""
    return span(model.low, model.high, show)


def real(row: Row, quantity: str, show: Show) -> str:
    """'4.1 to 14 ms', where a real mesh lies with a chance of 90 %; a dash where that is not known."""
    for band in row.reality.bands if row.reality is not None else ():
        if band.quantity == quantity and band.low is not None and band.high is not None:
            return span(band.low, band.high, show)
    return "–"


def real_line(row: Row, quantity: str, show: Show) -> str:
    """One more line of a hover text: 'real meshes, 90 %: 4.1 to 14 ms, extrapolated'; empty where it is not known."""
    told = real(row, quantity, show)
    if told == "–":
        return ""
    return f"<br>real meshes, 90 %: {told}{'' if row.reality and row.reality.inside else ', extrapolated'}"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
