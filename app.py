"""The web app: ``streamlit run app.py``. Everything is in meshsim/app."""

from meshsim.app.main import main

main()
