"""Compare: one scenario is pinned as A, the controls are B; both on the same random numbers, and B less A."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from meshsim.app import cards, instant, uploads
from meshsim.app.answers import ANSWERS, PairQuestion, Side
from meshsim.app.charts import chart
from meshsim.app.controls import TERMS, Setting, all_sizes, controls, defaults, own_size, put
from meshsim.app.links import permalink
from meshsim.app.refine import refine
from meshsim.app.share import copy_link
from meshsim.app.terms import USUAL, read_terms
from meshsim.app.text import plain
from meshsim.app.theme import theme
from meshsim.figures import numbers as n
from meshsim.figures.pair import pair_alt, pair_figure, pair_sentence
from meshsim.figures.words import caveats, tail_alt
from meshsim.results.rows import Estimate, Row
from meshsim.scenario import catalog
from meshsim.scenario.base import MeshsimError
from meshsim.studies.pair import PairReport, pair_of_rows

PINNED = "a"
"""Name in the address of what is pinned: application, services, requests a second, data plane."""


def render() -> None:
    """Draw it once."""
    st.html(cards.STYLE)
    setting = controls()
    if setting is None:
        return
    a, b = _sides(setting)
    st.query_params[PINNED] = written(a)
    try:
        approximated = pair_of_rows(*(_row(side) for side in (a, b)))
    except MeshsimError as error:
        st.error(plain(str(error)))
        return
    question = PairQuestion(a, b)
    done = ANSWERS.finished(question)
    shown: PairReport = (done.report if done is not None else None) or approximated
    st.html(cards.answer(pair_sentence(shown.a, shown.b, shown.difference), [shown.b]))
    if done is None:
        refine(question, f"Simulating {setting.requests:,} requests over A and over B")
    elif done.error is not None:
        st.warning(plain(str(done.error)))
    else:
        st.html(cards.progress(1.0, "Simulated on the same random numbers, so what A and B have in common cancels."))
    sides = {"A": shown.a, "B": shown.b}
    for name, row in sides.items():
        for warning in caveats([row]):
            st.warning(plain(f"{name}: {warning}"))
    chart(
        pair_figure(shown.a, shown.b, shown.difference, theme=theme()),
        alt=pair_alt(shown.a, shown.b, shown.difference),
        key="pair",
    )
    tails = [
        row.model_copy(update={"dataplane": f"{name}, {row.dataplane}"}) for name, row in sides.items() if row.tail
    ]
    if tails:
        st.markdown(plain(tail_alt(tails)))
    st.table(_table(shown))
    copy_link(lambda address: permalink(address, setting, a=written(a), plane=b.dataplane))


def _sides(setting: Setting) -> tuple[Side, Side]:
    """What is pinned, and where the controls stand; draws the row that chooses them."""
    meshes = list(setting.dataplanes)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # The last: where this page opens first, A is the first of the meshes.
        plane = st.selectbox(
            "Data plane of B",
            meshes,
            index=len(meshes) - 1,
            key="plane",
            bind="query-params",
            persist_state="session",
            width=240,
            help="B is where the controls stand, over this data plane.",
        )
        b = Side(setting, str(plane))
        a = _pinned(setting)
        st.button("Pin B as A", key="pin", on_click=put, kwargs={"pinned": b}, help="Then move on from there.")
        st.button("Swap", key="swap", on_click=_swap, args=(a, b), help="A becomes B, and B becomes A.")
    st.markdown(f"**A**: {plain(described(a))}  \n**B**: {plain(described(b))}")
    return a, b


def _pinned(setting: Setting) -> Side:
    """From the session, else from the link, else the first mesh here."""
    if (before := st.session_state.get("pinned")) is not None:
        return Side(before.setting.at(requests=setting.requests, seed=setting.seed), str(before.dataplane))
    asked = st.query_params.get(PINNED)
    side: Side | None = None
    if asked is not None:
        side = read(asked, setting)
        if side is None:
            st.warning(f"The link asks for A = {plain(asked)}, which is no scenario here.")
    if side is None:
        meshes = [name for name in setting.dataplanes if name != "no-mesh"] or list(setting.dataplanes)
        side = Side(setting, meshes[0])
    st.session_state["pinned"] = side
    return side


def _swap(a: Side, b: Side) -> None:
    planes = st.session_state["planes"]
    put(
        pinned=b,
        app=a.setting.application,
        services=a.setting.services,
        rps=a.setting.rps,
        planes=planes if a.dataplane in planes else [*planes, a.dataplane],
        plane=a.dataplane,
        **{**{name: defaults()[name] for name in TERMS}, **a.setting.terms.changes()},
    )


def written(side: Side) -> str:
    """As the address carries it."""
    where = side.setting
    terms = where.terms.written()
    return f"{where.application},{where.services},{where.rps},{side.dataplane}" + (f",{terms}" if terms else "")


def read(text: str, setting: Setting) -> Side | None:
    """What ``written`` wrote; None if it is no scenario here."""
    parts = text.split(",")
    if len(parts) not in (4, 5) or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return None
    terms = read_terms(parts[4]) if len(parts) == 5 else USUAL
    if terms is None:
        return None
    application, services, rps, dataplane = parts[0], int(parts[1]), int(parts[2]), parts[3]
    known = uploads.known(application) and dataplane in catalog.names("dataplanes")
    if not known or not 1 <= rps <= 1_000_000:
        return None
    own = own_size(application)
    if services not in all_sizes(own):
        return None
    where = setting.at(application=application, own=own, services=services, rps=rps, terms=terms)
    return Side(where, dataplane)


def described(side: Side) -> str:
    """In words."""
    where = side.setting
    said = (
        f"{where.application} with {where.services:,} services at {where.rps:,} requests a second over {side.dataplane}"
    )
    return ". ".join([said, *(one.removesuffix(".") for one in where.terms.words())])


def _row(side: Side) -> Row:
    one = side.setting.at(dataplanes=(side.dataplane,))
    found = instant.comparison(one)
    if not found.rows:
        raise MeshsimError(found.refused[0].reason)
    return found.rows[0]


def _table(pair: PairReport) -> pd.DataFrame:
    a, b, gap = pair.a, pair.b, pair.difference
    lines = [(q, *(_said(getattr(one.latency_us, q)) for one in (a, b, gap))) for q in ("p50", "p90", "p99")]
    lines += [
        ("CPU", n.cores(a.cpu_cores.total), n.cores(b.cpu_cores.total), _said(gap.cpu_cores, n.cores)),
        ("memory", n.memory(a.memory_mib), n.memory(b.memory_mib), n.memory(gap.memory_mib)),
        ("a month", *(n.money(usd) for usd in (a.usd_month, b.usd_month, gap.usd_month))),
        ("power", *("–" if watts is None else n.watts(watts) for watts in _watts(pair))),
        ("pods", f"{a.pods:,}", f"{b.pods:,}", f"{gap.pods:,}"),
    ]
    return pd.DataFrame(lines, columns=["", "A", "B", "B less A"]).set_index("")


def _watts(pair: PairReport) -> tuple[float | None, ...]:
    return pair.a.power_watts, pair.b.power_watts, pair.difference.power_watts


def _said(estimate: Estimate, show: n.Show = n.latency) -> str:
    if estimate.value is None:
        return n.TOO_SHORT
    if estimate.low is None or estimate.high is None:
        return show(estimate.value)
    return f"{show(estimate.value)} [{n.span(estimate.low, estimate.high, show)}]"
