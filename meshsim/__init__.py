"""meshsim: a discrete-event simulator and teaching model of service-mesh data planes.

General layout, from the ground up (an import only ever points down):

    scenario/   what the user says: applications, data planes, machines, scenarios; YAML with line numbers
    costs/      cost books: what each small operation costs, its source and its uncertainty
    plan/       lowering: place pods, compose the hops of a data plane, flat arrays; also the static bill
    results/    histograms, intervals, attribution, self-audit, and the rows that are reported
    engines/    reference.py runs a plan with SimPy, compiled/ as machine code to the same nanosecond,
                analytic/ estimates it without a simulation
    studies/    compare, grow, run, sweep, replay, solve, sensitivity, metastable, and the static bill
    formats/    other people's files: service graphs, manifests; the HTML page
    figures/    one pure function a chart
    app/        the Streamlit page
    cli.py      the command line

The models themselves are data, in ``models/``.
"""

__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshsim.costs.book import CostBook as CostBook
    from meshsim.costs.books import Costs as Costs
    from meshsim.formats.load import load_application as load_application
    from meshsim.scenario.application import Application as Application
    from meshsim.scenario.base import MeshsimError as MeshsimError
    from meshsim.scenario.catalog import load_book as load_book
    from meshsim.scenario.catalog import load_dataplane as load_dataplane
    from meshsim.scenario.catalog import load_machine as load_machine
    from meshsim.scenario.catalog import load_scenario as load_scenario
    from meshsim.scenario.catalog import names as names
    from meshsim.scenario.dataplane import DataPlane as DataPlane
    from meshsim.scenario.machine import Machine as Machine
    from meshsim.scenario.scale import scale as scale
    from meshsim.scenario.scenario import Scenario as Scenario
    from meshsim.studies.bill import bill as bill
    from meshsim.studies.compare import compare as compare
    from meshsim.studies.grow import grow as grow
    from meshsim.studies.metastable import metastable as metastable
    from meshsim.studies.replay import replay as replay
    from meshsim.studies.sensitivity import sensitivity as sensitivity
    from meshsim.studies.single import approximate as approximate
    from meshsim.studies.single import simulate as simulate
    from meshsim.studies.solve import solve as solve
    from meshsim.studies.sweep import sweep as sweep
    from meshsim.studies.sweep import sweep_status as sweep_status

_HOME = {
    "Application": "scenario.application",
    "CostBook": "costs.book",
    "Costs": "costs.books",
    "DataPlane": "scenario.dataplane",
    "Machine": "scenario.machine",
    "MeshsimError": "scenario.base",
    "Scenario": "scenario.scenario",
    "approximate": "studies.single",
    "bill": "studies.bill",
    "compare": "studies.compare",
    "grow": "studies.grow",
    "load_application": "formats.load",
    "load_book": "scenario.catalog",
    "load_dataplane": "scenario.catalog",
    "load_machine": "scenario.catalog",
    "load_scenario": "scenario.catalog",
    "metastable": "studies.metastable",
    "names": "scenario.catalog",
    "replay": "studies.replay",
    "scale": "scenario.scale",
    "sensitivity": "studies.sensitivity",
    "simulate": "studies.single",
    "solve": "studies.solve",
    "sweep": "studies.sweep",
    "sweep_status": "studies.sweep",
}
"""Where each public name lives: they are imported when first used, so that ``import meshsim`` is quick."""

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'meshsim' has no attribute {name!r}; it has {', '.join(sorted(_HOME))}")
    return getattr(import_module(f"meshsim.{_HOME[name]}"), name)
