"""The web app: one page that opens on an answer. ``meshsim app``, or ``streamlit run app.py`` in a checkout."""
