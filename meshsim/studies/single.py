"""One scenario in full: its row, each entry, each call, and where its memory goes; simulated or approximated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from meshsim import __version__
from meshsim.engines import analytic, select
from meshsim.engines.analytic import AnalyticResult
from meshsim.plan.place import PlacementError
from meshsim.plan.plan import Plan
from meshsim.results.intervals import estimate_quantile, mean_interval
from meshsim.results.rows import ComparisonReport, Provenance, Row
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.capabilities import check_features
from meshsim.scenario.catalog import load_scenario
from meshsim.scenario.scenario import Cluster, Engine, Load, Run, Scenario
from meshsim.scenario.yaml_io import read
from meshsim.studies.blast import blasts
from meshsim.studies.estimate import estimated_row
from meshsim.studies.inputs import Nodes, Placement, Policy, plain
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.reality import with_reality
from meshsim.studies.report import Reported
from meshsim.studies.row import QUANTILES, make_row
from meshsim.studies.setup import Prepared, checked, prepare

if TYPE_CHECKING:
    import pandas as pd


@dataclass(repr=False)
class Simulation(Reported):
    """One finished run. ``result`` and ``prepared`` hold everything that the tables are made from."""

    report: ComparisonReport
    prepared: Prepared
    result: RunResult

    def entries(self) -> pd.DataFrame:
        """One line an entry of the application: requests, mean and quantiles of its latency, us, with intervals."""
        import pandas as pd

        lines = []
        for name, histogram in zip(self.result.plan.call_names, self.result.entry_latency, strict=False):
            line: dict[str, Any] = {"entry": name, "requests": histogram.total}
            estimates = {"mean": mean_interval(histogram)} if histogram.total else {}
            if histogram.total:
                estimates |= {key: estimate_quantile(histogram, q) for key, q in QUANTILES.items()}
            for key in ("mean", *QUANTILES):
                estimate = estimates.get(key)
                line[f"{key}_us"] = estimate.value if estimate else None
                line[f"{key}_low_us"] = estimate.low if estimate else None
                line[f"{key}_high_us"] = estimate.high if estimate else None
            lines.append(line)
        return pd.DataFrame(lines)

    def timeline(self) -> pd.DataFrame:
        """Answers over time, in bins of equal width: ``until_s``, ``good_rps``, ``failed_rps``, ``mean_us``."""
        import pandas as pd

        return pd.DataFrame(self.result.timeline.rows())

    def calls(self) -> pd.DataFrame:
        """One line a call of the application: how often, and its latency as the caller sees it, us."""
        import pandas as pd

        lines = []
        for name, histogram in zip(self.result.plan.call_names, self.result.call_latency, strict=True):
            some = histogram.total > 0
            line: dict[str, Any] = {"call": name, "times": histogram.total}
            line["mean_us"] = histogram.mean() / 1000 if some else None
            for key, q in QUANTILES.items():
                line[f"{key}_us"] = histogram.quantile(q) / 1000 if some else None
            lines.append(line)
        return pd.DataFrame(lines)

    def memory(self) -> pd.DataFrame:
        """One line an item of the static bill: MiB."""
        return _memory(self.result.plan)

    def stations(self) -> pd.DataFrame:
        """One line a station, the busiest first: servers, share of the time busy, as seen and as expected."""
        import pandas as pd

        plan, sums = self.result.plan, self.result.stations
        seen = sums.busy_ns / (plan.station_servers * float(max(self.result.end_ns, 1)))
        frame = pd.DataFrame(
            {
                "station": plan.station_names,
                "servers": plan.station_servers,
                "utilisation": seen,
                "expected_utilisation": plan.station_load,
            }
        )
        return frame.sort_values("utilisation", ascending=False, kind="stable", ignore_index=True)

    def plot(self, **options: Any) -> Any:
        """Latency, CPU, memory and money, as a Plotly figure."""
        from meshsim.figures import as_figure
        from meshsim.figures.comparison import comparison_figure

        return as_figure(comparison_figure(self.report, **options))


@dataclass(repr=False)
class Approximation(Reported):
    """What the analytic engine says of one scenario."""

    report: ComparisonReport
    prepared: Prepared
    result: AnalyticResult

    def calls(self) -> pd.DataFrame:
        """One line a call of the application: its mean latency as the caller sees it, us."""
        import pandas as pd

        return pd.DataFrame({"call": self.result.plan.call_names, "mean_us": self.result.call_mean_us})

    def memory(self) -> pd.DataFrame:
        """One line an item of the static bill: MiB."""
        return _memory(self.result.plan)

    def stations(self) -> pd.DataFrame:
        """One line a station, the busiest first: servers, share of the time busy."""
        import pandas as pd

        plan = self.result.plan
        names = {"station": plan.station_names, "servers": plan.station_servers, "utilisation": self.result.utilisation}
        return pd.DataFrame(names).sort_values("utilisation", ascending=False, kind="stable", ignore_index=True)

    def plot(self, **options: Any) -> Any:
        """Latency, CPU, memory and money, as a Plotly figure."""
        from meshsim.figures import as_figure
        from meshsim.figures.comparison import comparison_figure

        return as_figure(comparison_figure(self.report, **options))


class Fields(TypedDict, total=False):
    """Fields of a scenario by name, for those who have no file; the defaults are those of ``Scenario``."""

    application: str | None
    dataplane: str | None
    rps: float | None
    services: int | None
    policy: Policy | None
    requests: int | None
    warmup: float | None
    seed: int | None
    engine: Engine | None
    costs: Sequence[str] | None
    machine: str | None
    nodes: Nodes | None
    placement: Placement | None
    requires: Sequence[str] | None


def simulate(
    scenario: Scenario | str | Path | None = None,
    *,
    what_if: Mapping[str, float] | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
    **fields: Unpack[Fields],
) -> Simulation:
    """Simulate one scenario: a ``Scenario``, the path of its YAML file, or its fields by name.

    Fields that are left out have the defaults of ``Scenario``; they cannot be mixed with a scenario, except
    ``what_if``, which scales costs by pattern besides those that the scenario scales. When stopped,
    what was measured until then comes back and ``partial`` is True. Raises MeshsimError for wrong input,
    OverloadedError if a station would have to work more than it can.
    """
    prepared, path = _read(scenario, what_if, fields)
    return simulate_prepared(prepared, path, what_if=what_if, on_progress=on_progress, should_stop=should_stop)


def approximate(
    scenario: Scenario | str | Path | None = None,
    *,
    what_if: Mapping[str, float] | None = None,
    **fields: Unpack[Fields],
) -> Approximation:
    """What queueing approximations say of a scenario, at once; named as for ``simulate``. Raises the same errors."""
    prepared, path = _read(scenario, what_if, fields)
    if path is not None:
        _say_where(prepared, path)
    result = analytic.solve(prepared.plan)
    row = estimated_row(result, prepared.dataplane.name, len(prepared.application.services), prepared.machine)
    return Approximation(_report(prepared, with_reality(row, prepared), path, what_if), prepared, result)


def answer(
    scenario: str | Path,
    *,
    engine: Engine | None = None,
    what_if: Mapping[str, float] | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Simulation | Approximation:
    """By the engine that is named, else by the one that the scenario's file names."""
    read_in = load_scenario(Path(scenario))
    chosen = read_in.run.engine if engine is None else engine
    if chosen == "analytic":
        return approximate(scenario, what_if=what_if)
    prepared, path = _read(scenario, what_if, {})
    run = prepared.scenario.run.model_copy(update={"engine": chosen})
    prepared = replace(prepared, scenario=prepared.scenario.model_copy(update={"run": run}))
    return simulate_prepared(prepared, path, what_if=what_if, on_progress=on_progress, should_stop=should_stop)


