"""Expressions that find services or hide them: ``util > 0.7 and name ~ cart or share >= 10%``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices

FIELDS = {
    "name": "of the service",
    "rps": "requests that come to it, a second",
    "cpu": "cores",
    "util": "utilisation of its busiest worker, 0 to 1",
    "share": "of the time of a request that is alone, 0 to 1",
    "layer": "1 is called from outside",
    "calls": "services that it calls",
    "callers": "services that call it",
}
NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
WORDS: dict[str, Callable[[str, str], bool]] = {
    "!~": lambda text, part: part not in text,
    "~": lambda text, part: part in text,
    "=": operator.eq,
    "!=": operator.ne,
}
LONGEST = 300
Values = Mapping[str, float | str]
"""A service: a value of each of ``FIELDS``."""
_CONDITION = re.compile(r"([A-Za-z]+)\s*(<=|>=|!=|!~|=|<|>|~)\s*(\S+)")


def finder(text: str) -> Callable[[Values], bool]:
    """Whether a service is meant. ``and`` binds closer than ``or``; a lone word is part of a name; no text, nothing.

    MeshsimError names what is not understood, and what would be.
    """
    if len(text) > LONGEST:
        raise MeshsimError(f"{len(text)} characters received; at most {LONGEST}")
    either = [
        [_condition(part) for part in re.split(r"\s+and\s+", one.strip(), flags=re.IGNORECASE)]
        for one in re.split(r"\s+or\s+", text.strip(), flags=re.IGNORECASE)
        if one.strip()
    ]
    return lambda service: any(all(holds(service) for holds in together) for together in either)


def _condition(text: str) -> Callable[[Values], bool]:
    text = text.strip()
    if re.fullmatch(r"[A-Za-z0-9._-]+", text):
        return lambda service: text.lower() in str(service["name"]).lower()
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise MeshsimError(f"{text!r} received; write FIELD OPERATOR VALUE, such as util > 0.7 or name ~ cart")
    name, sign, value = found[1].lower(), found[2], found[3]
    if name not in FIELDS:
        raise MeshsimError(f"{name!r} received; {choices(name, FIELDS)}")
    if name == "name":
        if sign not in WORDS:
            raise MeshsimError(f"name {sign} received; a name can be compared with ~, !~, = and !=")
        says, wanted = WORDS[sign], value.lower()
        return lambda service: says(str(service["name"]).lower(), wanted)
    if sign not in NUMBERS:
        raise MeshsimError(f"{name} {sign} received; a number can be compared with {' '.join(NUMBERS)}")
    compares, number = NUMBERS[sign], _number(value)
    return lambda service: compares(float(service[name]), number)


def _number(text: str) -> float:
    part = text.removesuffix("%")
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", part):
        raise MeshsimError(f"{text!r} received; must be a number, such as 0.7 or 70%")
    return float(part) / (100 if part != text else 1)
