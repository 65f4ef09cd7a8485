"""What a feature of a proxy costs a request: the slope over copies of it, since one alone is below the noise.

The proxy answers by itself, in closed loop, so that nothing but its own work is in the figure. What cannot be had
twice (a tracer) is the difference to none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import line
from meshsim.measure.proxy.envoy import Config, Envoy, http_filter, typed
from meshsim.measure.proxy.kinds import ENVOY, OTHERS
from meshsim.measure.proxy.others import Nginx
from meshsim.measure.proxy.software import Role, Software, start
from meshsim.measure.proxy.traffic import DIRECT_PORT, Demand, Pair

COPIES = (4, 16)
CONNECTIONS = 32
POLICIES = 20
"""In one copy of the RBAC filter."""


@dataclass(frozen=True)
class Feature:
    """Something that a proxy does with every request."""

    operation: str
    """After ``proxy.<software>.``"""
    unit: str
    what: str
    software: Callable[[int, str], Software]
    """With so many copies; the other argument is the address of a helper (collector, authoriser)."""
    per_copy: int = 1
    """Units in a copy."""
    copies: tuple[int, ...] = COPIES


def _filters(make: Callable[[int], Config]) -> Callable[[int, str], Envoy]:
    return lambda copies, _: Envoy(filters=[make(number) for number in range(copies)])


def header_mutation(number: int) -> Config:
    """Adds a header."""
    header = {"key": f"x-added-{number}", "value": "value"}
    mutations = {"request_mutations": [{"append": {"header": header}}]}
    kind = "extensions.filters.http.header_mutation.v3.HeaderMutation"
    return http_filter("envoy.filters.http.header_mutation", kind, mutations=mutations)


def rate_limit(number: int) -> Config:
    """A bucket that is never empty."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
    kind = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    fields = {"stat_prefix": f"limit{number}", "token_bucket": bucket, "filter_enabled": always}
    return http_filter("envoy.filters.http.local_ratelimit", kind, **fields, filter_enforced=always)


def rbac(number: int, policies: int = POLICIES) -> Config:
    """Denies what matches one of its policies; none matches: path prefix, then a header."""

    def policy(n: int) -> Config:
        path = {"url_path": {"path": {"prefix": f"/forbidden/{number}/{n}/"}}}
        return {
            "permissions": [path],
            "principals": [{"header": {"name": "x-role", "string_match": {"exact": f"r{n}"}}}],
        }

    named = {f"policy-{n}": policy(n) for n in range(policies)}
    kind = "extensions.filters.http.rbac.v3.RBAC"
    return http_filter("envoy.filters.http.rbac", kind, rules={"action": "DENY", "policies": named})


def lua(number: int) -> Config:
    """Reads the path, adds a header."""
    code = (
        "function envoy_on_request(handle)\n"
        '  local path = handle:headers():get(":path")\n'
        f'  handle:headers():add("x-lua-{number}", path)\n'
        "end\n"
    )
    kind = "extensions.filters.http.lua.v3.Lua"
    return http_filter("envoy.filters.http.lua", kind, default_source_code={"inline_string": code})


def access_log() -> Config:
    """A line of text a request, to /dev/null."""
    kind = "extensions.access_loggers.file.v3.FileAccessLog"
    return {"name": "envoy.access_loggers.file", "typed_config": typed(kind, path="/dev/null")}


def _access_logs(copies: int, _: str) -> Envoy:
    return Envoy(access_logs=[access_log()] * copies)


def _tracing(copies: int, address: str) -> Envoy:
    """Every request makes a span, which goes to a collector in batches, as in a mesh."""
    if not copies:
        return Envoy()
    fields = {"collector_cluster": "helper", "collector_endpoint": "/spans", "collector_endpoint_version": "HTTP_JSON"}
    provider = {"name": "envoy.tracers.zipkin", "typed_config": typed("config.trace.v3.ZipkinConfig", **fields)}
    every = {"random_sampling": {"value": 100}, "provider": provider}
    return Envoy(options={"tracing": every}, helper=(address, DIRECT_PORT))


def _ext_authz(copies: int, address: str) -> Envoy:
    """An external authoriser is asked by HTTP: its own CPU is not in the figure, the call to it is."""
    service = {"server_uri": {"uri": f"http://{address}", "cluster": "helper", "timeout": "1s"}}
    kind = "extensions.filters.http.ext_authz.v3.ExtAuthz"
    one = http_filter("envoy.filters.http.ext_authz", kind, http_service=service)
    return Envoy(filters=[one] * copies, helper=(address, DIRECT_PORT))


