"""Model files in and out. Every mistake comes back as ``file:line: field: value received; rule or choices``."""

from __future__ import annotations

import io
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from yaml.error import MarkedYAMLError, YAMLError

from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_nodes import MappingNode, Node, ScalarNode, compose, compose_all, value_of

LARGEST_FILE = {".json": 32 << 20, ".jsonl": 32 << 20, ".toml": 256 << 10}
"""Bytes that are read at most, by ending; what cannot be read in a few seconds is no model file."""
LARGEST_YAML = 2 << 20
MOST_ALIASED = 50_000
"""Values that aliases may stand for, all in all: a few lines of nested aliases can mean billions."""
MOST_REPORTED = 10

M = TypeVar("M", bound=BaseModel)
Path_ = tuple[str | int, ...]


class InputError(MeshsimError):
    """Something is wrong with a file, or with a name of one."""


@dataclass
class Document:
    """A parsed file: plain Python values, and the line of each of them."""

    name: str
    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    scalars: list[tuple[str, str, int]] = field(default_factory=list)
    """(key, value, line) of every scalar, in order."""
    documents: int = 1
    """More than one: the data is a list of them."""

    def line(self, location: Path_) -> int:
        """Line of the value there, or of the nearest enclosing one; 0 where the format has no lines."""
        known: Path_ = ()
        for part in location:
            # A lone step of a `parallel` is wrapped in a list by the model: such an index is not in the file.
            known = (*known, part) if (*known, part) in self.lines else known
        return self.lines.get(known, 0)

    def fail(self, location: Path_, message: str) -> InputError:
        """An error about the value there."""
        return InputError(self.at(location, message))

    def at(self, location: Path_, message: str, line: int | None = None) -> str:
        """One line of an error message."""
        number = self.line(location) if line is None else line
        where = f"{self.name}:{number}" if number else self.name
        return f"{where}: {_dotted(location)}: {message}" if location else f"{where}: {message}"


def parse(model: type[M], path: str | Path) -> M:
    """Read a file and check it against a model. InputError with one line for each mistake."""
    return validate(model, read(path))


def parse_text(model: type[M], text: str, name: str = "<text>") -> M:
    """The same for YAML that is already in memory; ``name`` stands for the file in messages."""
    return validate(model, read_text(text, name))


def read(path: str | Path, several: bool = False) -> Document:
    """Read a YAML, TOML or JSON file (by its ending; YAML otherwise). InputError for anything that is none.

    ``several``: YAML may have more than one document; the data is then a list of them, those that are empty left out.
    """
    path = Path(path)
    name = str(path)
    try:
        if path.is_dir():
            raise InputError(f"{name}: is a folder; a file was expected")
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: is a device or a pipe; a file was expected")
        suffix = path.suffix.lower()
        _refuse_large(name, path.stat().st_size, suffix)
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except PermissionError:
        raise InputError(f"{name}: may not be read (permission denied)") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not UTF-8 text (byte {error.start}); a YAML file was expected") from None
    except OSError as error:
        raise InputError(f"{name[:200]}: cannot be read ({error.strerror})") from None
    except ValueError:  # a path with a NUL in it
        raise InputError(f"{name!r}: is no path") from None
    return read_text(text, name, suffix, several)


def _refuse_large(name: str, size: int, suffix: str) -> None:
    most = LARGEST_FILE.get(suffix, LARGEST_YAML)
    if size > most:
        raise InputError(f"{name}: {size / 2**20:.1f} MiB received; such a file has at most {most / 2**20:g} MiB")


def read_text(text: str, name: str, suffix: str = ".yaml", several: bool = False) -> Document:
    """Parse text of a file called ``name``; ``several`` as for ``read``."""
    if suffix in (".json", ".jsonl", ".toml"):
        return _read_plain(text, name, suffix)
    if not text.strip():
        raise InputError(f"{name}:1: the file is empty")
    _refuse_large(name, len(text), suffix)
    if re.search(r"(?:[\[{]\s*|[?-][ \t]+){200}", text):  # told at a glance; the YAML scanner would need minutes for it
        raise InputError(f"{name}: is nested too deeply to be a model file")
    try:
        nodes = compose_all(text) if several else [node] if (node := compose(text)) else []
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        if "nesting depth" in (error.problem or ""):
            raise InputError(f"{where}: is nested too deeply to be a model file") from None
        column = f" (column {mark.column + 1})" if mark else ""
        raise InputError(f"{where}: not valid YAML{column}: {error.problem or error.context}") from None
    except YAMLError as error:
        raise InputError(f"{name}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply to be a model file") from None
    if not nodes:
        raise InputError(f"{name}:1: the file is empty")
    document = Document(name, None, documents=len(nodes))
    builder = _Builder(document)
    try:
        built = [builder.build(node, (index,) if len(nodes) > 1 else (), "") for index, node in enumerate(nodes)]
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply to be a model file") from None
    document.data = built if len(nodes) > 1 else built[0]
    return document


