"""The JSON contract: what ``compare``, ``grow`` and ``run`` report, one row a data plane.

The shapes are versioned (``schema``) and described in docs/json.md. Every number carries its unit in its name.
``low`` and ``high`` are the 95 % interval of the **sampling** error: this run was finite. The error of the costs
themselves stands apart, in ``model_error``: where the figure would lie if the costs moved within their own
standard errors (95 %). The two are never added up.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NO_WATTS = "the machine's file does not say what it draws"


class Out(BaseModel):
    """Base of everything that is written out."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Estimate(Out):
    """A number with its 95 % interval; ``value`` is null where the run was too short to say."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Quantiles(Out):
    """Latency quantiles, microseconds."""

    p50: Estimate
    p90: Estimate
    p99: Estimate
    p999: Estimate


class CpuCores(Out):
    """CPU in use, cores, by who caused it."""

    application: float
    proxy: float
    kernel: float
    total: float


class Band(Out):
    """A 95 % band of the model error."""

    low: float
    high: float


class ModelError(Out):
    """Bands from the standard errors of the costs, to first order."""

    latency_us_p50: Band
    cpu_cores: Band
    memory_mib: Band
    usd_month: Band
    power_watts: Band | None = Field(default=None, description="Null where power_watts of the row is")


class RealityBand(Out):
    """Where a real mesh lies, with a chance of 90 %: what the data plane takes of the prediction times two factors."""

    quantity: Literal["latency_us_p50", "latency_us_p99", "cpu_cores", "memory_mib"]
    low: float | None = Field(description="Null where the run was too short for the figure itself")
    high: float | None
    factor_low: float
    factor_high: float
    part: float = Field(
        default=1.0, description="Share of the prediction that they apply to: of memory, what the proxies hold"
    )
    load: float | None = Field(description="Share of saturation at which the scoreboard's rows were measured")
    scenarios: int = Field(description="Measured scenarios behind it, nothing fitted to them")
    coverage: float = Field(description="Share of their rows that lie in the band which the others give")


class Reality(Out):
    """What real meshes on one host, measured beside their simulation, say of this result."""

    scoreboard: str
    bands: list[RealityBand]
    inside: bool = Field(description="Whether it lies within what was measured there")
    outside: list[str] = Field(description="If not, in which directions: an extrapolation, bands may not hold")


class Audit(Out):
    """What the run checked about itself. ``checks`` has one sentence a law, failed ones first."""

    ok: bool
    checks: list[str]


class Difference(Out):
    """Against the baseline data plane, on the same requests (paired)."""

    baseline: str
    latency_us: Quantiles
    cpu_cores: Estimate
    memory_mib: float
    pods: int
    usd_month: float
    power_watts: float | None = Field(default=None, description="Null where power_watts of the row is")


class Attribution(Out):
    """Where the latency goes: mean microseconds on the critical path, over the sampled requests."""

    component: Literal["application", "proxy", "kernel", "network", "agent"]
    operation: str
    running_us: float
    queueing_us: float
    waiting_us: float


class Tail(Out):
    """Where the slowest requests spend their time, against typical ones; of the sampled requests."""

    typical: list[Attribution] = Field(description="Mean of those between the 45th and the 55th percentile")
    slowest: list[Attribution] = Field(description="Mean of those above slowest_from")
    throttled: list[str] = Field(
        default=[], description="Operations of containers with a CPU limit that was met: in line may mean throttled"
    )
    slowest_from: float = Field(description="Quantile of the sampled latencies: 0.99 is the slowest hundredth")
    typical_requests: int
    slowest_requests: int


class StartUpLink(Out):
    """One link of the start-up of a new pod."""

    name: str
    when: str = Field(description="always, no image (its node has not pulled it), new node (it needs one)")
    ms: float


class Scaled(Out):
    """A service whose number of pods follows its load."""

    service: str
    pods: list[tuple[float, int]] = Field(description="(seconds, pods that get requests) whenever that changed")
    start_up: list[StartUpLink] = Field(description="What a new pod goes through, in order")
    with_room: int = Field(description="Pods beyond those of the start that find a node and its image there")
    without_image: int = Field(description="The next ones find a node, which pulls the image")
    on_new_nodes: int = Field(description="The last ones wait for a node, which pulls the image")


class Blast(Out):
    """What one fault of the scenario did to the answers that clients got."""

    fault: str
    at_s: float
    for_s: float
    failed_share: float | None = Field(description="Of the answers while it lasted; null if there were none")
    failed_share_before: float | None = Field(description="Before the first fault")
    felt_for_s: float = Field(description="From its beginning to the last time that 1 % more failed than before")
    resolution_s: float


class Row(Out):
    """One data plane under one load."""

    dataplane: str
    engine: str
    services: int
    rps: float
    latency_us: Quantiles
    mean_us: Estimate
    cpu_cores: CpuCores
    memory_mib: float
    pods: int
    nodes: int
    usd_month: float
    cross_zone_gb_month: float = Field(default=0.0, description="Payload between zones, GB a month, without retries")
    cross_zone_usd_month: float = Field(default=0.0, description="What that costs; part of usd_month")
    power_watts: float | None = Field(
        default=None,
        description="Electrical power of CPU and memory in use, idle draw apart; null where the machine has no power",
    )
    config_mib: float = Field(default=0.0, description="Configuration that all proxies and agents together hold")
    push_kib_s: float = Field(default=0.0, description="Sent to them on average, at the churn asked for")
    control_plane_cores: float = Field(default=0.0, description="CPU to compute what is sent; not in cpu_cores")
    requests: int
    failed: int
    events: int
    error_rate: float = Field(default=0.0, description="Share of the measured requests that failed")
    goodput_rps: float = Field(default=0.0, description="Good answers a second, to the measured requests")
    failures: dict[str, int] = Field(
        default={}, description="Where failures began, by status, over the whole run; retried ones too"
    )
    resilience: dict[str, int] = Field(
        default={}, description="Attempts, retries, hedges, timeouts, ejections, connections, throttles in the run"
    )
    faults: list[Blast] = Field(default=[], description="Of `run`: what each fault of the scenario did")
    scaling: list[Scaled] = Field(default=[], description="Services with an autoscaler")
    busiest: str = Field(description="Busiest station and its utilisation, in words")
    utilisation: float = Field(description="Of that station")
    model_error: ModelError
    reality: Reality | None = Field(default=None, description="Null where meshsim comes without a scoreboard")
    attribution: list[Attribution]
    tail: Tail | None = Field(default=None, description="Null where fewer than 500 requests were kept whole")
    difference: Difference | None = None
    audit: Audit


class Provenance(Out):
    """What it takes to get the same numbers again."""

    meshsim: str
    seed: int
    application: str
    application_hash: str
    costs: list[str]
    costs_hash: str
    machine: str
    price_date: str
    policy: str
    command: str


class Refused(Out):
    """A data plane that cannot carry this load on this cluster, so that there is no row."""

    dataplane: str
    services: int
    rps: float
    reason: str = Field(description="Which station is overloaded and where it saturates, or what does not fit")


class Verdict(Out):
    """Which of two data planes needs less of something, on the same requests."""

    metric: str = Field(description="p50, p90, p99, p999 or usd_month")
    unit: Literal["us", "USD/month"]
    a: str
    b: str
    difference: Estimate = Field(description="a minus b, paired")
    probability_a_lower: float | None = Field(description="Of the sampling error alone; null if runs were too short")
    settled: bool = Field(description="That chance is below 0.5 % or above 99.5 %")
    sentence: str


class ComparisonReport(Out):
    """``compare --json`` and, with one row, ``run --json``."""

    schema_: Literal["meshsim/compare/1"] = Field(default="meshsim/compare/1", alias="schema")
    application: str
    rps: float
    rows: list[Row]
    provenance: Provenance
    replications: int = Field(default=1, description="Runs a data plane, with seeds one after the other, pooled")
    verdicts: list[Verdict] = Field(default=[], description="Each pair of data planes, if that was asked for")
    refused: list[Refused] = []
    notes: list[str] = Field(default=[], description="What was assumed or left out on the way")
    partial: bool = Field(default=False, description="Stopped before every run was done: rows are missing")


class Crossover(Out):
    """From how many services on one data plane needs less of something than another."""

    metric: str
    unit: str
    cheaper: str
    dearer: str
    services: float
    low: float
    high: float
    sentence: str


class GrowthReport(Out):
    """``grow --json``."""

    schema_: Literal["meshsim/grow/1"] = Field(default="meshsim/grow/1", alias="schema")
    application: str
    rate: Literal["per-service", "total"]
    rows: list[Row]
    curve: list[Row] = Field(
        default=[],
        description="What the analytic engine says at these sizes and between them; empty if rows are its own",
    )
    crossovers: list[Crossover]
    provenance: Provenance
    refused: list[Refused] = []
    notes: list[str] = Field(default=[], description="What was assumed or left out on the way")
    partial: bool = Field(default=False, description="Stopped before every run was done: rows are missing")


class Trial(Out):
    """One value that was tried for a latency target."""

    value: float
    latency_us: Estimate | None = Field(description="Of the quantile asked for; null if it cannot be simulated")
    outcome: Literal["kept", "missed", "unsure"] = Field(description="unsure: the interval contains the target")
    replications: int
    reason: str = Field(default="", description="Why it cannot be simulated")


class Solution(Out):
    """What it takes a data plane to keep a latency target."""

    dataplane: str
    answer: float | None = Field(description="Null if nothing that was tried keeps it")
    beyond: float | None = Field(description="The nearest value that was found not to keep it; null if there is none")
    latency_us: Estimate | None = Field(description="At the answer, or at the first trial if there is no answer")
    latency_beyond_us: Estimate | None
    verified: bool | None = Field(description="Answer and beyond, simulated with other random numbers, say the same")
    reality: RealityBand | None = Field(
        default=None, description="Where that latency lies in a real mesh, 90 %; null where that is not known"
    )
    outside: list[str] = Field(
        default=[], description="In which directions the answer lies beyond what was measured: the band may not hold"
    )
    trials: list[Trial]
    sentence: str


class SolutionReport(Out):
    """``solve --json``."""

    schema_: Literal["meshsim/solve/1"] = Field(default="meshsim/solve/1", alias="schema")
    application: str
    find: Literal["rps", "nodes", "replicas", "proxy-cpu-limit"]
    unit: str
    of: Literal["p50", "p90", "p99", "p999"]
    target_ms: float
    confidence: float = Field(default=0.95, description="Of the intervals by which a target is kept, missed or unsure")
    solutions: list[Solution]
    provenance: Provenance
    notes: list[str] = []
    partial: bool = False


class Influence(Out):
    """One input moved to either end of its range, everything else as it was, on the same requests."""

    dataplane: str
    input: str = Field(description="An operation of the cost book, or a field of the scenario")
    kind: Literal["cost", "setting"]
    factor_low: float = Field(description="Ends of the 95 % range of a cost, as factors of it; of a setting, as chosen")
    factor_high: float
    value_us: float | None = Field(description="The quantile as it is; null if the run is too short")
    at_low_us: float | None = Field(description="Null if the data plane is overloaded there")
    at_high_us: float | None

    @property
    def swing_us(self) -> float:
        """How far apart the ends are; infinite where one of them is overloaded."""
        if self.at_low_us is None or self.at_high_us is None:
            return float("inf")
        return abs(self.at_high_us - self.at_low_us)


class PropagatedBand(Out):
    """A figure with the band that uncertain costs leave it: 95 % of a lognormal law through the drawn cost books."""

    dataplane: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    reality: RealityBand | None = Field(
        default=None, description="Where it lies in a real mesh, 90 %, model error included; null where not known"
    )


class Chance(Out):
    """How often a data plane comes out lower than another over the drawn cost books."""

    metric: str
    a: str
    b: str
    probability_a_lower: float
    draws: int


class SobolIndex(Out):
    """Share of the variance of the quantile that a cost explains, alone and with all others; 95 % half-widths."""

    dataplane: str
    operation: str
    first_order: float
    first_order_half_width: float
    total: float
    total_half_width: float


class SensitivityReport(Out):
    """``sensitivity --json``."""

    schema_: Literal["meshsim/sensitivity/1"] = Field(default="meshsim/sensitivity/1", alias="schema")
    application: str
    rps: float
    of: Literal["p50", "p90", "p99", "p999"]
    influences: list[Influence]
    bands: list[PropagatedBand]
    chances: list[Chance]
    sobol: list[SobolIndex]
    draws: int
    provenance: Provenance
    refused: list[Refused] = []
    notes: list[str] = []
    partial: bool = False


class MetastabilityCell(Out):
    """One load under one retry policy: whether it works, and whether a trigger tips it."""

    dataplane: str
    rps: float
    policy: str = Field(description="Retries, and after @ the retry budget: 3, 3@20%")
    verdict: Literal["safe", "vulnerable", "stuck"] | None = Field(description="Null if it was not simulated")
    good_before: float | None = Field(description="Share of good answers in the second half of the calm before")
    good_after: float | None = Field(description="The same in the last quarter of the time to recover")
    recovery_s: float | None = Field(description="From the end of the trigger until it stays well; null if it does not")
    runs: dict[str, int] = Field(description="Replications by what came out; the verdict is the worst")
    reason: str = Field(default="", description="Why it was not simulated")


class MetastabilityBoundary(Out):
    """What operational analysis expects of one retry policy."""

    dataplane: str
    policy: str
    capacity_rps: float = Field(description="Where the busiest station saturates: above it, stuck")
    sustained_rps: float | None = Field(
        description="Capacity over attempts a request: above it an overload feeds itself; null where that is not known"
    )


class MetastabilityReport(Out):
    """``metastable --json``."""

    schema_: Literal["meshsim/metastable/1"] = Field(default="meshsim/metastable/1", alias="schema")
    application: str
    trigger: str = Field(description="What was done to it, in words")
    timeout_ms: float = Field(description="Of an attempt")
    calls: Literal["entry", "all"]
    good_share: float = Field(description="It works while at least this share of the answers is good")
    calm_s: float
    trigger_s: float
    within_s: float = Field(description="Time to recover")
    cells: list[MetastabilityCell]
    boundaries: list[MetastabilityBoundary]
    provenance: Provenance
    notes: list[str] = []
    partial: bool = False
