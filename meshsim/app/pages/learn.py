"""Eight short chapters: read, predict, then see what the engines say."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from meshsim.app import cards
from meshsim.app.components.traffic import traffic
from meshsim.app.learn.chapter import Answer, Chapter, gap
from meshsim.app.learn.chapters import CHAPTERS
from meshsim.app.text import plain
from meshsim.app.theme import inked
from meshsim.figures import PLOTLY_CONFIG
from meshsim.figures.numbers import digits

BY_NAME = {chapter.name: chapter for chapter in CHAPTERS}


@lru_cache(maxsize=len(CHAPTERS))
def answered(name: str) -> Answer:
    """The engines' answer; the same for every visitor."""
    return BY_NAME[name].answer()


def render() -> None:
    """Draw the page once."""
    st.html(cards.STYLE)
    st.header("Learn: predict first, then see", anchor=False)
    name = st.segmented_control(
        "Chapter",
        list(BY_NAME),
        default=CHAPTERS[0].name,
        required=True,
        key="chapter",
        bind="query-params",
        help="They build on each other; each takes a minute.",
    )
    number = next(at for at, chapter in enumerate(CHAPTERS) if chapter.name == name)
    chapter = CHAPTERS[number]
    st.subheader(f"{number + 1}. {chapter.title}", anchor=False)
    left, right = st.columns([1, 1.15], gap="large")
    with left:
        st.markdown(chapter.text)
        if chapter.scene is not None:
            scene = chapter.scene()
            traffic(scene.application, scene.dataplane, scene.rps, 240, key=f"traffic-{chapter.name}")
            st.markdown(scene.said)
    with right:
        _predict(chapter)


def _predict(chapter: Chapter) -> None:
    asked = chapter.guess
    st.markdown(f"**Your guess: {plain(asked.question)}**")
    numbers = (asked.low, asked.high, asked.start, asked.step)
    kind = int if all(float(number).is_integer() for number in numbers) else float
    guess = st.slider(f"In {asked.unit}", *map(kind, numbers), key=f"guess-{chapter.name}")
    shown = f"revealed-{chapter.name}"
    if st.button("Reveal", type="primary", key=f"reveal-{chapter.name}"):
        st.session_state[shown] = True
    if not st.session_state.get(shown):
        return
    with st.spinner("Asking the engines …"):
        answer = answered(chapter.name)
    st.markdown(
        f"#### It is {digits(answer.value)} {plain(asked.unit)}. You said {digits(guess)}: {gap(guess, answer.value)}."
    )
    st.markdown(plain(answer.said))
    if answer.closed_form:
        st.markdown(f"**Theory.** {plain(answer.closed_form)}")
    if answer.figure is not None:
        st.plotly_chart(inked(answer.figure), config=PLOTLY_CONFIG, alt=answer.alt, key=f"figure-{chapter.name}")
    with st.expander("The numbers as a table"):
        st.dataframe(pd.DataFrame(answer.rows), hide_index=True)
    st.markdown(f"From: {plain(answer.engine)}.")
    if chapter.try_this:
        st.markdown(f"**Next.** {chapter.try_this}")
