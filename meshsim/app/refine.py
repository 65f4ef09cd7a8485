"""Instant first, then simulated: start a question's simulation once the controls rest, and look in on it."""

from __future__ import annotations

import time

import streamlit as st

from meshsim.app import cards
from meshsim.app.answers import ANSWERS, Asked

REST_S = 0.8
"""Controls that were left alone for so long are at rest."""
POLL_S = 0.4


def refine(question: Asked, what: str, topic: str = "") -> None:
    """A line that says how far the simulation is. Draws the page again when it is done: then it is in ``ANSWERS``.

    ``topic``: of several questions of one page, which; a new one of the same topic takes the place of the former.
    """
    st.fragment(run_every=POLL_S)(_look_in)(question, what, topic)


def _look_in(question: Asked, what: str, topic: str) -> None:
    since = st.session_state.setdefault(f"at-rest-since {topic}", {})
    if since.get("question") != question:
        since.update(question=question, at=time.monotonic())
    if time.monotonic() - since["at"] < REST_S:
        st.html(cards.progress(0.0, "A simulation follows when the controls rest."))
        return
    visitor = st.session_state.setdefault("visitor", str(id(st.session_state)))
    work = ANSWERS.look_in(question, f"{visitor} {topic}")
    if work.wait(0):
        st.rerun()
    st.html(cards.progress(work.share, f"{what}: {work.share:.0%}"))
