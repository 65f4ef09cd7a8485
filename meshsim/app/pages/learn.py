"""Eight short chapters: read, predict, then see what the engines say. And tasks that are checked."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from meshsim.app import cards
from meshsim.app.charts import chart
from meshsim.app.components.traffic import traffic
from meshsim.app.controls import DEFAULT_RPS, RATES
from meshsim.app.learn.challenges import CHALLENGES
from meshsim.app.learn.chapter import Answer, Chapter, gap
from meshsim.app.learn.chapters import CHAPTERS
from meshsim.app.text import plain
from meshsim.app.theme import inked
from meshsim.figures.numbers import digits
from meshsim.scenario import catalog

PLAYGROUND = "challenges"
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
        [*BY_NAME, PLAYGROUND],
        default=CHAPTERS[0].name,
        required=True,
        key="chapter",
        bind="query-params",
        help="They build on each other; each takes a minute.",
    )
    if name == PLAYGROUND:
        _challenges()
        return
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


def _challenges() -> None:
    st.subheader("Challenges", anchor=False)
    st.markdown("Choose, check, think, choose again. Explore, Anatomy and Trust know the answers.")
    planes = catalog.names("dataplanes")
    for challenge in CHALLENGES:
        with st.container(border=True):
            st.markdown(f"**{plain(challenge.text)}**")
            with st.container(horizontal=True, vertical_alignment="bottom"):
                plane = st.selectbox("Data plane", planes, index=planes.index("no-mesh"), width=260,
                                     key=f"plane-{challenge.name}")  # fmt: skip
                rps = st.select_slider("Requests a second", RATES, value=DEFAULT_RPS, width=320,
                                       key=f"rps-{challenge.name}")  # fmt: skip
                asked = st.button("Check", key=f"check-{challenge.name}")
            if asked:
                rules = challenge.check(plane, rps)
                st.markdown("\n".join(
                    f"- {'✅' if rule.met else '❌'} {plain(rule.asked)}: {plain(rule.seen)}" for rule in rules
                ))  # fmt: skip
                solved = all(rule.met for rule in rules)
                st.markdown(f"**{'Solved.' if solved else 'Not yet.'}** From the analytic engine, an approximation.")


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
        chart(inked(answer.figure), alt=answer.alt, key=f"figure-{chapter.name}")
    with st.expander("The numbers as a table"):
        st.dataframe(pd.DataFrame(answer.rows), hide_index=True)
    st.markdown(f"From: {plain(answer.engine)}.")
    if chapter.try_this:
        st.markdown(f"**Next.** {chapter.try_this}")
