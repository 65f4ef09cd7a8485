"""Which of two data planes needs less, and how sure that is: behind a line, worked out when it is opened."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from meshsim.app import instant
from meshsim.app.cards import small
from meshsim.app.charts import chart
from meshsim.app.controls import Setting
from meshsim.app.theme import theme
from meshsim.figures.numbers import show_money_in
from meshsim.figures.odds import DOTS, WORDS, dots_figure, odds_figure, odds_sentence
from meshsim.studies.spending import DRAWS, Of, odds

NAMES: dict[str, Of] = {words: of for of, (words, _) in WORDS.items()}


def how_sure(setting: Setting) -> None:
    """An expander with the chance by number of services, and the dots where we are."""
    st.fragment(_expander)(setting)


def _expander(setting: Setting) -> None:
    show_money_in(setting.terms.shown_in)
    opened = st.expander("Which of two is cheaper, and how sure is that?", key="sure", on_change="rerun")
    if not opened.open:
        return
    with opened:
        if len(setting.dataplanes) < 2:
            st.info("Choose two data planes or more above.")
            return
        meshes = [name for name in setting.dataplanes if name != "no-mesh"]
        planes = meshes if len(meshes) > 1 else list(setting.dataplanes)
        for key in ("sure-a", "sure-b"):
            if st.session_state.get(key) not in planes:
                st.session_state.pop(key, None)
        first, second, third = st.columns(3)
        a = str(first.selectbox("Is", planes, index=len(planes) - 1, key="sure-a"))
        b = str(second.selectbox("cheaper than", planes, index=0, key="sure-b"))
        of = NAMES[str(third.selectbox("in", list(NAMES), key="sure-of"))]
        if a == b:
            st.info("Choose two different ones.")
            return
        spent = instant.spendings(setting, (a, b))
        known = [odds(one, other, of) for one, other in zip(spent[a], spent[b], strict=True)]
        here = next((one for one in known if one.services == setting.services), None)
        if here is None:
            st.info("That is not known yet, or one of the two cannot carry the load here.")
            return
        st.html(small(odds_sentence(a, b, here, of)))
        left, right = st.columns(2)
        with left:
            chart(
                odds_figure(a, b, known, of, here=setting.services, theme=theme()),
                alt=f"Chance that {a} needs less {WORDS[of][0]} than {b}: "
                + "; ".join(f"{100 * one.probability:.0f} % at {one.services:,} services" for one in known),
                key="odds",
            )
        with right:
            chart(
                dots_figure(a, b, here, of, theme=theme()),
                alt=f"{DOTS} dots, each as likely as any other. {odds_sentence(a, b, here, of)}",
                key="dots",
            )
        st.html(small(
            f"{DRAWS:,} cost books drawn at random within the errors of their costs; a cost that both pay is wrong "
            "by the same factor for both. Whether real meshes behave like the model is another question: see Trust."
        ))  # fmt: skip
        table = {"services": [one.services for one in known], "chance, %": [100 * one.probability for one in known]}
        st.dataframe(pd.DataFrame(table), hide_index=True)
