"""What the fleet holds and is sent as an application grows, and where the order of data planes changes."""

from __future__ import annotations

import pytest

import meshsim as ms


def test_configuration_and_push_work_grow_with_the_square_of_the_services_where_every_proxy_knows_all() -> None:
    grown = ms.grow(
        "two-tier", services=[10, 40], dataplanes=["no-mesh", "istio-sidecar", "cilium"], requests=100,
        churn_per_minute=60, jobs=1,
    )  # fmt: skip
    at = {(row.dataplane, row.services): row for row in grown.rows}
    small, large = at["istio-sidecar", 10], at["istio-sidecar", 40]
    assert large.config_mib / small.config_mib == pytest.approx(16, rel=0.25)
    assert large.push_kib_s > small.push_kib_s > 0
    assert large.control_plane_cores > 0
    assert at["no-mesh", 40].config_mib == at["no-mesh", 40].push_kib_s == 0
    # Control: without churn nothing is pushed.
    quiet = ms.grow("two-tier", services=[10], dataplanes=["istio-sidecar"], requests=100, jobs=1)
    assert quiet.rows[0].push_kib_s == 0
    assert quiet.rows[0].config_mib == pytest.approx(small.config_mib)


def test_crossovers_of_what_is_computed_are_exact_and_those_of_what_is_sampled_have_an_interval() -> None:
    grown = ms.grow("two-tier", services=[5, 300], dataplanes=["istio-sidecar", "cilium"], requests=300, jobs=1)
    for crossing in grown.crossovers:
        exact = crossing.metric in ("memory_mib", "config_mib", "push_kib_s")
        assert (crossing.low == crossing.high) == exact
        assert crossing.low <= crossing.services <= crossing.high
