"""From YAML text to nodes with line numbers, by libyaml: a cost book of 2,000 lines in 50 ms instead of 2 s.

PyYAML brings libyaml, but reads YAML 1.1, where ``on`` and ``no`` are truth values. So plain scalars get their meaning
here, by the core schema of YAML 1.2.2 (section 10.3.2), with ``_`` between digits allowed.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

__all__ = ["MappingNode", "Node", "ScalarNode", "compose", "compose_all", "value_of"]

TAG = "tag:yaml.org,2002:"
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
NULL = ("", "~", "null", "Null", "NULL")


class _Core(BaseResolver):
    """What a plain scalar is."""


_Core.add_implicit_resolver(f"{TAG}bool", re.compile("|".join(TRUE + FALSE) + "$"), list("tTfF"))
_Core.add_implicit_resolver(f"{TAG}null", re.compile("(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Core.add_implicit_resolver(
    f"{TAG}int", re.compile("(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Core.add_implicit_resolver(
    f"{TAG}float",
    re.compile(
        r"(?:[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)

if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _Loader(CParser, _Core):
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _Core.__init__(self)

else:  # the same, slowly

    class _Loader(Reader, Scanner, Parser, Composer, _Core):  # type: ignore[no-redef]
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)
            _Core.__init__(self)


def compose(text: str) -> Node | None:
    """The only document in the text. yaml.YAMLError if it is none."""
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def compose_all(text: str) -> list[Node]:
    """Every document in the text that is not empty. yaml.YAMLError if it is none."""
    loader = _Loader(text)
    try:
        nodes: list[Node | None] = []
        while loader.check_node():
            nodes.append(loader.get_node())
    finally:
        loader.dispose()
    return [node for node in nodes if node and not (isinstance(node, ScalarNode) and node.value == "")]


def value_of(kind: str, text: str) -> Any:
    """What an ``int``, ``float``, ``bool`` or ``null`` stands for. ValueError for what is written otherwise."""
    if kind == "null":
        return None
    if kind == "bool":
        if text not in TRUE + FALSE:
            raise ValueError(text)
        return text in TRUE
    digits = text.replace("_", "")
    if kind == "float":
        return float(
            digits.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
        )
    if digits.startswith(("0o", "0x")):
        return int(digits, 0)
    return int(digits, 10)
