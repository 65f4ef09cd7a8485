"""What Explore and Report both begin with: the controls, and the answer to them, instant first, then simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from meshsim.app import cards, instant
from meshsim.app.answers import ANSWERS, Question
from meshsim.app.controls import Setting, controls
from meshsim.app.refine import refine
from meshsim.app.text import plain
from meshsim.figures import headline
from meshsim.figures.words import caveats
from meshsim.results.rows import ComparisonReport
from meshsim.scenario.base import MeshsimError


@dataclass(frozen=True)
class Answered:
    """What the page goes on with."""

    setting: Setting
    approximated: ComparisonReport
    simulated: ComparisonReport | None

    @property
    def shown(self) -> ComparisonReport:
        """The best there is."""
        return self.simulated or self.approximated


def answered(
    tools: Callable[[Setting], None], how_sure: Callable[[ComparisonReport], str] | None = None
) -> Answered | None:
    """Draw both; None where there is nothing to go on with, which the page then says. ``how_sure``: a line below the
    answer, once it is simulated."""
    st.html(cards.STYLE)
    setting = controls(tools)
    if setting is None:
        return None
    try:
        approximated = instant.comparison(setting)
    except MeshsimError as error:
        st.error(plain(str(error)))
        return None
    question = Question(setting)
    done = ANSWERS.finished(question)
    found = Answered(setting, approximated, done.report if done is not None else None)
    shown = found.shown
    st.html(cards.answer(headline(shown), shown.rows))
    if done is None:
        refine(question, f"Simulating {setting.requests:,} requests over each data plane")
    elif done.error is not None:
        st.warning(plain(str(done.error)))
    elif how_sure is not None:
        st.html(cards.progress(1.0, how_sure(shown)))
    for warning in caveats(shown.rows, shown.partial):
        st.warning(plain(warning))
    return found
