"""An application in any format as YAML of ours, to be edited; what its reader said stands in comments at the top."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from meshsim.formats.fields import one_line
from meshsim.scenario.application import Application
from meshsim.scenario.yaml_io import write_yaml

WIDTH = 110


def as_yaml(application: Application, notes: Sequence[str], source: str) -> str:
    """Text of a file that reads as the same application; ``source`` is the name of the file that it comes from."""
    head = [f"From {one_line(source)}." + (" The reader says:" if notes else "")]
    told = [line for note in notes for line in textwrap.wrap(note, WIDTH, initial_indent="* ", subsequent_indent="  ")]
    comments = "".join(f"# {line}\n" for line in [*head, *told])
    return comments + write_yaml(application)
