"""The shipped applications and machines: valid, sourced, sustainable, and true to the code they describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from meshsim.scenario.application import Application, Step
from meshsim.scenario.machine import Machine
from meshsim.scenario.scale import calls_per_request, scale, visits

MODELS = Path(__file__).parents[2] / "models"
APPLICATIONS = sorted((MODELS / "applications").glob("*.yaml"))
MACHINES = sorted((MODELS / "machines").glob("*.yaml"))

DEFAULT_RPS = 500.0


def read(path: Path, typ: str = "safe") -> Any:
    return YAML(typ=typ).load(path)


def load(name: str) -> Application:
    return Application.model_validate(read(MODELS / "applications" / f"{name}.yaml"))


def compute_us(steps: list[Step]) -> float:
    """CPU time of one visit, branches included."""
    own = sum(step.compute.mean_us for step in steps if step.compute)
    return own + sum(compute_us(branch) for step in steps for branch in step.parallel or [])


def cores_used(application: Application, rps: float) -> dict[str, float]:
    """Cores that each service computes on, all replicas together."""
    found = visits(application)
    return {
        service.name: sum(found[service.name, e.name] * compute_us(e.steps) for e in service.endpoints) * rps / 1e6
        for service in application.services
    }


def order(application: Application, service: str, endpoint: str) -> list[str]:
    """Callees in the order of the file: 'service/endpoint', with x9 for nine in a row."""
    calls = application.service(service).endpoint(endpoint).calls()
    return [f"{c.service}/{c.endpoint}" + (f" x{c.times}" if c.times > 1 else "") for c in calls]


def test_there_are_the_four_applications_and_four_machines() -> None:
    assert [path.stem for path in APPLICATIONS] == [
        "bookinfo",
        "online-boutique",
        "social-network",
        "two-tier",
    ]
    assert [path.stem for path in MACHINES] == [
        "aws-m5-4xlarge",
        "aws-m5-xlarge",
        "azure-d4s-v5",
        "gcp-e2-standard-4",
    ]


@pytest.mark.parametrize("path", APPLICATIONS, ids=lambda path: path.stem)
class TestApplication:
    def test_is_valid_under_its_file_name_whichever_way_it_is_read(self, path: Path) -> None:
        application = Application.model_validate(read(path))
        assert application.name == path.stem
        assert application == Application.model_validate(read(path, "rt")), "anchors must not depend on the reader"

    def test_says_where_each_thing_came_from_and_what_was_assumed(self, path: Path) -> None:
        sources = load(path.stem).sources
        assert any(source.ref == "assumed" and source.note for source in sources)
        read_ones = [source for source in sources if source.ref != "assumed"]
        assert read_ones
        assert all(source.note and source.read for source in read_ones)

    def test_reaches_every_service(self, path: Path) -> None:
        application = load(path.stem)
        reached = {service for (service, _), mean in visits(application).items() if mean > 0}
        assert reached == {service.name for service in application.services}

    def test_no_service_is_busier_than_half_of_its_threads_at_the_default_rate(self, path: Path) -> None:
        application = load(path.stem)
        for name, cores in cores_used(application, DEFAULT_RPS).items():
            service = application.service(name)
            assert cores <= 0.5 * service.replicas * service.concurrency.threads, name

    def test_reserves_the_cpu_that_it_uses_at_the_default_rate(self, path: Path) -> None:
        """With room for the kernel's part, which the compute times leave out."""
        application = load(path.stem)
        for name, cores in cores_used(application, DEFAULT_RPS).items():
            service = application.service(name)
            reserved = service.replicas * service.requests.cpu_millicores / 1000
            assert cores <= 0.55 * reserved, name

    def test_scales_up_and_down(self, path: Path) -> None:
        application = load(path.stem)
        for services in (1, 2, 3, 10, 300):
            scaled = scale(application, services)
            assert len(scaled.services) == services
            assert Application.model_validate(scaled.model_dump(by_alias=True)) == scaled


def test_a_data_store_is_spoken_to_in_plain_tcp() -> None:
    for path in APPLICATIONS:
        for service in load(path.stem).services:
            for endpoint in service.endpoints:
                for call in endpoint.calls():
                    if any(store in call.service for store in ("redis", "mongodb", "memcached")):
                        assert call.protocol == "tcp", call


def test_the_documented_table_says_what_the_files_say() -> None:
    page = (MODELS.parent / "docs" / "applications.md").read_text(encoding="utf-8")
    for path in APPLICATIONS:
        application = load(path.stem)
        cores = sum(cores_used(application, DEFAULT_RPS).values())
        pods = sum(service.replicas for service in application.services)
        row = next(line for line in page.splitlines() if line.startswith(f"| `{path.stem}`"))
        cells = [cell.strip().split(" ")[0] for cell in row.strip("|").split("|")][1:]
        assert [int(cells[0]), int(cells[1])] == [len(application.services), pods]
        assert float(cells[2]) == pytest.approx(calls_per_request(application), abs=0.05)
        assert float(cells[3]) == pytest.approx(cores / DEFAULT_RPS * 1000, abs=0.05)
        assert float(cells[4]) == pytest.approx(cores, abs=0.05)


