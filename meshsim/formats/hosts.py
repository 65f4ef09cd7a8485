"""Hosts of Kubernetes Services in the text of manifests: ``cartservice:7070``, ``http://ratings.default.svc:9080/x``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]{0,20})://(?:[^\s/@]{0,200}@)?)?"
    r"(?P<name>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::(?P<port>[0-9]{1,5})(?![0-9]))?"
)
_BARE = re.compile("HOST|ADDR|URL|URI|ENDPOINT|SERVER|BROKER|UPSTREAM|BACKEND|SERVICE", re.IGNORECASE)
"""Variables whose whole value may be the name of a Service and nothing else, as Bookinfo's RATINGS_HOSTNAME."""


@dataclass(frozen=True)
class Host:
    """A host as it is written."""

    name: str
    port: int | None = None
    scheme: str = ""


@dataclass(frozen=True)
class Text:
    """A text of a manifest, and the variable that it is the value of, if any."""

    content: str
    variable: str = ""


def named(text: Text, known: frozenset[str]) -> list[Host]:
    """Hosts in a text that may be one of the ``known`` Services, in order, each once.

    A word alone is too little: it needs a scheme, a port or a domain, or to be all that a variable such as
    RATINGS_HOSTNAME says.
    """
    found: dict[Host, None] = {}
    content = text.content.strip().lower()
    for match in _HOST.finditer(content):
        name, port, scheme = match["name"], match["port"], match["scheme"] or ""
        parts = name.split(".")
        if known.isdisjoint(parts[:2]):
            continue
        alone = match[0] == content and _BARE.search(text.variable) is not None
        domain = len(parts) > 1 and ".svc." in f"{name}."
        if not (scheme or port or domain or alone):
            continue
        found[Host(name, int(port) if port else None, scheme)] = None
    return list(found)
