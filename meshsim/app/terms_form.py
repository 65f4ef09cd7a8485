"""The form behind "Prices and sidecars": node type, price, currency, and what each sidecar reserves and may use."""

from __future__ import annotations

from typing import Any

import streamlit as st

from meshsim.app.terms import CODE, DATE, RANGES, Terms, catalogued, node_type
from meshsim.app.text import plain
from meshsim.scenario.machine import Machine
from meshsim.studies import defaults


def terms_form(locked: bool) -> Terms:
    """Draw the form and read it. What cannot be is said, and left as in the catalogue; ``locked``: by a lesson."""
    bound: dict[str, Any] = {"bind": None if locked else "query-params", "persist_state": "session"}
    machines = catalogued("machines")
    box = st.container(key="control-terms", width="content")
    with box, st.popover("Prices and sidecars", disabled=locked), st.form("terms-form", border=False):
        st.selectbox(
            "Node type",
            machines,
            index=machines.index(defaults.MACHINE),
            key="node",
            help="What a month costs is the share of such nodes that the application and its mesh take.",
            **bound,
        )
        left, right = st.columns(2)
        node = node_type(st.session_state.get("node", defaults.MACHINE))
        with left:
            _number(
                "hour", "Price of a node, an hour", f"{node.usd_hour:g} USD, {node.price_date}", "%.4f", 0.01, bound
            )
            _number("per_usd", "Of it for a US dollar", "1 for USD", "%.4f", 0.01, bound)
        with right:
            st.text_input("Currency", "USD", 3, key="currency", help="Three letters: USD, EUR, GBP …", **bound)
            st.text_input("Prices of", key="priced", placeholder=node.price_date, help="YYYY-MM-DD", **bound)
        st.markdown("**Each proxy in a pod**; empty: as in the file of its data plane")
        first, second, third = st.columns(3)
        with first:
            _number("cpu", "Reserves, mCPU", "as it is", "%d", 50, bound)
        with second:
            _number("memory", "Reserves, MiB", "as it is", "%d", 32, bound)
        with third:
            _number("limit", "CPU limit, mCPU", "none", "%d", 50, bound)
        # Not primary: a popover hangs on the page's body, without the colour scheme that style goes by.
        st.form_submit_button("Apply")
    terms, wrong = checked({name: st.session_state.get(name) for name in Terms.__dataclass_fields__}, node)
    for one in wrong:
        st.warning(plain(one))
    return terms


def checked(given: dict[str, Any], node: Machine) -> tuple[Terms, list[str]]:
    """What the form holds as terms, and a sentence for each value that cannot be."""
    wrong: list[str] = []
    currency, day = str(given["currency"] or "USD").strip().upper(), str(given["priced"] or "").strip()
    per_usd = given["per_usd"]
    if not CODE.fullmatch(currency):
        wrong.append(f"currency: {currency} received; three letters such as EUR were expected. Money stays in USD.")
        currency, per_usd = "USD", None
    elif currency != "USD" and not per_usd:
        wrong.append(f"currency: {currency} needs how much of it a US dollar is. Money stays in USD until then.")
        currency = "USD"
    elif currency == "USD" and per_usd not in (None, 1.0):
        wrong.append(f"of it for a US dollar: {per_usd:g} received; of USD it is 1.")
        per_usd = None
    if day and not DATE.fullmatch(day):
        wrong.append(f"prices of: {day} received; a day such as 2026-11-25 was expected.")
        day = ""
    hour = float(given["hour"] or 0.0)
    if hour and not day:
        wrong.append(f"prices of: say of which day the own price is; until then it is shown as of {node.price_date}.")
    cpu, memory, limit = (int(given[name] or 0) for name in ("cpu", "memory", "limit"))
    if limit and cpu > limit:
        wrong.append(f"CPU limit: {limit}m is less than the {cpu}m reserved, which Kubernetes refuses; {limit}m it is.")
        cpu = limit
    return Terms(node.name, hour, day, currency, float(per_usd or 1.0), cpu, memory, limit), wrong


def _number(key: str, label: str, placeholder: str, format: str, step: float, bound: dict[str, Any]) -> None:
    low, high = RANGES[key]
    whole = format == "%d"
    kind = int if whole else float
    st.number_input(
        label, kind(low), kind(high), None, kind(step), format=format, key=key, placeholder=placeholder, **bound
    )
