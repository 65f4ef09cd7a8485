"""Isotope service graphs (istio/tools, folder ``isotope``) as applications.

The spellings follow the project's own readers (``isotope/convert/pkg/graph``): sizes are numbers or text such as
"10k", "1 KB", "16 MiB", always in binary units; percentages are "0.1%" or a number from 0 to 1; a script is a list of
commands, and a list within it runs its commands at the same time.
"""

from __future__ import annotations

import re
from typing import Any

from meshsim.scenario.application import Application
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import Document, InputError, Path_, validate

COMPUTE_US = 75.0
"""CPU of isotope's mock service for a request: its README states 12 000 to 14 000 requests a second on one core."""
COMPUTE_CV = 0.5
LARGEST = 1 << 30
"""Bytes of a payload."""
LONGEST_S = 60.0
"""Of a sleep."""
UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DEFAULTS = ("default", "defaults")
TOP = (*DEFAULTS, "apiVersion", "kind", "services")
SERVICE = (
    "name", "type", "numReplicas", "isEntrypoint", "errorRate", "responseSize", "requestSize", "script",
    "numRbacPolicies",
)  # fmt: skip


def is_isotope(data: Any) -> bool:
    """Whether parsed YAML looks like an isotope service graph: services without endpoints, and no schema of ours."""
    services = data.get("services") if isinstance(data, dict) and "schema" not in data else None
    return isinstance(services, list) and not any(isinstance(s, dict) and "endpoints" in s for s in services)


