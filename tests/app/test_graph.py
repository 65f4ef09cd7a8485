"""Graph without a browser."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from headless import alone, charts, html

from meshsim.app.pages.graph import facts, headline, layers, table, values
from meshsim.figures.find import FIELDS
from meshsim.scenario import catalog

DATA = Path(__file__).parents[1] / "data" / "isotope"
SHOP = {"application": "online-boutique"}


@pytest.fixture(autouse=True)
def _uploads_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def dots(app) -> dict:
    (chart,) = charts(app)
    return json.loads(chart.spec)["data"][-1]


def drawn(app) -> set[str]:
    return {name for name, _ in dots(app)["customdata"]}


def test_it_opens_on_an_answer_and_the_service_that_takes_most_time() -> None:
    app = alone("graph", **SHOP).run()
    assert not app.exception
    services = facts("online-boutique", "istio-sidecar", 500.0)
    slowest = max(services.facts.values(), key=lambda one: one.share)
    assert headline("online-boutique", "istio-sidecar", services) in html(app)
    assert app.selectbox(key="service").value == slowest.name
    details = "\n".join(text.value for text in app.markdown)
    assert f"{slowest.share:.1%}, the way there and back included" in details
    assert len(dots(app)["x"]) == 12
    (chart,) = charts(app)
    assert chart.alt.startswith("Service graph: 11 services in 4 layers")


def test_find_marks_and_hide_removes() -> None:
    app = alone("graph", **SHOP, find="name ~ cart", hide="rps < 100").run()
    assert not app.exception
    assert not app.warning
    assert any("2 of 11 found: cartservice, redis-cart" in text.value.replace("\\", "") for text in app.markdown)
    services = facts("online-boutique", "istio-sidecar", 500.0)
    assert drawn(app) == {"client", *(name for name, one in services.facts.items() if one.rps >= 100)}


def test_what_is_not_understood_is_said_and_the_graph_stays() -> None:
    app = alone("graph", **SHOP, find="utl > 1", hide="name > 3").run()
    assert not app.exception
    said = [warning.value.replace("\\", "") for warning in app.warning]
    assert said[0].startswith("Find: 'utl' received; did you mean 'util'?")
    assert said[1].startswith("Hide: name > received; a name can be compared with")
    assert len(drawn(app)) == 12


def test_everything_hidden_is_no_error() -> None:
    app = alone("graph", **SHOP, hide="rps >= 0").run()
    assert not app.exception
    assert [info.value for info in app.info] == ["Every service is hidden."]


def test_only_the_chosen_and_its_neighbours() -> None:
    app = alone("graph", **SHOP, service="checkoutservice", part="the chosen and its neighbours").run()
    assert not app.exception
    assert drawn(app) == {
        "client", "frontend", "checkoutservice", "cartservice", "productcatalogservice", "currencyservice",
        "shippingservice", "paymentservice", "emailservice",
    }  # fmt: skip


@pytest.mark.parametrize("application", catalog.names("applications"))
@pytest.mark.parametrize("plane", ["no-mesh", "istio-ambient", "linkerd1"])
def test_every_application_over_several_data_planes(application: str, plane: str) -> None:
    app = alone("graph", application=application, plane=plane, **{"graph-rps": "2000"}).run()
    assert not app.exception
    assert len(charts(app)) == 1 or app.error


def test_a_link_that_asks_for_another_application_moves_the_choice() -> None:
    app = alone("graph", **SHOP, service="cartservice").run()
    app.selectbox(key="application").set_value("bookinfo").run()
    assert not app.exception
    assert app.selectbox(key="service").value in facts("bookinfo", "istio-sidecar", 500.0).facts


def test_an_own_graph_of_a_thousand_services() -> None:
    content = (DATA / "1000-svc_5000-end.yaml").read_bytes()
    app = alone("graph")
    app.run()
    app.file_uploader(key="graph-upload").upload("big.yaml", content, "application/yaml").run()
    assert not app.exception
    assert "big, 1,000 services over istio-sidecar" in html(app)
    assert len(drawn(app)) <= 121
    assert any("drawn together" in text.value for text in app.markdown)
    assert any("75 us of CPU" in text.value for text in app.markdown)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"schema: meshsim/application/1\nname: x\nservices: 3\n", "own.yaml:3: services: "),
        (b"a: [1,\n", "own.yaml:"),
        (b"\xff\xfe\x00", "own.yaml"),
        (b"services:\n- name: a\n  script: [call: b]\n", "own.yaml:"),
        (b"!!python/object/apply:os.system ['true']\n", "own.yaml:"),
        (b"", "own.yaml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_never_a_traceback(content: bytes, said: str) -> None:
    app = alone("graph").run()
    app.file_uploader(key="graph-upload").upload("own.yaml", content, "application/yaml").run()
    assert not app.exception
    assert any(said in one.value.replace("\\", "") for one in app.error), [one.value for one in app.error]
    assert len(charts(app)) == 1  # of the application that was there before


def test_the_table_has_every_service_and_every_field_can_be_asked() -> None:
    services = facts("online-boutique", "istio-sidecar", 500.0)
    layer = layers("online-boutique", "istio-sidecar")
    shown = table(layer, services)
    assert set(shown["service"]) == set(services.facts)
    assert shown["share of a lone request"].is_monotonic_decreasing
    assert all(set(of) == set(FIELDS) for of in values(layer, services).values())