def _read_plain(text: str, name: str, suffix: str) -> Document:
    try:
        if suffix == ".jsonl":
            return _read_lines(text, name)
        data = json.loads(text) if suffix == ".json" else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}:{error.lineno}: not valid JSON: {error.msg}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not valid TOML: {error}") from None
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{name}: {str(error)[:200]}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply to be a model file") from None
    return Document(name, data)


def _read_lines(text: str, name: str) -> Document:
    """A JSON value a line, as one list."""
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise InputError(f"{name}:{number}: not valid JSON: {error.msg}") from None
    return Document(name, values)


class _Builder:
    """Turns YAML nodes into plain values, and writes down where each one stood."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.aliased = 0
        self.seen: set[int] = set()
        self.open: set[int] = set()

    def build(self, node: Node, where: Path_, key: str) -> Any:
        line = node.start_mark.line + 1
        self.aliased += id(node) in self.seen
        self.seen.add(id(node))
        if self.aliased > MOST_ALIASED:
            raise InputError(f"{self.document.name}:{line}: its aliases stand for more than {MOST_ALIASED} values")
        self.document.lines.setdefault(where, line)
        if isinstance(node, ScalarNode):
            return self.scalar(node, where, key, line)
        if id(node) in self.open:
            raise InputError(f"{self.document.name}:{line}: an alias refers to what it stands in")
        self.open.add(id(node))
        built: Any
        if isinstance(node, MappingNode):
            built = self.mapping(node, where)
        else:
            built = [self.build(item, (*where, index), key) for index, item in enumerate(node.value)]
        self.open.discard(id(node))
        return built

    def scalar(self, node: ScalarNode, where: Path_, key: str, line: int) -> Any:
        tag = str(node.tag or "").rsplit(":", 1)[-1]
        if tag in ("int", "float", "bool", "null"):
            try:
                value = value_of(tag, str(node.value))
            except ValueError:
                message = f"{_short(node.value)} received; no number that can be read"
                raise InputError(self.document.at(where, message, line)) from None
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(self.document.at(where, f"{node.value} received; a number must be finite", line))
        elif tag in ("str", "timestamp", ""):  # a date is kept as it was written
            value = str(node.value)
        else:
            raise InputError(self.document.at(where, f"tag !{tag} received; model files use plain values only", line))
        self.document.scalars.append((key, str(value), line))
        return value

    def mapping(self, node: MappingNode, where: Path_) -> dict[str, Any]:
        built: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise InputError(self.document.at(where, "a name was expected before the colon", line))
            key = str(key_node.value)
            if key in built:
                message = f"key {key!r} is given twice (first in line {first[key]})"
                raise InputError(self.document.at(where, message, line))
            first[key] = line
            self.document.lines[(*where, key)] = line
            built[key] = self.build(value_node, (*where, key), key)
        return built


# From pydantic's errors to sentences ---------------------------------------------------------------------------------


def validate(model: type[M], document: Document) -> M:
    """Check a document against a model. InputError with one line for each mistake (at most ten)."""
    if not isinstance(document.data, dict):
        raise document.fail((), f"{_short(document.data)} received; a mapping of names to values was expected")
    try:
        return model.model_validate(document.data, strict=True)
    except ValidationError as error:
        lines = list(dict.fromkeys(_sentences(model, document, error)))
    except RecursionError:
        raise InputError(f"{document.name}: is nested too deeply to be a model file") from None
    more = [f"… and {len(lines) - MOST_REPORTED} more"] if len(lines) > MOST_REPORTED else []
    raise InputError("\n".join(lines[:MOST_REPORTED] + more))


def _sentences(model: type[BaseModel], document: Document, error: ValidationError) -> Iterator[str]:
    by_place: dict[Path_, list[str]] = {}
    lines: dict[Path_, int | None] = {}
    received: dict[Path_, str] = {}
    for problem in error.errors():
        place = _place(document.data, problem["loc"], problem["type"])
        sentence, line = _rule(model, document, place, dict(problem))
        by_place.setdefault(place, []).append(sentence)
        lines.setdefault(place, line)
        if problem["type"] not in ("missing", "extra_forbidden", "value_error"):
            received[place] = _short(problem["input"])
    for place, rules in by_place.items():
        # A field that may be one thing or another fails once for each of them: one sentence says all.
        message = " or ".join(dict.fromkeys(rules))
        prefix = f"{received[place]} received; " if place in received else ""
        yield document.at(place, prefix + message, lines[place])


def _place(data: Any, location: tuple[str | int, ...], kind: str) -> Path_:
    """Where in the file: without the steps that only the model knows (members of a union, wrapped lists)."""
    place: list[str | int] = []
    here = data
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(here, dict) and part in here:
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (last and kind == "missing"):
            continue
        place.append(part)
    return tuple(place)


def _rule(model: type[BaseModel], document: Document, place: Path_, problem: dict[str, Any]) -> tuple[str, int | None]:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing":
        return "is missing", document.line(place[:-1])
    if kind == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        return f"unknown field; {choices(str(place[-1]), known)}" if known else "unknown field", None
    if kind == "value_error":
        message = str(context["error"])
        return message, _line_of_name(document, message)
    return rule(problem), None


def rule(problem: dict[str, Any]) -> str:
    """What a value must be, in the words that all messages use; ``problem``: one of pydantic's errors."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return choices(str(problem["input"]), allowed)
    if kind == "value_error":
        return str(context["error"])
    number = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
    if kind in number:
        words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}[number[kind]]
        return f"must be {words} {context[number[kind]]:g}"
    plain = {
        "int_type": "must be a whole number", "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number", "float_type": "must be a number",
        "float_parsing": "must be a number", "string_type": "must be text", "bool_type": "must be true or false",
        "bool_parsing": "must be true or false", "list_type": "must be a list", "dict_type": "must be a mapping",
        "model_type": "must be a mapping of names to values",
        "model_attributes_type": "must be a mapping of names to values",
        "finite_number": "must be finite",
    }  # fmt: skip
    if kind in plain:
        return plain[kind]
    if kind == "too_short":
        return f"must have at least {context['min_length']} item{'s' if context['min_length'] != 1 else ''}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    return str(problem["msg"])[0].lower() + str(problem["msg"])[1:]


