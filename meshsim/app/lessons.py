"""Teacher mode: ``?lesson=NAME`` sets controls from a file, locks or hides some of them, and makes the type bigger.

Lessons come with the app (meshsim/app/learn/lessons), and from the folder of ``meshsim app --lessons FOLDER``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import streamlit as st
from pydantic import Field, model_validator

from meshsim.app.launch import LESSONS
from meshsim.app.terms import read_terms
from meshsim.app.text import plain
from meshsim.scenario import catalog
from meshsim.scenario.base import MeshsimError, Name, Strict
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import InputError, read, validate

SHIPPED = Path(__file__).parent / "learn" / "lessons"
LARGER = "<style>:root { font-size: 20px !important; }</style>"
Control = Literal["app", "services", "rps", "planes", "more", "terms", "tools"]


class Values(Strict):
    """Where the controls stand; what is left out, where they stand at first."""

    app: Name | None = None
    services: Annotated[int | None, Field(ge=1)] = None
    rps: Annotated[int | None, Field(ge=1)] = None
    planes: Annotated[list[Name] | None, Field(min_length=1)] = None
    requests: Annotated[int | None, Field(ge=1)] = None
    terms: Annotated[str, Field(description="As in a link's A: limit=100;cpu=50")] = ""

    @model_validator(mode="after")
    def _known(self) -> Values:
        for kind, names in (("applications", [self.app] if self.app else []), ("dataplanes", self.planes or [])):
            for name in names:
                if name not in catalog.names(kind):
                    raise ValueError(f"{name!r} received; {choices(name, catalog.names(kind))}")
        for name, value, steps in self._steps():
            if value is not None and value not in steps:
                raise ValueError(f"{name}: {value!r} received; choose from {', '.join(map(str, steps))}")
        if read_terms(self.terms) is None:
            raise ValueError(f"terms: {self.terms!r} received; such as limit=100;cpu=50 was expected")
        return self

    def _steps(self) -> list[tuple[str, int | None, tuple[int, ...]]]:
        """What the sliders can be set to."""
        from meshsim.app.controls import DEFAULT_APPLICATION, RATES, REQUESTS, all_sizes, own_size

        sizes = all_sizes(own_size(self.app or DEFAULT_APPLICATION))
        return [("rps", self.rps, RATES), ("requests", self.requests, REQUESTS), ("services", self.services, sizes)]


class Lesson(Strict):
    """One preset."""

    schema_: Annotated[Literal["meshsim/lesson/1"], Field(alias="schema")]
    name: Name
    title: str
    text: Annotated[str, Field(description="What to do, Markdown")]
    page: Annotated[Literal["explore", "compare", "run"], Field(description="Where it is meant for")] = "explore"
    values: Values = Field(default_factory=Values)
    seed: Annotated[int, Field(ge=1, le=5, description="The same for the whole class")] = 1
    lock: Annotated[list[Control], Field(description="Shown, but stay where they are")] = []
    hide: Annotated[list[Control], Field(description="Not shown")] = []
    larger_type: Annotated[bool, Field(description="For a projector")] = True

    @property
    def fixed(self) -> dict[str, Any]:
        """Values by control, terms apart: also those that are not locked, with which the lesson begins."""
        from meshsim.app.controls import defaults, own_size

        said = self.values.model_dump(exclude_none=True, exclude={"terms"})
        if "app" in said and "services" not in said:
            said["services"] = own_size(said["app"])
        terms = read_terms(self.values.terms)
        return {**defaults(), **said, "seed": self.seed, **({} if terms is None else terms.changes())}


def folders() -> list[Path]:
    """Where lessons are looked for; the teacher's own first."""
    own = os.environ.get(LESSONS)
    return [*([Path(own)] if own else []), SHIPPED]


def names() -> list[str]:
    """Of all lessons."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.yaml")})


def load(name: str) -> Lesson:
    """By its name. MeshsimError, with the line if the file is wrong."""
    if name not in names():
        raise MeshsimError(f"lesson: {name[:80]!r} received; {choices(name[:80], names())}")
    path = next(path for folder in folders() if (path := folder / f"{name}.yaml").is_file())
    return _load(path, path.stat().st_mtime)


@lru_cache(maxsize=64)
def _load(path: Path, changed: float) -> Lesson:
    try:
        return validate(Lesson, read(path))
    except InputError as error:
        raise MeshsimError(str(error).replace(str(path), path.name)) from None


def current() -> Lesson | None:
    """The one of the address, kept in it on every page; None without, or with a warning if there is no such."""
    name = st.query_params.get("lesson") or st.session_state.get("lesson")
    if not name:
        return None
    try:
        lesson = load(str(name))
    except MeshsimError as error:
        st.warning(plain(str(error)))
        return None
    if st.session_state.get("lesson") != name:
        st.session_state["lesson"] = name
        for key, value in lesson.fixed.items():
            st.session_state[key] = value
    st.query_params["lesson"] = str(name)
    return lesson


def banner(lesson: Lesson) -> None:
    """What to do, above the controls."""
    if lesson.larger_type:
        st.html(LARGER)
    hidden = "".join(f".st-key-control-{name} {{ display: none; }}" for name in lesson.hide)
    if hidden:
        st.html(f"<style>{hidden}</style>")
    st.markdown(f"**Lesson: {plain(lesson.title)}**  \n{lesson.text}")


def larger() -> bool:
    """Whether charts are drawn for a projector too."""
    name = st.session_state.get("lesson")
    try:
        return bool(name) and load(str(name)).larger_type
    except MeshsimError:
        return False
