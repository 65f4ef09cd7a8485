"""The web app: ``streamlit run app.py``. Everything is in meshsim/app."""

from meshsim.app.main import main

# Streamlit runs it under this name; processes that a study starts read it under another, and must not draw.
if __name__ == "__main__":
    main()
