"""Applications that visitors bring: meshsim's own YAML, or any other format that a reader knows.

Read by the readers of the command line, kept for a week in a folder of this user's alone, so that the processes that
compute find them too; nothing in them is executed, and nothing is sent anywhere.
"""

from __future__ import annotations

import re
import shutil
import time
from hashlib import sha256
from pathlib import Path

from meshsim.app.runs import private_folder
from meshsim.app.terms import catalogued
from meshsim.formats.load import load_application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices

ENDINGS = ("yaml", "yml", "json", "jsonl", "toml")
MOST_MB = 8
MOST_SERVICES = 2000
"""As many as the control goes to."""
KEPT_S = 7 * 86_400.0
_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,80})@([0-9a-f]{12})")


def keep(file_name: str, data: bytes) -> str:
    """Read a file and keep it; what the control of applications calls it. MeshsimError, with lines, if it is none."""
    _forget_old_ones()
    stem, _, ending = Path(file_name.replace("\\", "/")).name.rpartition(".")
    if ending.lower() not in ENDINGS:
        raise MeshsimError(f"{file_name[:100]}: ends in {ending[:20]!r}; {choices(ending.lower(), ENDINGS)}")
    if len(data) > MOST_MB << 20:
        raise MeshsimError(f"{file_name[:100]}: {len(data) / 2**20:.1f} MiB received; at most {MOST_MB} MiB")
    name = (re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "application") + f".{ending.lower()}"
    folder = _home() / sha256(data).hexdigest()[:12]
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    try:
        services = len(load_application(path)[0].services)
        if services > MOST_SERVICES:
            raise MeshsimError(f"{name}: {services:,} services received; at most {MOST_SERVICES:,} here")
    except MeshsimError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise MeshsimError(str(error).replace(str(path), name)) from None
    return f"{name}@{folder.name}"


def known(application: str) -> bool:
    """In the catalogue, or kept here."""
    return application in catalogued("applications") or _path(application) is not None


def source(application: str) -> str:
    """What a study is given: the name in the catalogue, or the path of the file. MeshsimError if it is gone."""
    if "@" not in application:
        return application
    path = _path(application)
    if path is None:
        raise MeshsimError(f"{application}: is not kept here any more; choose the file again")
    return str(path)


def file_name(application: str) -> str:
    """As its owner calls it: for commands that are run where the file is."""
    return application.partition("@")[0]


def _path(application: str) -> Path | None:
    found = _ID.fullmatch(application)
    if found is None:
        return None
    path = _home() / found[2] / found[1]
    return path if path.is_file() else None


def _home() -> Path:
    return private_folder("meshsim-uploads")


def _forget_old_ones() -> None:
    for folder in _home().iterdir():
        if time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
