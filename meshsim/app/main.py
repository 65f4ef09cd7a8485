"""What Streamlit runs: page settings, then the page."""

import streamlit as st

from meshsim.app.page import render


def main() -> None:
    """Draw the page once; Streamlit calls this again after every click."""
    # An emoji, because Streamlit's own icons are fetched from a font server.
    st.set_page_config(page_title="meshsim", page_icon="🕸️", layout="wide")
    render()


if __name__ == "__main__":
    main()
