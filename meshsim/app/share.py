"""The two buttons that carry a view away: a link with every value, and the question as Python, CLI or YAML."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from meshsim.app import links
from meshsim.app.controls import Setting
from meshsim.app.terms import files


def share(setting: Setting, more: Callable[[], dict[str, str]] = dict) -> None:
    """Draw them. ``more``: other values that the page's address carries, asked for when somebody looks."""
    copy_link(lambda address: links.permalink(address, setting, **more()))
    st.fragment(_code)(setting)


def copy_link(link: Callable[[str], str]) -> None:
    """The button that shows ``link`` of the page's address, as things are when it is opened."""
    st.fragment(_link)(link)


def _link(link: Callable[[str], str]) -> None:
    popover = st.popover("Copy link", key="share", on_change="rerun")
    if not popover.open:
        return
    with popover:
        st.markdown("This view exactly, with every value and the version of the model:")
        st.code(link(str(st.context.url or "http://localhost:8501/")), language=None, wrap_lines=True)


def _code(setting: Setting) -> None:
    popover = st.popover("Copy as code", key="code", on_change="rerun")
    if not popover.open:
        return
    with popover:
        simulated = st.toggle("Simulated, not approximated", value=True, key="code-simulated")
        engine: links.Answered = "auto" if simulated else "analytic"
        python, shell, yaml = st.tabs(["Python", "Command line", "YAML"])
        python.code(links.as_python(setting, engine), language="python", wrap_lines=True)
        shell.code(links.as_shell(setting, engine), language="shell", wrap_lines=True)
        with yaml:
            plane = st.selectbox("Data plane", setting.dataplanes, key="code-plane")
            st.markdown("One scenario, for `meshsim run FILE`:")
            st.code(links.as_yaml(setting, str(plane), engine), language="yaml", wrap_lines=True)
            for name, text in files(setting.terms, (str(plane),)).items():
                st.markdown(f"which reads `{name}`:")
                st.code(text, language="yaml", wrap_lines=True)
