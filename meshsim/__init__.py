"""meshsim: a discrete-event simulator and teaching model of service-mesh data planes.

General layout, from the ground up (an import only ever points down):

    scenario/   what the user says: applications, data planes, machines, scenarios; YAML with line numbers
    costs/      cost books: what each small operation costs, its source and its uncertainty
    plan/       lowering: place pods, compose the hops of a data plane, flat arrays; also the static bill
    results/    histograms, intervals, attribution, self-audit, and the rows that are reported
    engines/    reference.py runs a plan with SimPy
    studies/    compare, grow, run, sweep
    formats/    other people's files: isotope service graphs; the HTML page
    figures/    one pure function a chart
    app/        the Streamlit page
    cli.py      the command line

The models themselves are data, in ``models/``.
"""

__version__ = "0.1.0"
