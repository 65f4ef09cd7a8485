"""The web app of an installed package; ``app.py`` in a checkout does the same."""

from meshsim.app.main import main

# Streamlit runs it under this name; processes that a study starts read it under another, and must not draw.
if __name__ == "__main__":
    main()