FEATURES = (
    Feature("feature.access-log", "request", "a line of text to a file (/dev/null)", _access_logs),
    Feature("feature.header-mutation", "request", "one header added", _filters(header_mutation)),
    Feature("feature.rate-limit", "request", "a local token bucket, never empty", _filters(rate_limit)),
    Feature(
        "feature.rbac-policy", "policy that does not match", f"{POLICIES} policies a copy", _filters(rbac), POLICIES
    ),
    Feature("lua.request", "request and script", "a script that reads :path and adds a header", _filters(lua)),
    Feature("feature.tracing", "request", "a span of every request, sent to a collector", _tracing, copies=(1,)),
    Feature("feature.ext-authz", "request", "an authoriser asked by HTTP", _ext_authz, copies=(1, 2)),
)
NGINX_FEATURES = (
    Feature("lua.request", "request and script", "a script that reads a header and adds one",
            lambda copies, _: Nginx(scripts=copies)),
)  # fmt: skip
NGINX = next(kind for kind in OTHERS if kind.key == "nginx-lua")
GROUPS: Mapping[str, tuple[Feature, ...]] = {ENVOY.key: FEATURES, NGINX.key: NGINX_FEATURES}


def name(software: str) -> str:
    """Of the experiment."""
    return f"proxy.{software}.features"


def run(software: str, bench: Bench) -> None:
    """No feature, then each at each number of copies."""
    pair = Pair.make(bench.lab)
    demand = Demand(0, CONNECTIONS, response_bytes=-1, seconds=0.25 if bench.quick else 0.7, warm_up=0.1)

    def take(feature: Feature, copies: int) -> dict[str, float]:
        with pair.lab.scope():
            running = start(feature.software(copies, pair.server.address), Role(), pair.client, cpus=pair.back)
            return pair.drive(demand, pod=pair.client, port=Role().port, **running.watched()).readings()

    features = GROUPS[software]
    bench.measure({"feature": "none", "copies": 0}, partial(take, replace(features[0], operation="none"), 0))
    for feature in features:
        for copies in feature.copies[-1:] if bench.quick else feature.copies:
            bench.measure({"feature": feature.operation, "copies": copies}, partial(take, feature, copies))


def costs(samples: Samples) -> list[Cost]:
    """proxy.envoy.feature.*, proxy.envoy.lua.request, proxy.nginx-lua.lua.request."""
    return [c for software in GROUPS for c in _costs(samples, software)]


def _costs(samples: Samples, software: str) -> Iterable[Cost]:
    none = samples.points(name(software), "copies", "cpu_ns", feature="none")
    for feature in GROUPS[software]:
        found = samples.points(name(software), "copies", "cpu_ns", feature=feature.operation)
        if not len(found) or not len(none):
            continue
        rows = np.concatenate([none, found]) * [1, feature.per_copy, 1]
        per_copy = line(rows)
        taken = samples.of(name(software), feature=feature.operation)
        yield cost(
            f"proxy.{software}.{feature.operation}",
            feature.unit,
            experiment=name(software),
            reference=f"{feature.what}: slope of CPU a request over 0 … {max(feature.copies) * feature.per_copy} "
            "copies, the proxy answering by itself",
            conditions=f"HTTP/1.1, closed loop, {CONNECTIONS} connections, one worker",
            cpu=per_copy.per_unit,
            kernel_share=_share_of_difference(samples, software, feature),
            taken_off="the proxy without it, in the same round",
            raw=taken[0],
        )


def _share_of_difference(samples: Samples, software: str, feature: Feature) -> float:
    """System time of what the most copies add, over all that they add; medians over rounds."""

    def median(copies: int, operation: str) -> tuple[float, float]:
        found = samples.of(name(software), feature=operation, copies=copies)
        cpu = np.array([s.values["cpu_ns"] for s in found])
        return float(np.median(cpu)), float(np.median([s.values["kernel_share"] for s in found]))

    none, none_share = median(0, "none")
    most, most_share = median(max(feature.copies), feature.operation)
    return (most * most_share - none * none_share) / (most - none) if most > none else 0.0


EXPERIMENTS = [
    Experiment(
        name(ENVOY.key),
        "Envoy: CPU of a request by feature: access log, headers, rate limit, RBAC, Lua, tracing, ext_authz [ns]",
        partial(run, ENVOY.key),
        seconds=14,
        quick_seconds=4.5,
        needs=ENVOY.needs,
    ),
    Experiment(
        name(NGINX.key),
        "nginx: CPU of a request by number of Lua scripts [ns]",
        partial(run, NGINX.key),
        seconds=3.5,
        needs=NGINX.needs,
    ),
]