def _line_of_name(document: Document, message: str) -> int | None:
    """A rule about the whole file names what it is about: the line where that name stands."""
    names = re.findall(r"'([^']+)'", message) or re.findall(r"cycle: ([^/\s]+)/", message)
    if not names:
        return None
    found = [line for _, value, line in document.scalars if value == names[0]]
    if not found:
        return None
    return found[-1] if "twice" in message else found[0]


def _fields_at(model: type[BaseModel], place: Path_) -> list[str]:
    """Names of the fields that the model has at a place."""
    here: list[Any] = [model]
    for part in place:
        if isinstance(part, int):
            continue
        fields = [f for m in _models(here) for n, f in m.model_fields.items() if part in (n, f.alias)]
        here = [f.annotation for f in fields]
    return [f.alias or name for m in _models(here) for name, f in m.model_fields.items()]


def _models(annotations: list[Any]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        else:
            found += _models(list(get_args(annotation)))
    return found


def _dotted(place: Path_) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _short(value: Any, limit: int = 60) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def write_yaml(model: BaseModel) -> str:
    """The model as YAML, without what equals its default; ``parse_text`` gives it back."""
    data = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "schema_" in type(model).model_fields:
        data = {"schema": model.schema_, **data}  # type: ignore[attr-defined]
    return yaml_text(data)


def yaml_text(data: Mapping[str, Any]) -> str:
    """Plain values as the files of the catalogue are written."""
    from ruamel.yaml import YAML  # it takes its time, and few write

    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 110
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()
