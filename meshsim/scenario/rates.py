"""A file of rates: what a production system saw, as two columns of CSV."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from meshsim.scenario.yaml_io import InputError

MOST_STEPS = 1_000_000
COLUMNS = ["at_s", "rps"]


def read_rates(name: str, base: Path | None = None) -> list[dict[str, Any]]:
    """Steps of a load from a CSV file with the columns at_s (seconds) and rps; a first line with these names may stand.

    Looked up in ``base`` first. InputError with file and line for anything else.
    """
    path = base / name if base is not None and (base / name).exists() else Path(name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [step for number, row in enumerate(csv.reader(file), 1) for step in _step(path, number, row)]
    except FileNotFoundError:
        raise InputError(f"load.rates_file: {path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"load.rates_file: {path}: cannot be read as CSV ({error})") from None


def _step(path: Path, number: int, row: list[str]) -> list[dict[str, Any]]:
    cells = [cell.strip() for cell in row]
    if not any(cells) or (number == 1 and cells == COLUMNS):
        return []
    if number > MOST_STEPS:
        raise InputError(f"{path}:{number}: a file of rates has at most {MOST_STEPS} lines")
    if len(cells) != 2:
        raise InputError(f"{path}:{number}: {len(cells)} cells received; a line has two, at_s and rps")
    values = []
    for cell in cells:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            raise InputError(f"{path}:{number}: {cell!r} received; must be a number, 0 or more")
        values.append(value)
    return [dict(zip(COLUMNS, values, strict=True))]
