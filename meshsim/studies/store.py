"""A folder of finished points: Parquet parts that are there whole or not at all, and all by one model.

    DIR/KEY.parquet        one row a part, named by the hash of everything that its numbers depend on
    DIR/_meshsim.json      which model computed them: another one is refused, so that nobody mixes two unawares
    DIR/_inputs/HASH.json  applications, data planes, machines and cost books as they were read, for ``replay``
    DIR/_studies/…         the keys that each study asks for, for ``sweep status``
    DIR/_claims/KEY        the lock of whoever computes that point now, and its part until it is whole
    DIR/_timings.jsonl     how long each point took; not in the parts, whose bytes are the same in every run

Readers of Parquet folders (pandas, DuckDB, Arrow) pass over names that begin with an underscore.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from meshsim.scenario.base import MeshsimError

try:
    import fcntl
except ImportError:  # Windows: two sweeps may then do the same point, which costs time and changes nothing
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

SCHEMA = "meshsim/store/1"
MANIFEST = "_meshsim.json"
TIMINGS = "_timings.jsonl"
STALE_S = 3600.0


@dataclass(frozen=True)
class Timing:
    """How long one point took on one core, and how many requests it simulated, warm-up included."""

    seconds: float
    requests: int


class Claim:
    """The right to compute one point. It ends with the process that holds it, however that ends."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file

    def give_back(self) -> None:
        """Somebody else may have it."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.file.close()


class Store:
    """See the module. Several processes may use one folder at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # Whose results these are --------------------------------------------------------------------------------------

    def open(self, model: str) -> None:
        """Make the folder, or enter the one that is there. MeshsimError if another model computed what it holds."""
        try:
            for inner in ("_claims", "_inputs", "_studies"):
                (self.folder / inner).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MeshsimError(f"out: {self.folder} received; the folder cannot be made ({error.strerror})") from None
        path = self.folder / MANIFEST
        if not path.exists():
            if any(self.folder.glob("*.parquet")):
                raise MeshsimError(
                    f"out: {self.folder} holds Parquet files and no {MANIFEST}: nobody can say which model computed "
                    "them; choose another folder"
                )
            # Whoever links first has made it; a second sweep that starts at this moment finds it.
            mine = self.folder / "_claims" / f"{MANIFEST}.{os.getpid()}"
            mine.write_text(json.dumps({"schema": SCHEMA, "model": model}) + "\n")
            try:
                os.link(mine, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                os.replace(mine, path)
            mine.unlink(missing_ok=True)
        self.refuse_other(model)
        self._clear()

    def _clear(self) -> None:
        """Remove what kills left half written beside the parts; writing such a file takes no second."""
        for path in (self.folder / "_claims").glob("*.json.*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
        for path in (self.folder / "_claims").glob("*"):  # killed after its part was there, before it let go
            if "." not in path.name and self.part(path.name).exists() and not self._is_locked(path):
                path.unlink(missing_ok=True)

    def refuse_other(self, model: str) -> None:
        """MeshsimError if what is there is by another model."""
        if (theirs := self.model()) != model:
            raise MeshsimError(
                f"out: the results in {self.folder} are by model {theirs}, and this is {model}; their numbers do not "
                "belong together. Choose another folder for the new ones"
            )

    def model(self) -> str:
        """Version of the model that computed what is there. MeshsimError if this is no such folder."""
        try:
            told = json.loads((self.folder / MANIFEST).read_text())
            if told["schema"] != SCHEMA:
                raise MeshsimError(f"{self.folder / MANIFEST}: schema: {told['schema']!r} received; must be {SCHEMA}")
            return str(told["model"])
        except FileNotFoundError:
            raise MeshsimError(f"{self.folder}: no results of a sweep are there ({MANIFEST} is missing)") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise MeshsimError(f"{self.folder / MANIFEST}: cannot be read; it was written by no sweep") from None

    # Parts --------------------------------------------------------------------------------------------------------

    def part(self, key: str) -> Path:
        """Where a point is kept."""
        return self.folder / f"{key}.parquet"

    def keys(self) -> set[str]:
        """Of all parts."""
        return {path.stem for path in self.folder.glob("*.parquet")}

    def errors(self, keys: Iterable[str]) -> dict[str, str]:
        """The error, or an empty text, of each of these points that is there and can be read.

        A part that cannot be read (a disk that lost power may leave one) counts as missing: it is computed again.
        """
        there = self.keys()
        found = {key: self._error(key) for key in keys if key in there}
        return {key: error for key, error in found.items() if error is not None}

    def _error(self, key: str) -> str | None:
        """None if the part is not there, or cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        try:
            column = pq.ParquetFile(self.part(key)).read(columns=["error"])["error"]
            return str(column[0].as_py() or "")
        except (pa.ArrowInvalid, OSError, KeyError):
            return None

    def row(self, prefix: str) -> dict[str, Any]:
        """The row whose key begins so. MeshsimError if there is none, or more than one."""
        import pyarrow.parquet as pq

        fitting = sorted(key for key in self.keys() if prefix and key.startswith(prefix))
        if len(fitting) != 1:
            some = f": {', '.join(key[:12] for key in fitting[:5])} …" if fitting else ""
            raise MeshsimError(
                f"row: {prefix!r} received; {len(fitting)} rows in {self.folder} have a key that begins so{some}"
            )
        row: dict[str, Any] = pq.read_table(self.part(fitting[0])).to_pylist()[0]
        return row

    def claim(self, key: str) -> Claim | None:
        """The right to compute a point; None while another process has it, or if it is done."""
        path = self.folder / "_claims" / key
        while True:
            file = path.open("ab")
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    file.close()
                    return None
            # Between opening and locking, its holder may have finished and removed the file: look again.
            try:
                same = os.fstat(file.fileno()).st_ino == path.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:
                break
            file.close()
        claim = Claim(path, file)
        if self.part(key).exists() and self._error(key) is not None:
            claim.give_back()
            return None
        return claim

    def claimed(self) -> int:
        """Points that somebody computes at this moment."""
        return sum(self._is_locked(path) for path in (self.folder / "_claims").glob("*") if "." not in path.name)

    def _is_locked(self, path: Path) -> bool:
        if fcntl is None:
            return False
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def keep(self, claim: Claim, table: pa.Table) -> None:
        """Write a part whole, then give it its name: nobody ever sees half of it."""
        import pyarrow.parquet as pq

        unfinished = claim.path.with_suffix(".part")  # its own for as long as the claim is held
        # One row: what makes large files small and quick to search would only cost time here.
        pq.write_table(table, unfinished, compression="none", use_dictionary=False, write_statistics=False)
        os.replace(unfinished, self.part(claim.path.name))
        claim.give_back()

    # Beside the parts ---------------------------------------------------------------------------------------------

    def keep_input(self, hash_: str, thing: dict[str, Any]) -> None:
        """A model file as it was read."""
        path = self.folder / "_inputs" / f"{hash_}.json"
        if not path.exists():
            self._write(path, json.dumps(thing, sort_keys=True, ensure_ascii=False) + "\n")

    def input(self, hash_: str) -> dict[str, Any]:
        """What ``keep_input`` kept."""
        path = self.folder / "_inputs" / f"{hash_}.json"
        try:
            thing: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            raise MeshsimError(f"{path}: missing or unreadable; this row cannot be run again without it") from None
        return thing

    def keep_study(self, hash_: str, name: str, file: str, keys: list[str]) -> None:
        """What a study asks for."""
        told = {"name": name, "file": file, "keys": keys}
        self._write(self.folder / "_studies" / f"{hash_}.json", json.dumps(told, indent=0) + "\n")

    def studies(self) -> list[dict[str, Any]]:
        """All that were started here, by name."""
        found = [json.loads(path.read_text()) for path in sorted((self.folder / "_studies").glob("*.json"))]
        return sorted(found, key=lambda study: (study["name"], study["file"]))

    def keep_timing(self, key: str, timing: Timing) -> None:
        """Told in one write, so that lines of several processes do not mix."""
        line = json.dumps({"key": key, "seconds": round(timing.seconds, 6), "requests": timing.requests}) + "\n"
        with (self.folder / TIMINGS).open("ab", buffering=0) as file:
            file.write(line.encode())

    def timings(self) -> list[Timing]:
        """Of every point computed here."""
        try:
            lines = (self.folder / TIMINGS).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a kill may cut the last line
                told = json.loads(line)
                found.append(Timing(float(told["seconds"]), int(told["requests"])))
        return found

    def _write(self, path: Path, text: str) -> None:
        mine = self.folder / "_claims" / f"{path.name}.{os.getpid()}"
        mine.write_text(text, encoding="utf-8")
        os.replace(mine, path)
