"""A visitor's own application: read and checked in memory of this server, never executed, never sent anywhere."""

from __future__ import annotations

import re
import tempfile
from functools import lru_cache
from pathlib import Path

import streamlit as st

from meshsim.app.text import listed, plain
from meshsim.formats.load import load_application
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.yaml_io import LARGEST_YAML

ENDINGS = ("yaml", "yml", "json", "toml")
KEY = "upload"


def uploader() -> Application | None:
    """Draw the field; the application that was put into it, or None. What is wrong with a file is said below it."""
    file = st.file_uploader(
        "meshsim application or isotope service graph",
        type=list(ENDINGS),
        max_upload_size=LARGEST_YAML >> 20,
        key=KEY,
        help="It stays on this machine: it is read, checked and forgotten when you leave.",
    )
    if file is None:
        return None
    try:
        application, notes = read(file.name, file.getvalue())
    except MeshsimError as error:
        st.error(f"```\n{str(error).replace('`', ' ')}\n```")
        return None
    if notes:
        st.markdown("**Assumed**\n" + listed(notes))
    else:
        st.markdown(f"{plain(application.name)}: {len(application.services):,} services.")
    return application


@lru_cache(maxsize=16)
def read(name: str, content: bytes) -> tuple[Application, tuple[str, ...]]:
    """A file by its name and bytes, and what the reader assumed. MeshsimError with lines of the file otherwise."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name).lstrip("-._") or "upload.yaml"
    with tempfile.TemporaryDirectory(prefix="meshsim-") as folder:
        path = Path(folder) / stem[-100:]
        path.write_bytes(content)
        try:
            application, notes = load_application(path)
        except MeshsimError as error:
            raise MeshsimError(str(error).replace(str(path), path.name)) from None
    return application, tuple(notes)