def _read(
    scenario: Scenario | str | Path | None, what_if: Mapping[str, float] | None, given: Fields
) -> tuple[Prepared, Path | None]:
    """Everything read in, and the file that it was read from."""
    if unknown := set(given) - set(Fields.__annotations__):
        raise TypeError(f"unexpected keyword argument {', '.join(sorted(unknown))}")
    said = {name: value for name, value in given.items() if value is not None}
    base_dir: Path | None = None
    path: Path | None = None
    if scenario is None:
        if "application" not in said:
            raise MeshsimError("neither scenario nor application is given; give one of them")
        scenario = _from_fields(said)
    elif said:
        raise MeshsimError(f"a scenario and also {', '.join(said)} are given; put them into the scenario")
    elif not isinstance(scenario, Scenario):
        path = Path(scenario)
        scenario, base_dir = load_scenario(path), path.parent
    if what_if:
        scenario = checked(
            Scenario, **{**scenario.model_dump(by_alias=True), "what_if": {**scenario.what_if, **what_if}}
        )
    return prepare(scenario, base_dir), path


def _from_fields(said: Mapping[str, Any]) -> Scenario:
    def those(*names: str) -> dict[str, Any]:
        return {name: said[name] for name in names if name in said}

    fields = those("application", "dataplane", "services", "policy")
    if "requires" in said:
        fields["requires"] = check_features(said["requires"])
    if "costs" in said:
        books = said["costs"]
        fields["costs"] = [books] if isinstance(books, str) else list(books)
    return checked(
        Scenario,
        **fields,
        cluster=checked(Cluster, **those("machine", "nodes", "placement")),
        load=checked(Load, **those("rps")),
        run=checked(Run, **those("requests", "warmup", "seed", "engine")),
    )


