"""The command line: reads options, calls a study, prints. Nothing is computed here.

Standard output carries the answer and nothing else; notes and progress go to the error stream. Exit codes: 0 done,
1 a mistake in meshsim itself, 2 a mistake in the input, 130 interrupted (what was finished is printed), 141 the reader
of the output has gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from meshsim import __version__
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Engine
from meshsim.studies import defaults

if TYPE_CHECKING:
    from rich.console import RenderableType

    from meshsim.studies.report import Reported

BROKEN, BAD_INPUT, INTERRUPTED, NO_READER = 1, 2, 130, 141
WIDTH = 100
"""Columns, where the output is no terminal."""

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(__version__, prog_name="meshsim")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an unexpected error.")
def cli() -> None:
    """Simulate service-mesh data planes: latency, CPU, memory and money as microservices grow."""


# Options that several commands share -------------------------------------------------------------------------------


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """'a,b,c'."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise click.BadParameter(f"{value!r} received; names with commas between them were expected")
    return names


def _sizes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """'10,30,100'."""
    try:
        return tuple(int(part) for part in value.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} received; whole numbers with commas between them were expected") from None


def _nodes(ctx: click.Context, param: click.Parameter, value: str) -> int | str:
    """'auto' or a number."""
    if value == "auto":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} received; a whole number or auto was expected") from None


