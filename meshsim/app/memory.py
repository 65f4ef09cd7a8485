"""What stays is left out of Streamlit's collection of garbage.

After every run of the script Streamlit looks through all objects there are (``gc.collect(2)``). With what the engines,
plotly and the models bring, that is 0.2 s of CPU for each step of a slider: four times the page itself.
"""

from __future__ import annotations

import gc
from functools import cache


@cache
def keep(occasion: str) -> None:
    """What is there by now is not looked through again. Once for each occasion, so that little garbage is kept too."""
    gc.collect()
    gc.freeze()
