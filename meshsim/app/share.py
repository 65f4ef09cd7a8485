"""The two buttons that carry a view away: a link with every value, and the question as Python, CLI or YAML."""

from __future__ import annotations

import streamlit as st

from meshsim.app import links
from meshsim.app.controls import Setting
from meshsim.app.terms import files


def share(setting: Setting, **more: str) -> None:
    """Draw them. ``more``: other values that the page's address carries."""
    with st.popover("Copy link", key="share"):
        st.markdown("This view exactly, with every value and the version of the model:")
        address = str(st.context.url or "http://localhost:8501/")
        st.code(links.permalink(address, setting, **more), language=None, wrap_lines=True)
    st.fragment(_code)(setting)


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