def _factors(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """'PATTERN=FACTOR', each once or more."""
    factors: dict[str, float] = {}
    for part in value:
        pattern, equals, number = part.rpartition("=")
        try:
            factors[pattern.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not pattern.strip():
            raise click.BadParameter(f"{part!r} received; PATTERN=FACTOR was expected, such as '*.wakeup=0'")
    return factors


def _features(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return _names(ctx, param, value) or ()


_what_if_option = click.option("--what-if", callback=_factors, multiple=True, metavar="PATTERN=FACTOR",
                               help="Scale costs: '*.wakeup=0'; may be repeated (meshsim show published).")  # fmt: skip
_question_options = [
    click.option("--requires", callback=_features, metavar="A,B,…",
                 help="Features that a data plane must provide (meshsim capabilities)."),
    _what_if_option,
    click.option("--churn", "churn_per_minute", type=float, default=0.0, show_default=True, metavar="N",
                 help="Pods that start or stop in a minute."),
]  # fmt: skip


def _with(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Several options in the order of the list."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_rules_option = click.option(
    "--rules", type=click.Path(), metavar="FILE",
    help="YAML with resilience, rate_limits, balancing, connections, autoscaling, faults, as in a scenario.",
)  # fmt: skip


def _warmup(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """'auto' or a number."""
    if value is None or value == "auto":
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} received; a number or auto was expected") from None


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """'5%' or '0.05'."""
    if value is None:
        return None
    try:
        return float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} received; a share such as 5% or 0.05 was expected") from None


def _dataplanes_option(usual: tuple[str, ...] = defaults.DATAPLANES) -> Callable[[Command], Command]:
    return click.option("--dataplanes", callback=_names, default=",".join(usual), show_default=True, metavar="A,B,…",
                        help="Data planes: names (meshsim list) or paths.")  # fmt: skip


_policy_option = click.option("--policy", type=click.Choice(["L4", "L7"]), default="L7", show_default=True,
                              help="What the mesh is asked to do.")  # fmt: skip
_costs_option = click.option(
    "--costs", multiple=True, default=list(defaults.COSTS), show_default=True, metavar="BOOK",
    help="Cost book, name or path; may be repeated, the first that knows an operation wins.")  # fmt: skip
_machine_option = click.option("--machine", default=defaults.MACHINE, show_default=True,
                               help="Node type, name or path.")  # fmt: skip
_services_option = click.option("--services", type=int, metavar="N",
                                help="Scale the application to that many services first.")  # fmt: skip
_html_option = click.option("--html", type=click.Path(dir_okay=False), metavar="FILE",
                            help="Write a page that opens offline, too.")  # fmt: skip
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md) and nothing else.")

_warmup_option = click.option("--warmup", callback=_warmup, metavar="SHARE|auto",
                              help="Requests before the measured ones, as a share of them; auto (compare): "
                                   "until pilot runs have settled  [default: 0.1, more at high rates]")  # fmt: skip
_engine = {
    "type": click.Choice(get_args(Engine)),
    "help": "reference (SimPy) and compiled (numba) give the same answer; auto: which is there sooner; "
            "analytic (run, compare, grow): approximations, at once",
}  # fmt: skip
_engine_option = click.option("--engine", default="auto", show_default=True, **_engine)  # type: ignore[arg-type]
_run_engine_option = click.option(
    "--engine",
    **{**_engine, "help": f"{_engine['help']}  [default: the scenario's]"},  # type: ignore[arg-type]
)
_where_options = [
    _policy_option,
    click.option("--seed", type=int, default=1, show_default=True, help="Of all random numbers."),
    _costs_option,
    _machine_option,
    click.option("--nodes", callback=_nodes, default="auto", show_default=True, metavar="N|auto",
                 help="Nodes; auto: as few as the reservations allow."),
    click.option("--placement", type=click.Choice(["spread", "bin-pack"]), default="spread", show_default=True,
                 help="How pods are put on nodes."),
    *_question_options,
    _engine_option,
    click.option("--jobs", type=int, metavar="N",
                 help="Processes; -1: one a core  [default: one a core, one in all for a small study]"),
    _json_option,
]  # fmt: skip
_study_options = _with([_dataplanes_option(), _warmup_option, *_where_options])
"""What compare, grow, solve and sensitivity all take."""


def _of_option(what: str) -> Callable[[Command], Command]:
    return click.option("--of", type=click.Choice(["p50", "p90", "p99", "p999"]), default="p99", show_default=True,
                        help=what)  # fmt: skip


def _rps_option(more: str = "") -> Callable[[Command], Command]:
    return click.option("--rps", type=float, default=defaults.RPS, show_default=True,
                        help=f"Requests a second from outside{more}.")  # fmt: skip


# Studies -----------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("application")
@_study_options
@_rps_option()
@click.option("--requests", type=int, default=defaults.COMPARE_REQUESTS, show_default=True,
              help="Measured requests; p99.9 needs 10 000.")  # fmt: skip
@_services_option
@click.option("--settle", is_flag=True,
              help="Add replications until it is known of each pair which data plane has the lower --of.")  # fmt: skip
@click.option("--precision", callback=_share, metavar="SHARE",
              help="Add replications until --of is known so well: 5%.")  # fmt: skip
@_of_option("Quantile of --settle and --precision.")
@click.option("--budget", type=int, default=16, show_default=True, metavar="N", help="Replications at most.")
@_html_option
@_rules_option
def compare(application: str, as_json: bool, html: str | None, **options: Any) -> int:
    """Compare data planes under one load.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md).
    """
    from meshsim.studies import compare as study
    from meshsim.terminal import reports

    _refuse_unwritable(html)
    result = _with_progress("compare", lambda **live: study.compare(application, **options, **live))
    _print(result.to_json() if as_json else reports.comparison(result.report))
    _tell_of_missing(result, as_json)
    if html is not None:
        from meshsim.formats.page import comparison_page

        _write_page(html, comparison_page(result.report))
    return INTERRUPTED if result.partial else 0


@cli.command()
@click.argument("application")
@click.option("--services", callback=_sizes, default=",".join(map(str, defaults.SERVICES)), show_default=True,
              metavar="N,N,…", help="Numbers of services.")  # fmt: skip
@_study_options
@_rps_option(", at the application's own size")
@click.option("--rate", type=click.Choice(["per-service", "total"]), default="per-service", show_default=True,
              help="per-service: the rate grows with the services; total: it stays.")  # fmt: skip
@click.option("--requests", type=int, default=defaults.GROW_REQUESTS, show_default=True,
              help="Measured requests at each point; p99 needs 1 000.")  # fmt: skip
@click.option("--html", type=click.Path(dir_okay=False), metavar="FILE",
              help="Where the page goes  [default: ./meshsim-grow-APPLICATION.html]")  # fmt: skip
@click.option("--no-html", is_flag=True, help="Write no page.")
@_rules_option
def grow(application: str, as_json: bool, html: str | None, no_html: bool, **options: Any) -> int:
    """Show how each data plane grows with the number of services.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md).
    """
    from meshsim.formats.page import growth_page
    from meshsim.studies import grow as study
    from meshsim.terminal import reports

    if html is not None and no_html:
        raise click.UsageError("--html and --no-html are both given; choose one.")
    _refuse_unwritable(html)
    result = _with_progress("grow", lambda **live: study.grow(application, **options, **live))
    _print(result.to_json() if as_json else reports.growth(result.report))
    _tell_of_missing(result, as_json)
    if not no_html and result.rows:
        _write_page(html or f"meshsim-grow-{result.report.application}.html", growth_page(result.report))
    return INTERRUPTED if result.partial else 0


def _milliseconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """'20ms', '500us' or '1s'."""
    for unit, factor in (("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)):
        if value.endswith(unit):
            try:
                return float(value.removesuffix(unit)) * factor
            except ValueError:
                break
    raise click.BadParameter(f"{value!r} received; a time such as 20ms, 500us or 1s was expected")


@cli.command()
@click.argument("application")
@click.option("--find", type=click.Choice(["rps", "nodes", "replicas", "proxy-cpu-limit"]), default="rps",
              show_default=True,
              help="The highest rate, the fewest nodes or replicas, or the lowest CPU limit.")  # fmt: skip
@click.option("--target", "target_ms", required=True, callback=_milliseconds, metavar="TIME",
              help="The latency to keep: 20ms, 500us, 1s.")  # fmt: skip
@_of_option("Quantile that keeps it.")
@click.option("--service", metavar="NAME", help="Whose replicas are varied  [default: those of all services]")
@click.option("--proxy", metavar="NAME", help="Whose CPU limit is varied  [default: those of all proxies]")
@click.option("--budget", type=int, default=4, show_default=True, metavar="N",
              help="Replications of a trial that is too close to the target to say.")  # fmt: skip
@click.option("--confidence", type=float, default=0.95, show_default=True, metavar="SHARE",
              help="How sure an answer is to be: of the interval whose upper end keeps the target.")  # fmt: skip
@_study_options
@_rps_option("; with --find rps, where to begin")
@click.option("--requests", type=int, default=6_000, show_default=True, help="Measured requests of a trial.")
@_services_option
@_html_option
def solve(application: str, as_json: bool, html: str | None, **options: Any) -> int:
    """Find what it takes to keep a latency target, on each data plane.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md). The target is kept where the upper end of the quantile's interval keeps it.
    """
    from meshsim.studies.solve import solve as study
    from meshsim.terminal import reports

    _refuse_unwritable(html)
    report = _with_progress("solve", lambda **live: study(application, **options, **live))
    _print(report.model_dump_json(by_alias=True, indent=2) + "\n" if as_json else reports.solutions(report))
    if html is not None:
        from meshsim.formats.study_pages import solution_page

        _write_page(html, solution_page(report))
    return INTERRUPTED if report.partial else 0


@cli.command(short_help="Show which costs matter, and what their errors leave.")
@click.argument("application")
@_study_options
@_rps_option()
@_of_option("Quantile that is looked at.")
@click.option("--top", type=int, default=8, show_default=True, metavar="N", help="Costs to move one at a time.")
@click.option("--draws", type=int, default=40, show_default=True, metavar="N",
              help="Cost books drawn at random; 0: none.")  # fmt: skip
@click.option("--sobol", type=int, default=0, show_default=True, metavar="N",
              help="Base samples of Sobol indices, a power of two: N x (top + 2) runs. 0: none.")  # fmt: skip
@click.option("--requests", type=int, default=3_000, show_default=True, help="Measured requests of a run.")
@_services_option
@_html_option
def sensitivity(application: str, as_json: bool, html: str | None, **options: Any) -> int:
    """Show which costs and settings matter, and what the errors of the costs leave of every figure.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md).
    """
    from meshsim.studies.sensitivity import sensitivity as study
    from meshsim.terminal import reports

    _refuse_unwritable(html)
    report = _with_progress("sensitivity", lambda **live: study(application, **options, **live))
    _print(report.model_dump_json(by_alias=True, indent=2) + "\n" if as_json else reports.sensitivity(report))
    if html is not None:
        from meshsim.formats.study_pages import sensitivity_page

        _write_page(html, sensitivity_page(report))
    return INTERRUPTED if report.partial else 0


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """'2s' or '500ms'."""
    return None if value is None else _milliseconds(ctx, param, value) / 1000


def _rates(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """'100,200'."""
    try:
        return None if value is None else tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} received; rates with commas between them were expected") from None


@cli.command(short_help="Map where retries keep a system down: load x retry policy.")
@click.argument("application")
@click.option("--timeout", "timeout_ms", required=True, callback=_milliseconds, metavar="TIME",
              help="A caller gives an attempt up after it: 100ms.")  # fmt: skip
@click.option("--rps", callback=_rates, metavar="R,R,…",
              help="Requests a second from outside  [default: tenths of the capacity, up to 120 %]")  # fmt: skip
@click.option("--retries", callback=_names, default="0,1,2,3,3@20%", show_default=True, metavar="N,N@SHARE,…",
              help="Retry policies: retries, and after @ the retry budget.")  # fmt: skip
@click.option("--calls", type=click.Choice(["entry", "all"]), default="entry", show_default=True,
              help="Who retries: the client outside, or all callers.")  # fmt: skip
@click.option("--trigger", type=click.Choice(["spike", "slow-pod", "errors", "pod-crash"]), default="spike",
              show_default=True, help="What is done to it; all but spike to every pod of --service.")  # fmt: skip
@click.option("--size", type=float, metavar="X",
              help="Times the load (spike), times slower (slow-pod), share (errors)  [default: 5, 10, 1]")  # fmt: skip
@click.option("--service", metavar="NAME", help="Whose pods the trigger hits.")
@click.option("--calm", "calm_s", callback=_seconds, metavar="TIME", help="Before it  [default: 40 time-outs]")
@click.option("--trigger-for", "trigger_s", callback=_seconds, metavar="TIME", help="[default: 10 time-outs]")
@click.option("--within", "within_s", callback=_seconds, metavar="TIME", help="To recover  [default: 40 time-outs]")
@click.option("--good", callback=_share, default="90%", show_default=True, metavar="SHARE",
              help="It works while so many answers are good.")  # fmt: skip
@click.option("--replications", type=int, default=1, show_default=True, metavar="N",
              help="Runs of a cell, of which the worst counts.")  # fmt: skip
@_services_option
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR",
              help="Keep the runs in a folder as of sweep: an interrupted map goes on from there.")  # fmt: skip
@_dataplanes_option(("istio-sidecar",))
@_with(_where_options)
@_html_option
def metastable(application: str, as_json: bool, html: str | None, **options: Any) -> int:
    """Map load x retry policy: safe, vulnerable to a trigger, or stuck without one.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md). Vulnerable: it works, but a push that has long ended keeps it down, because of attempts
    that nobody waits for any more.
    """
    from meshsim.studies.metastable import metastable as study
    from meshsim.terminal import maps

    _refuse_unwritable(html)
    report = _with_progress("metastable", lambda **live: study(application, **options, **live))
    _print(report.model_dump_json(by_alias=True, indent=2) + "\n" if as_json else maps.metastability(report))
    if html is not None:
        from meshsim.formats.study_pages import metastability_page

        _write_page(html, metastability_page(report))
    return INTERRUPTED if report.partial else 0


@cli.command(short_help="Simulate one scenario and report all of it.")
@click.argument("scenario", type=click.Path())
@_html_option
@click.option(
    "--trace",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write sampled requests, too, in Chrome's trace format: opens in ui.perfetto.dev.",
)
@click.option(
    "--jaeger",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write sampled requests, too, as Jaeger JSON: opens in its JSON File upload.",
)
@_what_if_option
@_run_engine_option
@_json_option
def run(
    scenario: str,
    html: str | None,
    trace: str | None,
    jaeger: str | None,
    what_if: dict[str, float],
    engine: Any,
    as_json: bool,
) -> int:
    """Simulate one scenario and report all of it.

    SCENARIO: path of a scenario file (meshsim schema scenario).
    """
    from meshsim.studies.single import answer
    from meshsim.terminal import reports

    for path, option in ((html, "html"), (trace, "trace"), (jaeger, "jaeger")):
        _refuse_unwritable(path, option)
    result = _with_progress("run", lambda **live: answer(scenario, engine=engine, what_if=what_if, **live))
    _print(result.to_json() if as_json else reports.simulation(result))
    if html is not None:
        from meshsim.formats.page import comparison_page

        _write_page(html, comparison_page(result.report))
    if trace is not None or jaeger is not None:
        _write_traces(result, trace, jaeger)
    return INTERRUPTED if result.partial else 0


class _Sweep(click.Group):
    """``sweep STUDY …`` is short for ``sweep run STUDY …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@cli.group(cls=_Sweep, short_help="Compute many scenarios, only what is missing.")
def sweep() -> None:
    """Compute many scenarios into a folder, only what is missing.

    meshsim sweep STUDY --out DIR is short for meshsim sweep run STUDY --out DIR.
    """


@sweep.command("run")
@click.argument("study", type=click.Path())
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR",
              help="Folder of the results: one Parquet file a point.")  # fmt: skip
@click.option("--jobs", type=int, metavar="N", help="Processes  [default: one a core]")
@click.option("--backend", type=click.Choice(["processes", "dask"]), default="processes", show_default=True,
              help="Where to compute: on this machine, or on a Dask cluster (extra meshsim[dask]).")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster: tcp://host:8786.")
@click.option("--dry-run", is_flag=True,
              help="Only say how many points there are, how many are missing, how long they will take.")  # fmt: skip
@_json_option
def sweep_run(study: str, out: str, as_json: bool, **options: Any) -> int:
    """Compute the points of a study that DIR does not hold yet.

    STUDY: path of a study file (docs/studies.md, meshsim schema study). What ends a run, be it kill -9, costs at
    most the points under way. Several runs into one folder share the work.
    """
    from meshsim.studies.sweep import sweep as run_sweep
    from meshsim.terminal import sweeps

    done = _with_progress("sweep", lambda **live: run_sweep(study, out, **options, **live))
    _print(_plain(done.to_dict()) if as_json else sweeps.done(done))
    return INTERRUPTED if done.partial else 0


@sweep.command("status")
@click.argument("folder", type=click.Path(), metavar="DIR")
@_json_option
def sweep_status_(folder: str, as_json: bool) -> None:
    """Show what a folder of results holds, and what is missing.

    DIR: the folder that sweep --out named.
    """
    from meshsim.studies.sweep import sweep_status
    from meshsim.terminal import sweeps

    found = sweep_status(folder)
    _print(_plain(found) if as_json else sweeps.status(found))


@cli.command()
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.argument("row")
@_json_option
def replay(folder: str, row: str, as_json: bool) -> int:
    """Run one stored point again, and check that it comes out the same to the last bit.

    DIR: the folder that sweep --out named. ROW: the column key of the row, or enough of its beginning.
    """
    from meshsim.studies.replay import replay as run_again
    from meshsim.terminal import sweeps

    again = _with_progress("replay", lambda **live: run_again(folder, row, **live))
    _print(_plain(again.to_dict()) if as_json else sweeps.replay(again))
    if again.partial:
        return INTERRUPTED
    return 0 if again.identical else BROKEN


# Measuring this host -----------------------------------------------------------------------------------------------


@cli.command()
@_json_option
def doctor(as_json: bool) -> None:
    """Say what this host can measure, what it lacks, and the remedy."""
    from dataclasses import asdict

    from meshsim.measure.doctor import examine
    from meshsim.measure.experiment import GROUPS
    from meshsim.measure.session import experiments
    from meshsim.terminal import measuring

    found, every = examine(), experiments(GROUPS)
    if as_json:
        there = {one.name for one in found if one.ok}
        _print(
            _plain(
                {
                    "schema": "meshsim/doctor/1",
                    "capabilities": [{**asdict(one), "ok": one.ok} for one in found],
                    "experiments": [
                        {"name": e.name, "what": e.what, "needs": list(e.needs), "ok": set(e.needs) <= there}
                        for e in every
                    ],
                }
            )
        )
    else:
        _print(measuring.doctor(found, every))


@cli.command(short_help="Measure this host: a cost book of its own.")
@click.argument("groups", nargs=-1)
@click.option("--out", type=click.Path(dir_okay=False), default="my-host.yaml", show_default=True, metavar="FILE",
              help="The cost book; its raw samples go beside it, and are resumed from.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer points, shorter: everything within 3 minutes.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True,
              help="Interleaved rounds over everything; intervals need 3.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Throw away the samples that lie beside FILE, instead of completing them.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this experiment; may be repeated.")
@click.option("--attempts", type=click.IntRange(1, 10), default=3, show_default=True,
              help="How often a point that others disturbed is taken at most.")  # fmt: skip
@click.option("--list", "list_only", is_flag=True, help="Only list the experiments, and what this host lacks for them.")
@click.option("--clean", is_flag=True, help="Only remove what a killed run left behind.")
@_json_option
def measure(
    groups: tuple[str, ...],
    out: str,
    only: tuple[str, ...],
    list_only: bool,
    clean: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Measure this host and write a cost book.

    GROUPS: kernel, ebpf, proxy, wasm, container, or all (the default). An interrupted run goes on where it was.
    """
    from meshsim.measure import session
    from meshsim.terminal import measuring

    chosen = session.groups_named(groups)
    if clean:
        return _clean()
    session.refuse_unknown(only, chosen)
    if list_only:
        _print(measuring.listing([e for e in session.experiments(chosen) if not only or e.name in only]))
        return 0
    done = _with_progress("measure", lambda **live: session.measure(chosen, Path(out), only=only, **options, **live))
    _print(_plain(session.as_data(done)) if as_json else measuring.session(done))
    return 0 if done.complete else INTERRUPTED


def _clean() -> int:
    from meshsim.measure.ledger import clean as clean_up

    removed = clean_up()
    _print([*(f"removed {line}" for line in removed.lines), f"{len(removed.lines)} things removed."])
    return 0


@cli.command(short_help="Build a real mesh here, and compare it with its simulation.")
@click.option("--out", type=click.Path(dir_okay=False), default="my-mesh.json", show_default=True, metavar="FILE",
              help="The scoreboard; raw samples go beside it, and are resumed from.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Five scenarios, shorter: everything within 4 minutes.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Interleaved rounds  [default: 6, 3 with --quick]")
@click.option("--fresh", is_flag=True, help="Throw away the samples that lie beside FILE, instead of completing them.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this scenario, and the baseline; may be repeated.")
@click.option(
    "--costs",
    "books",
    multiple=True,
    metavar="BOOK",
    help="Cost book to predict with, name or path; may be repeated  [default: epyc-2-vcpu, published]",
)
@click.option("--attempts", type=click.IntRange(1, 10), default=2, show_default=True,
              help="How often a point that others disturbed is taken at most.")  # fmt: skip
@click.option("--show", "show_only", is_flag=True, help="Only show the scoreboard that comes with meshsim.")
@click.option("--rescore", is_flag=True, help="Only predict again what lies measured beside FILE, with today's model.")
@click.option("--list", "list_only", is_flag=True, help="Only list the scenarios, and what this host lacks for them.")
@click.option("--clean", is_flag=True, help="Only remove what a killed run left behind.")
@_json_option
def validate(
    out: str,
    only: tuple[str, ...],
    books: tuple[str, ...],
    show_only: bool,
    list_only: bool,
    clean: bool,
    rescore: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Build real meshes on this host, drive them, simulate the same files, and show both side by side.

    Network namespaces, servers, Envoys, iptables and eBPF programs of our own; all is removed at the end. An
    interrupted run goes on where it was.
    """
    from meshsim.results import scoreboard
    from meshsim.terminal import validation

    if show_only:
        from meshsim.scenario.catalog import scoreboards

        boards = [scoreboard.read(path) for path in scoreboards()]
        if not boards:
            raise MeshsimError("this meshsim comes without a scoreboard; meshsim validate --out FILE makes one")
        everything = _plain([board.model_dump(mode="json", by_alias=True) for board in boards])
        _print(everything if as_json else [part for board in boards for part in validation.scoreboard(board)])
        return 0
    if clean:
        return _clean()
    from meshsim.testbed import session
    from meshsim.testbed.scenarios import cases

    if list_only:
        _print(validation.listing(cases(only)))
        return 0
    if books:
        options["costs"] = books
    if rescore:
        again = books or session.COSTS
        done = _with_progress("validate", lambda **live: session.rescore(Path(out), costs=again, **live))
        _print(_plain(done.model_dump(mode="json", by_alias=True)) if as_json else validation.scoreboard(done))
        return 0 if done.complete else INTERRUPTED
    done = _with_progress("validate", lambda **live: session.validate(Path(out), only=only, **options, **live))
    _print(_plain(done.model_dump(mode="json", by_alias=True)) if as_json else validation.scoreboard(done))
    return 0 if done.complete else INTERRUPTED


@cli.group()
def costs() -> None:
    """Look into cost books."""


@costs.command("diff")
@click.argument("first")
@click.argument("second")
@_json_option
def costs_diff(first: str, second: str, as_json: bool) -> None:
    """Show two cost books side by side, as ratios with intervals.

    FIRST, SECOND: names (meshsim list) or paths.
    """
    from dataclasses import asdict

    from meshsim.costs.diff import diff
    from meshsim.scenario.catalog import load_book
    from meshsim.terminal import measuring

    found = diff(load_book(first), load_book(second))
    if as_json:
        plain = asdict(found) | {"ratios": [{**asdict(one), "differs": one.differs} for one in found.ratios]}
        _print(_plain({"schema": "meshsim/costs-diff/1", **plain}))
    else:
        _print(measuring.diff(found))


@costs.command("findings")
@click.argument("book")
@_json_option
def costs_findings(book: str, as_json: bool) -> None:
    """Show what was found beside costs: the verifier's limits, quotas, eBPF on the way, Wasm against containers.

    BOOK: name (meshsim list) or path of a measured book with its samples beside it.
    """
    from dataclasses import asdict

    from meshsim.measure.findings import findings
    from meshsim.scenario.catalog import load_book, resolve
    from meshsim.terminal import measuring

    found = findings(load_book(book), resolve("costs", book))
    if as_json:
        _print(_plain({"schema": "meshsim/findings/1", "findings": [asdict(one) for one in found]}))
    else:
        _print(measuring.findings(found))


# Models ------------------------------------------------------------------------------------------------------------


@cli.command("list")
@_json_option
def list_(as_json: bool) -> None:
    """List the models that come with meshsim."""
    from meshsim.terminal import models

    found = models.catalogue()
    _print(_plain(found) if as_json else models.catalogue_tables(found))


@cli.command(short_help="Show a model of any kind, with its sources.")
@click.argument("name")
@_json_option
def show(name: str, as_json: bool) -> None:
    """Show a model, with its sources: an application, data plane, machine, cost book or scenario.

    NAME: a name (meshsim list) or a path.
    """
    from meshsim.terminal import models

    thing, notes = models.find(name)
    _print(_plain(thing.model_dump(mode="json", by_alias=True)) if as_json else models.model(thing))
    for note in notes:
        click.echo(f"Note: {note}", err=True)


@cli.command(short_help="Turn a file in another format into a meshsim application.")
@click.argument("file")
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE",
              help="YAML that is written  [default: standard output]")  # fmt: skip
@_json_option
def convert(file: str, out: str | None, as_json: bool) -> None:
    """Turn a file in another format (docs/applications.md) into a meshsim application, to be edited.

    FILE: manifests, a service graph or traces. What the reader assumed, inferred or left out is in comments at the top.
    """
    from meshsim.formats.convert import as_yaml
    from meshsim.formats.load import load_application

    if out is not None:
        _refuse_unwritable(out, "out")
        if not out.endswith((".yaml", ".yml")):
            raise MeshsimError(f"out: {out} received; YAML is written, so its name must end in .yaml or .yml")
    application, notes = load_application(file)
    text = as_yaml(application, notes, Path(file).name)
    if out is not None:
        if Path(out).exists() and Path(file).exists() and Path(out).samefile(file):
            raise MeshsimError(f"out: {out} received; that is the file that is read")
        _write(out, text, "out")
        click.echo(f"Application: {out}", err=True)
    if as_json:
        data = application.model_dump(mode="json", by_alias=True)
        _print(_plain({"schema": "meshsim/convert/1", "application": data, "notes": notes}))
    elif out is None:
        _print(text)
    else:
        for note in notes:
            click.echo(f"Note: {note}", err=True)


@cli.command(short_help="Show which data plane can do what.")
@click.option("--dataplanes", callback=_names, metavar="A,B,…", help="Names or paths  [default: all that are shipped]")
@_json_option
def capabilities(dataplanes: tuple[str, ...] | None, as_json: bool) -> None:
    """Show which data plane can do what, what falls back to another proxy, and what is refused."""
    from meshsim.scenario.catalog import load_dataplane, names
    from meshsim.terminal import capabilities as shown

    planes = [load_dataplane(name) for name in dataplanes or names("dataplanes")]
    _print(_plain(shown.as_data(planes)) if as_json else shown.matrix(planes))


@cli.command(short_help="Show what data planes need before the first request.")
@click.argument("application")
@_dataplanes_option()
@_services_option
@_policy_option
@_costs_option
@_machine_option
@_with(_question_options)
@_json_option
def bill(application: str, as_json: bool, **options: Any) -> None:
    """Show what data planes need before the first request: memory, configuration, push work, and a pod's start-up.

    APPLICATION: a name (meshsim list), or the path of an application, or of a file in another format
    (docs/applications.md).
    """
    from meshsim.studies.bill import bill as study
    from meshsim.terminal import bills

    report = study(application, **options)
    _print(report.to_json() if as_json else bills.bills(report))


@cli.command(short_help="Print the JSON Schema of a file or report.")
@click.argument("kind", required=False)
def schema(kind: str | None) -> None:
    """Print the JSON Schema of a kind of file, for editors, or of a report.

    KIND: application, dataplane, machine, costs, scenario, study; compare, grow, solve, sensitivity,
    metastable. Without it, the kinds are listed.
    """
    from meshsim.terminal import schemas

    if kind is None:
        _print([f"{name:12} {what}" for name, what in schemas.KINDS.items()])
    else:
        _print(_plain(schemas.schema(kind)))


@cli.command()
@click.option("--port", type=int, default=8501, show_default=True, help="On localhost.")
@click.option("--browser/--no-browser", default=True, help="Open it in a browser.")
@click.option("--lessons", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Presets of your own for ?lesson=NAME: FOLDER/NAME.yaml (docs/app.md).")  # fmt: skip
def app(port: int, browser: bool, lessons: Path | None) -> int:
    """Start the web app on this machine."""
    from meshsim.app.launch import command, environment

    argv = command(port, open_browser=browser)
    return subprocess.run(argv, check=False, env=environment(lessons)).returncode


# Printing ----------------------------------------------------------------------------------------------------------


def _with_progress(what: str, study: Callable[..., Any]) -> Any:
    from meshsim.terminal.progress import interruptible, progress

    with interruptible() as should_stop, progress(what) as on_progress:
        return study(on_progress=on_progress, should_stop=should_stop)


def _print(answer: str | Iterable[RenderableType]) -> None:
    """Text as it is; tables as wide as the terminal, or 100 columns."""
    if isinstance(answer, str):
        click.echo(answer, nl=False)
    else:
        from rich.console import Console

        wide = sys.stdout.isatty() or "COLUMNS" in os.environ
        console = Console(width=None if wide else WIDTH, highlight=False, soft_wrap=False)
        for part in answer:
            console.print(part)
    sys.stdout.flush()


def _plain(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _tell_of_missing(result: Reported, as_json: bool) -> None:
    """The tables say it themselves; beside JSON it must not go unseen either."""
    if as_json:
        for one in result.report.refused:
            click.echo(f"No row for {one.dataplane} with {one.services} services: {one.reason}.", err=True)
        for note in result.report.notes:
            click.echo(f"Note: {note}.", err=True)
    if result.partial:
        click.echo(f"Interrupted: {len(result.rows)} runs were finished.", err=True)


def _refuse_unwritable(path: str | None, option: str = "html") -> None:
    """Before minutes of simulation, not after them."""
    if path is not None:
        folder = Path(path).parent
        reason = "" if folder.is_dir() else "there is no such folder" if not folder.exists() else "that is no folder"
        if not reason and not os.access(path if Path(path).exists() else folder, os.W_OK):
            reason = "permission denied"
        if reason:
            raise MeshsimError(f"{option}: {path} received; it cannot be written ({folder}: {reason})")


def _write_page(path: str, page: str) -> None:
    _write(path, page, "html")
    click.echo(f"Page: {path}", err=True)


def _write(path: str, text: str, option: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MeshsimError(f"{option}: {path} received; it cannot be written ({error.strerror})") from None


def _write_traces(result: Any, trace: str | None, jaeger: str | None) -> None:
    """The sampled requests of a simulation; an approximation has none."""
    from meshsim.formats.trace import trace_json
    from meshsim.formats.trace_jaeger import jaeger_json
    from meshsim.studies.single import Simulation

    if not isinstance(result, Simulation):
        raise MeshsimError("trace, jaeger: the analytic engine has no requests to write down; choose another --engine")
    records, plan = result.result.records, result.result.plan
    if trace is not None:
        _write(trace, trace_json(records, plan, seed=str(result.result.seed)), "trace")
        click.echo(f"Trace of {len(records):,} requests: {trace}", err=True)
    if jaeger is not None:
        _write(jaeger, jaeger_json(records, plan), "jaeger")
        click.echo(f"Trace of {len(records):,} requests: {jaeger}", err=True)


# The one place where errors become messages and exit codes ---------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; ``arguments`` default to those of the process. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # anywhere, not only before the command
    given = [argument for argument in given if argument != "--debug"]
    try:
        code = cli.main(given, prog_name="meshsim", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except MeshsimError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (meshsim … | head). Python must not complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except Exception as error:
        if debug:
            traceback.print_exc()
        words = " ".join(str(error).split())[:500]
        click.echo(f"internal error: {type(error).__name__}: {words}. --debug shows the traceback.", err=True)
        return BROKEN
