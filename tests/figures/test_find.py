"""Expressions that find services."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.figures.find import FIELDS, LONGEST, finder
from meshsim.scenario.base import MeshsimError

CART = {"name": "Cart-1", "rps": 20.0, "cpu": 0.5, "util": 0.8, "share": 0.1, "layer": 2, "calls": 0, "callers": 3}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", False),
        ("   ", False),
        ("cart", True),
        ("redis", False),
        ("name ~ cart", True),
        ("name !~ cart", False),
        ("name = cart-1", True),
        ("name != cart-1", False),
        ("util > 0.7", True),
        ("util>=80%", True),
        ("util > 80%", False),
        ("layer = 2", True),
        ("layer != 2", False),
        ("rps < 20", False),
        ("rps <= 20", True),
        ("UTIL > .5 AND callers = 3", True),
        ("util > 0.9 or name ~ cart", True),
        ("util > 0.9 or name ~ cart and calls = 1", False),
        ("calls = 0 and layer = 1 or share = 10%", True),
    ],
)
def test_what_is_meant(text: str, meant: bool) -> None:
    assert finder(text)(CART) is meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("utl > 0.7", "'utl' received; did you mean 'util'?"),
        ("util ~ 0.7", "util ~ received; a number can be compared with"),
        ("name > cart", "name > received; a name can be compared with"),
        ("util > high", "'high' received; must be a number, such as 0.7 or 70%"),
        ("util > 0.7 and", "write FIELD OPERATOR VALUE"),
        ("__import__('os')", "write FIELD OPERATOR VALUE"),
        ("util > 1e9999999", "must be a number"),
        ("a" * (LONGEST + 1), f"at most {LONGEST}"),
    ],
)
def test_what_is_not_understood_is_said_with_what_would_be(text: str, said: str) -> None:
    with pytest.raises(MeshsimError) as error:
        finder(text)
    assert said in str(error.value)


@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(MeshsimError):
        assert finder(text)(CART) in (True, False)


def test_every_field_can_be_asked() -> None:
    for name in FIELDS:
        assert finder(f"{name} = cart-1" if name == "name" else f"{name} >= 0")(CART)
