"""Istio's benchmark: the page says what the model says, and the arrivals alone make the difference."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "istio.md"


@pytest.fixture(scope="module")
def istio() -> ModuleType:
    spec = importlib.util.spec_from_file_location("istio_page", ROOT / "docs" / "istio.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["istio_page"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def one(istio: ModuleType, **wanted: Any) -> Any:
    return next(row for row in istio.rows() if all(getattr(row, name) == value for name, value in wanted.items()))


def test_all_rows_are_read_and_half_of_each_file_is_only_shown(istio: ModuleType) -> None:
    rows = istio.rows()
    for data, count in (("1.2, June 8", 35), ("1.2, June 28", 35), ("1.7", 82)):
        of_file = [row for row in rows if row.data == data]
        assert len(of_file) == count
        assert sum(row.fitted for row in of_file) == (count + 1) // 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"data": "1.2, June 8", "mode": "base", "connections": 16},
        {"data": "1.2, June 8", "mode": "both", "filters": "nomixer", "connections": 16},
        {"data": "1.7", "filters": "none", "qps": 3000},
    ],
    ids=["base", "bursts", "jitter"],
)
def test_a_row_of_the_page_is_what_the_model_says(istio: ModuleType, wanted: dict[str, Any]) -> None:
    book, bed, _ = istio.shipped()
    row = one(istio, **wanted)
    answer = istio.predict(row, bed, book)
    lines = list(istio.every_row(istio.Page(book, bed, {}, [(row, answer)])))
    assert lines[4] in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_same_costs_give_both_laws_and_the_arrivals_decide_which(istio: ModuleType) -> None:
    book, bed, _ = istio.shipped()
    few, many = (one(istio, data="1.7", filters="none", qps=1000, connections=c) for c in (4, 64))

    def growth(jitter: bool) -> float:
        medians = [
            istio.predict(istio.Row(**{**vars(row), "jitter": jitter}), bed, book, 1500).predicted[0]
            for row in (few, many)
        ]
        return float(medians[1] / medians[0])

    assert growth(jitter=False) > 4.0  # published for 1.2: 7.1
    assert growth(jitter=True) < 1.5  # published for 1.7: 1.06


@pytest.mark.statistical
def test_the_page_is_up_to_date(istio: ModuleType) -> None:
    answers = istio.answered()
    assert PAGE.read_text(encoding="utf-8") == istio.page(answers)
    assert istio.FIGURE.read_text(encoding="utf-8") == istio.drawing(answers)