def simulate_prepared(
    prepared: Prepared,
    path: Path | None = None,
    *,
    what_if: Mapping[str, float] | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Simulation:
    """Simulate what was read already. ``path``: the scenario's file, and ``what_if``: what was scaled besides what it
    says, for the command that repeats it.
    """

    def tick(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(done, total, "simulating")

    scenario = prepared.scenario
    if path is not None:
        _say_where(prepared, path)
    result = select.run(prepared.plan, scenario.run, on_progress=tick, should_stop=should_stop)
    row = make_row(result, prepared.dataplane.name, len(prepared.application.services), prepared.machine)
    row = with_reality(row, prepared).model_copy(update={"faults": blasts(result.timeline, scenario.faults)})
    report = _report(prepared, row, path, what_if).model_copy(update={"partial": result.cancelled})
    return Simulation(report, prepared, result)


def _report(prepared: Prepared, row: Row, path: Path | None, what_if: Mapping[str, float] | None) -> ComparisonReport:
    scenario = prepared.scenario
    return ComparisonReport(
        application=prepared.application.name,
        rps=scenario.load.rps,
        rows=[row],
        provenance=Provenance(
            meshsim=__version__,
            seed=scenario.run.seed,
            application=prepared.application.name,
            application_hash=prepared.hashes["application"],
            costs=[book.name for book in prepared.costs.books],
            costs_hash=prepared.hashes["costs"],
            machine=prepared.machine.name,
            price_date=prepared.machine.price_date,
            policy=scenario.policy,
            command=_command(path, scenario, row.engine, what_if) if path else _python(scenario, row.engine),
        ),
        notes=prepared.all_notes,
    )


def _memory(plan: Plan) -> pd.DataFrame:
    import pandas as pd

    items = plan.bill.memory_by_item_mib
    return pd.DataFrame({"item": list(items), "memory_mib": list(items.values())})


def _say_where(prepared: Prepared, path: Path) -> None:
    """Lower; pods that do not fit are told with the line of the scenario that says on how many nodes."""
    try:
        _ = prepared.plan
    except PlacementError as error:
        raise PlacementError(read(path).at(("cluster", "nodes"), str(error).removeprefix("cluster.nodes: "))) from None


def _command(path: Path, scenario: Scenario, engine: str, what_if: Mapping[str, float] | None) -> str:
    given = ["--engine=analytic"] if engine == "analytic" and scenario.run.engine != "analytic" else []
    given += [f"--what-if={pattern}={plain(scenario.what_if[pattern])}" for pattern in what_if or {}]
    return shlex.join(["meshsim", "run", str(path), *given])


def _python(scenario: Scenario, engine: str) -> str:
    """How to repeat a scenario that has no file."""
    fields = scenario.model_dump(exclude_defaults=True)
    verb = "approximate" if engine == "analytic" else "simulate"
    return f"meshsim.{verb}(meshsim.Scenario(**{fields!r}))"
