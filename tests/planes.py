"""Data planes and cost books made up for tests: what is said costs so much, the rest of the little world is free."""

from __future__ import annotations

from typing import Any

from worlds import cost, costs

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.plan.hops import HopKind, hop
from meshsim.plan.plan import Op, Place
from meshsim.plan.program import Program
from meshsim.scenario.dataplane import DataPlane

WORKS = (Op.WORK, Op.MORE)


def dataplane(*proxies: dict[str, Any], **fields: Any) -> DataPlane:
    return DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "p", "title": "t", "summary": "s", "proxies": list(proxies), **fields}
    )


def proxy(name: str = "sidecar", **choices: Any) -> dict[str, Any]:
    usual = {"placed": "pod", "ends": ["source", "destination"], "layer": "L7", "capture": "explicit"}
    return {"name": name, "software": "box", **usual, **choices}


def priced(**known: dict[str, float]) -> Costs:
    """``proxy__box__feature__jwt={"cpu_ns": 5}`` and the like, before a book in which the usual operations are free."""
    entries = [cost(name.replace("__", ".").replace("_", "-"), **fields) for name, fields in known.items()]
    book = {"schema": "meshsim/costs/1", "name": "extra", "entries": entries}
    return Costs([*([CostBook.model_validate(book)] if entries else []), *costs().books])


def program(plane: DataPlane, book: Costs, *, policy: str = "L7", services: int = 1, **kind: Any) -> Program:
    usual = {"protocol": "http1", "request_bytes": 0, "response_bytes": 0, "from_outside": False}
    return hop(plane, policy, HopKind(**{**usual, **kind}), book, services)


def work(of: Program) -> list[tuple[str, str, int]]:
    """(operation, place, mean ns) of every piece of work, in order."""
    return [(i.tag.operation, Place(i.at).name, i.mean_ns) for i in of if i.op in WORKS and i.tag is not None]


def waits(of: Program) -> list[tuple[str, str, int]]:
    return [(i.tag.operation, Place(i.at).name, i.mean_ns) for i in of if i.op == Op.WAIT and i.tag is not None]
