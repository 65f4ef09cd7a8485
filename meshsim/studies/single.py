"""One scenario in full: its row, each entry, each call, and where its memory goes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshsim import __version__
from meshsim.engines import select
from meshsim.plan.place import PlacementError
from meshsim.results.intervals import estimate_quantile, mean_interval
from meshsim.results.rows import ComparisonReport, Provenance
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.capabilities import check_features
from meshsim.scenario.catalog import load_scenario
from meshsim.scenario.scenario import Cluster, Load, Run, Scenario
from meshsim.scenario.yaml_io import read
from meshsim.studies.inputs import Nodes, Placement, Policy, plain
from meshsim.studies.pool import Progress, Stop
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
        import pandas as pd

        items = self.result.plan.bill.memory_by_item_mib
        return pd.DataFrame({"item": list(items), "memory_mib": list(items.values())})

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


def simulate(
    scenario: Scenario | str | Path | None = None,
    *,
    application: str | None = None,
    dataplane: str | None = None,
    rps: float | None = None,
    services: int | None = None,
    policy: Policy | None = None,
    requests: int | None = None,
    warmup: float | None = None,
    seed: int | None = None,
    costs: Sequence[str] | None = None,
    machine: str | None = None,
    nodes: Nodes | None = None,
    placement: Placement | None = None,
    requires: Sequence[str] | None = None,
    what_if: Mapping[str, float] | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Simulation:
    """Simulate one scenario: a ``Scenario``, the path of its YAML file, or its fields by name.

    Fields that are left out have the defaults of ``Scenario``; they cannot be mixed with a scenario, except
    ``what_if``, which scales costs by pattern besides those that the scenario scales. When stopped,
    what was measured until then comes back and ``partial`` is True. Raises MeshsimError for wrong input,
    OverloadedError if a station would have to work more than it can.
    """
    fields = _given(application=application, dataplane=dataplane, services=services, policy=policy)
    if requires is not None:
        fields["requires"] = check_features(requires)
    cluster = _given(machine=machine, nodes=nodes, placement=placement)
    run = _given(requests=requests, warmup=warmup, seed=seed)
    load = _given(rps=rps)
    books = _given(costs=None if costs is None else [costs] if isinstance(costs, str) else list(costs))
    named = [*fields, *cluster, *run, *load, *books]
    base_dir: Path | None = None
    path: Path | None = None
    if scenario is None:
        if application is None:
            raise MeshsimError("simulate: neither scenario nor application is given; give one of them")
        scenario = checked(
            Scenario,
            **fields,
            **books,
            cluster=checked(Cluster, **cluster),
            load=checked(Load, **load),
            run=checked(Run, **run),
        )
    elif named:
        raise MeshsimError(f"simulate: a scenario and also {', '.join(named)} are given; put them into the scenario")
    elif not isinstance(scenario, Scenario):
        path = Path(scenario)
        scenario, base_dir = load_scenario(path), path.parent
    if what_if:
        scenario = checked(
            Scenario, **{**scenario.model_dump(by_alias=True), "what_if": {**scenario.what_if, **what_if}}
        )
    return simulate_prepared(
        prepare(scenario, base_dir), path, what_if=what_if or {}, on_progress=on_progress, should_stop=should_stop
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
    return Simulation(
        ComparisonReport(
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
                command=_command(path, scenario, what_if) if path else _python(scenario),
            ),
            notes=prepared.all_notes,
            partial=result.cancelled,
        ),
        prepared,
        result,
    )


def _say_where(prepared: Prepared, path: Path) -> None:
    """Lower; pods that do not fit are told with the line of the scenario that says on how many nodes."""
    try:
        _ = prepared.plan
    except PlacementError as error:
        raise PlacementError(read(path).at(("cluster", "nodes"), str(error).removeprefix("cluster.nodes: "))) from None


def _command(path: Path, scenario: Scenario, what_if: Mapping[str, float] | None) -> str:
    given = [f"--what-if={pattern}={plain(scenario.what_if[pattern])}" for pattern in what_if or {}]
    return shlex.join(["meshsim", "run", str(path), *given])


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _python(scenario: Scenario) -> str:
    """How to repeat a scenario that has no file."""
    fields = scenario.model_dump(exclude_defaults=True)
    return f"meshsim.simulate(meshsim.Scenario(**{fields!r}))"
