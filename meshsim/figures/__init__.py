"""One pure function a chart: a report in, a Plotly figure as a plain dict out. And the answer in words."""

from meshsim.figures.attribution import attribution_figure
from meshsim.figures.comparison import comparison_figure
from meshsim.figures.growth import growth_figure
from meshsim.figures.layout import PLOTLY_CONFIG, as_figure
from meshsim.figures.metastability import metastability_figure
from meshsim.figures.metrics import METRICS
from meshsim.figures.solving import solution_figure
from meshsim.figures.tail import tail_figure
from meshsim.figures.tornado import tornado_figure
from meshsim.figures.verdicts import verdict_figure
from meshsim.figures.words import alt_text, headline

__all__ = [
    "METRICS",
    "PLOTLY_CONFIG",
    "alt_text",
    "as_figure",
    "attribution_figure",
    "comparison_figure",
    "growth_figure",
    "headline",
    "metastability_figure",
    "solution_figure",
    "tail_figure",
    "tornado_figure",
    "verdict_figure",
]