class TestOnlineBoutique:
    def test_the_home_page_asks_in_the_order_of_its_handler(self) -> None:
        assert order(load("online-boutique"), "frontend", "home") == [
            "currencyservice/supported",
            "productcatalogservice/list-products",
            "cartservice/get-cart",
            "currencyservice/convert x9",
            "adservice/get-ads",
        ]

    def test_the_product_page_asks_in_the_order_of_its_handler(self) -> None:
        assert order(load("online-boutique"), "frontend", "product") == [
            "productcatalogservice/get-product",
            "currencyservice/supported",
            "cartservice/get-cart",
            "currencyservice/convert",
            "recommendationservice/list",
            "productcatalogservice/get-product x5",
            "adservice/get-ads",
        ]

    def test_an_order_pays_before_it_ships_and_mails_last(self) -> None:
        calls = order(load("online-boutique"), "checkoutservice", "place-order")
        assert calls[0] == "cartservice/get-cart"
        assert calls[-4:] == [
            "paymentservice/charge",
            "shippingservice/ship-order",
            "cartservice/empty-cart",
            "emailservice/confirm",
        ]

    def test_products_per_order_follow_from_the_mix_of_the_load_generator(self) -> None:
        """An order adds once itself and empties the cart; other additions are twice as frequent as orders."""
        add, ordered, products = 2, 1, 9
        stop = ordered / (add + ordered)
        missing = 1 - 1 / products
        different = products * (1 - missing * stop / (1 - (1 - stop) * missing))
        place_order = load("online-boutique").service("checkoutservice").endpoint("place-order")
        fetched = sum(c.probability for c in place_order.calls() if c.endpoint == "get-product")
        assert fetched == pytest.approx(different, abs=0.01)

    def test_the_mix_counts_http_requests_with_the_redirects_that_are_followed(self) -> None:
        tasks = {"index": 1, "set": 2, "browse": 10, "add": 2, "view": 3, "checkout": 1}
        adds = tasks["add"] + tasks["checkout"]
        expected = {
            "home": tasks["index"] + tasks["set"],
            "product": tasks["browse"] + adds,
            "view-cart": tasks["view"] + adds,
            "add-to-cart": adds,
            "place-order": tasks["checkout"],
            "set-currency": tasks["set"],
        }
        assert {e.endpoint: e.weight for e in load("online-boutique").entries} == expected

    def test_it_computes_less_than_was_seen_at_a_demo_load_with_idle_work_in_it(self) -> None:
        """kubectl top at about 2.7 requests a second, in cores: an upper limit for each service."""
        seen = {"frontend": 0.019, "currencyservice": 0.011, "cartservice": 0.008, "adservice": 0.003}
        used = cores_used(load("online-boutique"), 10 / 5.5 * 28 / 19)
        assert {name: used[name] for name in seen if used[name] > seen[name]} == {}


class TestSocialNetwork:
    def test_writing_a_post_fans_out_to_four_and_then_to_three(self) -> None:
        steps = load("social-network").service("compose-post-service").endpoint("compose").steps
        fans = [{c.service for branch in s.parallel for st in branch if (c := st.call)} for s in steps if s.parallel]
        assert fans == [
            {"text-service", "user-service", "media-service", "unique-id-service"},
            {"post-storage-service", "user-timeline-service", "home-timeline-service"},
        ]

    def test_the_mix_is_sixty_thirty_ten(self) -> None:
        assert [e.weight for e in load("social-network").entries] == [60, 30, 10]

    def test_a_home_timeline_is_read_through_redis_and_then_post_storage(self) -> None:
        assert order(load("social-network"), "home-timeline-service", "read") == [
            "home-timeline-redis/read-page",
            "post-storage-service/read-posts",
        ]


def test_bookinfo_asks_details_then_reviews_and_two_versions_of_three_ask_ratings() -> None:
    bookinfo = load("bookinfo")
    assert order(bookinfo, "productpage", "productpage") == ["details/details", "reviews/reviews"]
    assert calls_per_request(bookinfo) == pytest.approx(2 + 2 / 3, abs=1e-3)


def test_two_tier_sends_a_kibibyte_each_way() -> None:
    (call,) = load("two-tier").service("fortioclient").endpoint("").calls()
    assert (call.service, call.request_bytes, call.response_bytes) == ("fortioserver", 1024, 1024)


def gke_memory_mib(total: float) -> float:
    bands = [(4096, 0.25), (4096, 0.20), (8192, 0.10), (114688, 0.06)]
    reserved = 100.0
    for size, share in bands:
        reserved += min(total, size) * share
        total -= min(total, size)
    return reserved


def gke_and_eks_cores(cores: int) -> float:
    return 0.06 + 0.01 + 2 * 0.005 + (cores - 4) * 0.0025


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_a_machine_leaves_to_pods_what_the_rules_of_its_cloud_leave(path: Path) -> None:
    machine = Machine.model_validate(read(path))
    assert machine.name == path.stem
    cloud = path.stem.split("-")[0]
    reserved_cores = 0.14 if cloud == "azure" else gke_and_eks_cores(machine.cores)
    reserved_mib = {
        "gcp": gke_memory_mib(machine.memory_mib),
        "aws": 11 * machine.max_pods + 255 + 100,
        "azure": 20 * machine.max_pods + 50 + 100,
    }[cloud]
    assert machine.allocatable_cores == pytest.approx(machine.cores - reserved_cores)
    assert machine.allocatable_memory_mib == pytest.approx(machine.memory_mib - reserved_mib, abs=1)


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_a_price_names_its_list_its_region_and_its_date(path: Path) -> None:
    machine = Machine.model_validate(read(path))
    assert 0.02 < machine.usd_hour / machine.cores < 0.1
    assert machine.price_date in machine.sources[0].note
    assert "without discounts" in machine.sources[0].note
