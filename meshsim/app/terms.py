"""A visitor's own terms: node type, its price and currency, what sidecars reserve and may use."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from meshsim.figures.numbers import Currency
from meshsim.scenario import catalog
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.own import priced, with_sidecars
from meshsim.scenario.yaml_io import write_yaml
from meshsim.studies import defaults

RANGES: dict[str, tuple[float, float]] = {
    "hour": (0.0, 1000.0),
    "per_usd": (0.0001, 100_000.0),
    "cpu": (0, 64_000),
    "memory": (0, 65_536),
    "limit": (0, 64_000),
}
"""Of the numbers, lowest and highest."""
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
CODE = re.compile(r"[A-Z]{3}")
NODE_FILE = "own-node.yaml"


@dataclass(frozen=True, order=True)
class Terms:
    """All as in the catalogue unless said otherwise. Names are those of the controls in the address."""

    node: str = defaults.MACHINE
    """Node type by its name in the catalogue."""
    hour: float = 0.0
    """Price of a node, an hour, in ``currency``; 0: as in the node's file."""
    priced: str = ""
    """Day of that price, and of the rate of exchange."""
    currency: str = "USD"
    """In which money is shown."""
    per_usd: float = 1.0
    """So many for a US dollar."""
    cpu: int = 0
    """Millicores that a proxy in a pod reserves; 0: as in the data plane's file. So with those below."""
    memory: int = 0
    """MiB that it reserves."""
    limit: int = 0
    """Millicores that it may use."""

    @property
    def own_node(self) -> bool:
        """Another node than the catalogue has, not just another of the catalogue."""
        return self.hour > 0

    @property
    def own_sidecars(self) -> bool:
        """Other sidecars than the data planes' files have."""
        return bool(self.cpu or self.memory or self.limit)

    @property
    def usd_hour(self) -> float:
        """The own price in US dollars, in which all is computed."""
        return self.hour / self.per_usd

    @property
    def shown_in(self) -> Currency:
        """For figures and sentences."""
        return Currency(self.currency, self.per_usd)

    def machine(self) -> Machine:
        """The node type at this price."""
        found = node_type(self.node)
        return priced(found, self.usd_hour, self.priced or found.price_date) if self.own_node else found

    def dataplane(self, name: str) -> DataPlane:
        """One of the catalogue with these sidecars."""
        return with_sidecars(catalog.load_dataplane(name), **self.sidecars) if self.own_sidecars else _loaded(name)

    @property
    def sidecars(self) -> dict[str, float | None]:
        """As ``with_sidecars`` takes them."""
        return {
            "cpu_millicores": float(self.cpu) or None,
            "memory_mib": float(self.memory) or None,
            "limit_millicores": float(self.limit) or None,
        }

    def changes(self) -> dict[str, Any]:
        """What is not as in the catalogue, by name."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default}

    def words(self) -> list[str]:
        """What is not as in the catalogue, as sentences; what money is shown in is one."""
        said = []
        if self.node != defaults.MACHINE or self.own_node:
            price = f" at {self.hour:g} {self.currency} an hour" if self.own_node else ""
            said.append(f"Nodes: {self.node}{price}.")
        if self.currency != "USD":
            of = f", of {self.priced}" if self.priced else ""
            said.append(f"Money in {self.currency}: {self.per_usd:g} for a US dollar{of}.")
        reserved = [text for text in (self.cpu and f"{self.cpu}m CPU", self.memory and f"{self.memory} MiB") if text]
        if reserved:
            said.append(f"Each sidecar reserves {' and '.join(reserved)}.")
        if self.limit:
            said.append(f"Each sidecar may use {self.limit}m CPU, and reserves no more.")
        return said

    def written(self) -> str:
        """As the address carries those of a pinned scenario: 'limit=100;cpu=50'. Empty if nothing is changed."""
        return ";".join(f"{name}={value}" for name, value in self.changes().items())


USUAL = Terms()
"""As the catalogue has it."""


def read_terms(text: str) -> Terms | None:
    """What ``written`` wrote; None if it is none."""
    kinds: dict[str, Any] = {one.name: type(getattr(USUAL, one.name)) for one in fields(Terms)}
    found: dict[str, Any] = {}
    for part in filter(None, text.split(";")):
        name, _, value = part.partition("=")
        if name not in kinds:
            return None
        try:
            found[name] = kinds[name](value)
        except ValueError:
            return None
        if name in RANGES and not RANGES[name][0] <= found[name] <= RANGES[name][1]:
            return None
    terms = Terms(**found)
    known = terms.node in catalogued("machines") and CODE.fullmatch(terms.currency)
    return terms if known and (not terms.priced or DATE.fullmatch(terms.priced)) else None


@lru_cache(maxsize=64)
def _loaded(name: str) -> DataPlane:
    return catalog.load_dataplane(name)


@lru_cache(maxsize=64)
def node_type(name: str) -> Machine:
    """One of the catalogue, read once: a page needs it at every step of a slider."""
    return catalog.load_machine(name)


@lru_cache(maxsize=8)
def catalogued(kind: str) -> tuple[str, ...]:
    """Names of the catalogue, looked up once."""
    return tuple(catalog.names(kind))


def files(terms: Terms, dataplanes: tuple[str, ...]) -> dict[str, str]:
    """File name -> YAML of what the catalogue does not have: for the command line."""
    made = {}
    if terms.own_node:
        made[NODE_FILE] = write_yaml(terms.machine())
    for name in dataplanes:
        if (mine := terms.dataplane(name)) != _loaded(name):
            made[plane_file(terms, name)] = write_yaml(mine)
    return made


def plane_file(terms: Terms, name: str) -> str:
    """What the command line is given for a data plane: its name, or the file of ``files``."""
    return f"own-{name}.yaml" if terms.dataplane(name) != _loaded(name) else name


def node_file(terms: Terms) -> str:
    """The same for the node."""
    return NODE_FILE if terms.own_node else terms.node


def with_files(command: str, terms: Terms, dataplanes: tuple[str, ...]) -> str:
    """A study's command that names models of the catalogue, with ``files`` instead of those that are changed."""
    words = shlex.split(command)
    for option in ("--dataplanes", "--machine"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    words += ["--dataplanes", ",".join(plane_file(terms, name) for name in dataplanes)]
    words += ["--machine", node_file(terms)] if node_file(terms) != defaults.MACHINE else []
    return shlex.join(words)
