"""A value in somebody else's file, and where it stands: what is asked of it is there, or the error says where not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from meshsim.scenario.yaml_io import Document, InputError, Path_


@dataclass(frozen=True)
class Value:
    """One value of a document. What is missing is ``None`` and reads as empty; what is of another kind is refused."""

    document: Document
    data: Any
    where: Path_ = ()

    def __getitem__(self, key: str) -> Value:
        """What a mapping has under that name."""
        return Value(self.document, self.mapping().get(key), (*self.where, key))

    @property
    def given(self) -> bool:
        """Whether the file says anything here."""
        return self.data is not None

    @property
    def line(self) -> int:
        """Its line; 0 where the format has none."""
        return self.document.line(self.where)

    def mapping(self) -> dict[str, Any]:
        """Names and values."""
        if not isinstance(self.data, dict | None):
            raise self.wrong("a mapping of names to values was expected")
        return self.data or {}

    def values(self) -> list[tuple[str, Value]]:
        """The same, each with its place."""
        return [(str(key), self[key]) for key in self.mapping()]

    def items(self) -> list[Value]:
        """Elements of a list."""
        if not isinstance(self.data, list | None):
            raise self.wrong("a list was expected")
        return [Value(self.document, item, (*self.where, index)) for index, item in enumerate(self.data or [])]

    def text(self, default: str = "") -> str:
        """Text."""
        if not isinstance(self.data, str | None):
            raise self.wrong("text was expected")
        return default if self.data is None else self.data

    def plain(self) -> str:
        """Text, or a number or truth value as it would be written."""
        if isinstance(self.data, dict | list):
            raise self.wrong("text was expected")
        return "" if self.data is None else str(self.data)

    def flag(self) -> bool:
        """True or false; false where nothing is said."""
        if not isinstance(self.data, bool | None):
            raise self.wrong("must be true or false")
        return bool(self.data)

    def number(self, most: float) -> float:
        """A number from 0 to ``most``, or text of one; 0 where nothing is said."""
        if not self.given:
            return 0.0
        try:
            if isinstance(self.data, bool) or not isinstance(self.data, int | float | str):
                raise ValueError
            number = float(self.data)
        except (ValueError, OverflowError):
            raise self.wrong("a number was expected") from None
        if not math.isfinite(number) or not 0 <= number <= most:
            raise self.wrong(f"must be from 0 to {most:g}")
        return number

    def whole(self, default: int, most: int) -> int:
        """A whole number from 0 to ``most``."""
        if not self.given:
            return default
        if isinstance(self.data, bool) or not isinstance(self.data, int) or not 0 <= self.data <= most:
            raise self.wrong(f"a whole number from 0 to {most} was expected")
        return self.data

    def wrong(self, rule: str) -> InputError:
        """An error about it, with what was received."""
        received = {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(self.data)) or repr(self.data)
        return self.document.fail(self.where, f"{received[:60]} received; {rule}")


def missing(value: Value, name: str) -> InputError:
    """An error about a field that has to be there."""
    return value.document.fail((*value.where, name), "is missing")


def one_line(text: str) -> str:
    """The same, with names from somebody else's file in it: nothing may end the line, or command a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
