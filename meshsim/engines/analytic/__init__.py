"""The analytic engine: means, quantiles, CPU, utilisation and saturation of a plan without simulating it.

Queueing approximations on the same plan that the other engines run (Whitt, "The queueing network analyzer", 1983, is
the ancestor): the programs are read once and become sparse matrices (``model``), stations are a fixed point
(``solver``), the times of calls add up from the leaves to the entries as cumulants (``moments``). What it leaves out or
is not good at, it says: ``AnalyticResult.outside`` and ``AnalyticResult.trust``.
"""

from __future__ import annotations

from meshsim.engines.analytic.answer import AnalyticResult, saturation_rps, solve
from meshsim.engines.analytic.limits import Quantity

__all__ = ["AnalyticResult", "Quantity", "saturation_rps", "solve"]