def convert(document: Document, name: str) -> tuple[Application, list[str]]:
    """The application, and notes on what was assumed or left out. InputError with file and line otherwise."""
    return _Reader(document).application(name)


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.ignored: set[str] = set()
        data = document.data
        self.refuse_unknown(data, TOP, ())
        self.defaults_at = next((key for key in DEFAULTS if key in data), "defaults")
        self.defaults: dict[str, Any] = self.mapping(data.get(self.defaults_at) or {}, (self.defaults_at,))
        self.refuse_unknown(self.defaults, SERVICE, (self.defaults_at,))
        self.services: list[Any] = data["services"]
        self.kinds: dict[str, str] = {}
        self.sizes: dict[str, int] = {}

    def application(self, name: str) -> tuple[Application, list[str]]:
        if not self.services:
            raise self.document.fail(("services",), "a list was expected with at least one service")
        for number, service in enumerate(self.services):
            where: Path_ = ("services", number)
            self.mapping(service, where)
            self.refuse_unknown(service, SERVICE, where)
            if not isinstance(service.get("name"), str):
                raise self.document.fail(where, "name: is missing, or no text")
            self.kinds[service["name"]] = self.protocol(service, where)
            self.sizes[service["name"]] = self.size(service, "responseSize", where)
        known = list(self.kinds)
        entries = [
            {
                "service": service["name"], "protocol": self.kinds[service["name"]],
                "request_bytes": self.size(self.defaults, "requestSize", (self.defaults_at,)),
                "response_bytes": self.sizes[service["name"]],
            }
            for number, service in enumerate(self.services)
            if self.flag(service, "isEntrypoint", ("services", number))
        ]  # fmt: skip
        if not entries:
            raise self.document.fail(("services",), "no service has isEntrypoint: true; traffic must come in somewhere")
        services = [self.service(s, ("services", n), known) for n, s in enumerate(self.services)]
        built = {"schema": "meshsim/application/1", "name": name, "title": f"isotope graph {name}",
                 "entries": entries, "services": services}  # fmt: skip
        # What the reader let pass and the model refuses is at least told with the line of its service.
        lines: dict[Path_, int] = {("services", n): self.document.line(("services", n)) for n in range(len(services))}
        converted = Document(self.document.name, built, lines, self.document.scalars)
        return validate(Application, converted), self.notes()

    def notes(self) -> list[str]:
        notes = [
            f"isotope's services have no compute time; each request takes {COMPUTE_US:g} us of CPU at a service "
            "(its README: 12 000 to 14 000 requests a second on one core)"
        ]
        reasons = {
            "errorRate": "errors are not modelled yet",
            "numRbacPolicies": "the number of authorisation policies does not change the cost yet",
        }
        return notes + [f"{key} is ignored: {reasons[key]}" for key in sorted(self.ignored)]

    def service(self, service: dict[str, Any], where: Path_, known: list[str]) -> dict[str, Any]:
        for key in ("errorRate", "numRbacPolicies"):
            if self.setting(service, key, 0) not in (0, "0%"):
                self.ignored.add(key)
        if "errorRate" in service:
            self.percentage(service["errorRate"], (*where, "errorRate"))
        script = self.setting(service, "script", [])
        at: Path_ = (*where, "script") if "script" in service else (self.defaults_at, "script")
        if not isinstance(script, list):
            raise self.document.fail(at, f"{script!r} received; a list of commands was expected")
        compute = {"compute": {"mean_us": COMPUTE_US, "law": "lognormal", "cv": COMPUTE_CV}}
        return {
            "name": service["name"],
            "replicas": self.replicas(service, where),
            "endpoints": [{"name": "serve", "steps": [compute, *self.commands(script, at, known)]}],
        }

    def commands(self, script: list[Any], at: Path_, known: list[str]) -> list[dict[str, Any]]:
        steps = []
        for number, command in enumerate(script):
            where = (*at, number)
            if isinstance(command, list):
                branches = [branch for branch in ([step] for step in self.commands(command, where, known)) if branch]
                steps += [{"parallel": branches}] if branches else []
            else:
                steps.append(self.command(self.mapping(command, where), where, known))
        return steps

    def command(self, command: dict[str, Any], where: Path_, known: list[str]) -> dict[str, Any]:
        self.refuse_unknown(command, ("call", "sleep"), where)
        if len(command) != 1:
            raise self.document.fail(
                where, f"a command is either call or sleep; {sorted(command) or 'nothing'} received"
            )
        if "sleep" in command:
            seconds = self.duration(command["sleep"], (*where, "sleep"))
            return {"wait": {"mean_us": max(seconds * 1e6, 1e-3), "law": "constant"}}
        return {"call": self.call(command["call"], (*where, "call"), known)}

    def call(self, call: Any, where: Path_, known: list[str]) -> dict[str, Any]:
        fields = {"service": call} if isinstance(call, str) else self.mapping(call, where)
        self.refuse_unknown(fields, ("service", "size", "payloadSize", "probability"), where)
        service = fields.get("service")
        if not isinstance(service, str) or service not in self.kinds:
            raise self.document.fail(where, f"{service!r} received; {choices(str(service), known)}")
        size_key = "size" if "size" in fields else "payloadSize"
        given = self.bytes(fields[size_key], (*where, size_key)) if size_key in fields else None
        probability = fields.get("probability", 100)  # of 100, unlike errorRate
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 100:
            raise self.document.fail((*where, "probability"), f"{probability!r} received; must be from 0 to 100")
        return {
            "service": service,
            "protocol": self.kinds[service],
            "request_bytes": self.size(self.defaults, "requestSize", (self.defaults_at,)) if given is None else given,
            "response_bytes": self.sizes[service],
            "probability": probability / 100,
        }

    def setting(self, service: dict[str, Any], key: str, default: Any) -> Any:
        return service.get(key, self.defaults.get(key, default))

    def flag(self, service: dict[str, Any], key: str, where: Path_) -> bool:
        value = self.setting(service, key, False)
        if not isinstance(value, bool):
            raise self.document.fail((*where, key), f"{value!r} received; must be true or false")
        return value

    def replicas(self, service: dict[str, Any], where: Path_) -> int:
        value = self.setting(service, "numReplicas", 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.document.fail(
                (*where, "numReplicas"), f"{value!r} received; a whole number of at least 1 was expected"
            )
        return value

    def protocol(self, service: dict[str, Any], where: Path_) -> str:
        kind = str(self.setting(service, "type", "http")).lower()
        if kind not in ("http", "grpc"):
            raise self.document.fail((*where, "type"), f"{kind!r} received; {choices(kind, ['http', 'grpc'])}")
        return "grpc" if kind == "grpc" else "http1"

    def size(self, service: dict[str, Any], key: str, where: Path_) -> int:
        return self.bytes(self.setting(service, key, 0), (*where, key))

    def bytes(self, value: Any, where: Path_) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", str(value).strip().lower())
        if isinstance(value, bool) or match is None:
            raise self.document.fail(where, f"{value!r} received; a size such as 128, 10K, 1 KB or 1MiB was expected")
        size = int(float(match[1]) * 1024 ** UNITS[match[2]])
        if size > LARGEST:
            raise self.document.fail(where, f"{value!r} received; must be at most 1 GiB")
        return size

    def percentage(self, value: Any, where: Path_) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%", str(value).strip())
        share = float(match[1]) / 100 if match else value
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise self.document.fail(
                where, f"{value!r} received; a share such as 0.1% or a number from 0 to 1 was expected"
            )
        return float(share)

    def duration(self, value: Any, where: Path_) -> float:
        if isinstance(value, dict):
            return self.static_sleep(value, where)
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)", str(value))
        if not parts or "".join(number + unit for number, unit in parts) != str(value):
            raise self.document.fail(where, f"{value!r} received; a duration such as 10ms, 1.5s or 1m30s was expected")
        seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
        if seconds > LONGEST_S:
            raise self.document.fail(where, f"{value!r} received; must be at most {LONGEST_S:g} s")
        return seconds

    def static_sleep(self, value: dict[str, Any], where: Path_) -> float:
        """The newer spelling: a list of sleeps by load range, each of some type."""
        sleeps = value.get("SleepCommand")
        kinds = (
            {str(s.get("Type", s.get("type"))).lower() for s in sleeps if isinstance(s, dict)}
            if isinstance(sleeps, list)
            else set()
        )
        if not isinstance(sleeps, list) or len(sleeps) != 1 or kinds != {"static"}:
            raise self.document.fail(
                where,
                "only a single sleep of type static is read; histograms, distributions and load ranges are not",
            )
        data = self.mapping(sleeps[0].get("Data", sleeps[0].get("data")), where)
        time = data.get("time")
        return time / 1000 if isinstance(time, int | float) else self.duration(time, where)

    def mapping(self, value: Any, where: Path_) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.document.fail(where, f"{value!r} received; a mapping of names to values was expected")
        return value

    def refuse_unknown(self, value: dict[str, Any], allowed: tuple[str, ...], where: Path_) -> None:
        for key in value:
            if key not in allowed:
                raise self.document.fail((*where, key), f"unknown field of an isotope graph; {choices(key, allowed)}")


__all__ = ["InputError", "convert", "is_isotope"]
