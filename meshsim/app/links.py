"""The same numbers elsewhere: a link with every value, and the question as Python, command line or YAML."""

from __future__ import annotations

import shlex
from typing import Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from meshsim.app import uploads
from meshsim.app.controls import Setting
from meshsim.app.terms import files, node_file, plane_file
from meshsim.scenario.scenario import Engine, Scenario
from meshsim.scenario.yaml_io import yaml_text
from meshsim.studies.defaults import DATAPLANES, MACHINE
from meshsim.studies.version import model_version

Answered = Literal["analytic", "auto"]


def query(setting: Setting, **more: str) -> str:
    """Every value, those at their default too: a default may change, a link must not. And the model's version."""
    values: list[tuple[str, str]] = [
        ("app", setting.application),
        ("services", str(setting.services)),
        ("rps", str(setting.rps)),
        *(("planes", name) for name in setting.dataplanes),
        ("requests", str(setting.requests)),
        ("seed", str(setting.seed)),
        *((name, str(value)) for name, value in {"node": setting.terms.node, **setting.terms.changes()}.items()),
        *more.items(),
        ("mv", model_version()),
    ]
    return urlencode(values)


def permalink(address: str, setting: Setting, **more: str) -> str:
    """The page at ``address`` with these values and nothing else."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query(setting, **more), ""))


def at_own_size(setting: Setting) -> bool:
    """Then ``compare`` answers, else ``grow`` with one size: only that keeps waypoints in pace with the traffic."""
    return setting.services == setting.own


def as_cli(setting: Setting, engine: Answered) -> str:
    """The command that prints the rows where we are."""
    words = ["meshsim", "compare" if at_own_size(setting) else "grow", uploads.file_name(setting.application)]
    if not at_own_size(setting):
        words += ["--services", str(setting.services), "--no-html"]
    planes = tuple(plane_file(setting.terms, name) for name in setting.dataplanes)
    if planes != DATAPLANES:
        words += ["--dataplanes", ",".join(planes)]
    if (node := node_file(setting.terms)) != MACHINE:
        words += ["--machine", node]
    words += ["--rps", _number(setting)]
    words += ["--engine", "analytic"] if engine == "analytic" else ["--requests", str(setting.requests)]
    words += ["--seed", str(setting.seed)] if setting.seed != 1 and engine != "analytic" else []
    return shlex.join(words)


def as_shell(setting: Setting, engine: Answered) -> str:
    """The command, and before it the files that it reads: what the catalogue does not have."""
    made = files(setting.terms, setting.dataplanes)
    return "".join(f"cat > {name} <<'END'\n{text}END\n" for name, text in made.items()) + as_cli(setting, engine)


def as_python(setting: Setting, engine: Answered) -> str:
    """A program that prints the same rows as a table."""
    study = "compare" if at_own_size(setting) else "grow"
    given = [repr(uploads.file_name(setting.application))]
    if study == "grow":
        given.append(f"services=[{setting.services}]")
    own, machine, planes = _own_models(setting)
    given += [f"dataplanes={planes}", f"rps={_number(setting)}", *([f"machine={machine}"] if machine else [])]
    given += ['engine="analytic"'] if engine == "analytic" else [f"requests={setting.requests}", f"seed={setting.seed}"]
    inside = "".join(f"        {one},\n" for one in given)
    # Studies start processes, which read this file again: hence the last two lines.
    return (
        f"import meshsim as ms\n{own}\n\ndef main():\n"
        f"    study = ms.{study}(\n{inside}    )\n"
        "    print(study.table().to_csv(index=False))\n\n\n"
        'if __name__ == "__main__":\n    main()\n'
    )


def as_yaml(setting: Setting, dataplane: str, engine: Engine) -> str:
    """One data plane as a scenario for ``meshsim run FILE``."""
    from meshsim.app.instant import prepared

    scenario = _scenario(setting, dataplane, engine)
    plain = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    plain["application"] = uploads.file_name(setting.application)
    plain["dataplane"] = plane_file(setting.terms, dataplane)
    if (node := node_file(setting.terms)) != MACHINE:
        plain["cluster"] = {**plain.get("cluster", {}), "machine": node}
    text = yaml_text({"schema": "meshsim/scenario/1", **plain})
    ready = prepared(setting, dataplane)
    note = ""
    if ready.dataplane != setting.terms.dataplane(dataplane):
        note = (
            "# The app gives a waypoint that a namespace shares more replicas as there is more traffic. This file has\n"
            "# those of the data plane as it is written, so its latency can be higher. `meshsim grow` keeps pace too.\n"
        )
    return note + text


def _scenario(setting: Setting, dataplane: str, engine: Engine) -> Scenario:
    from meshsim.app import approximate
    from meshsim.studies.inputs import Settings

    settings = Settings("L7", setting.requests, None, setting.seed, "auto", "spread", engine=engine)
    services = None if at_own_size(setting) else setting.services
    inputs = approximate.inputs(setting.application, dataplane, setting.terms)
    return settings.scenario(inputs, dataplane, setting.own_rps * setting.services / setting.own, services)


def _own_models(setting: Setting) -> tuple[str, str, str]:
    """For the program: what it imports, the node and the data planes in Python; node empty if it is the usual one."""
    terms, imports = setting.terms, []
    node, planes = (repr(terms.node) if terms.node != MACHINE else ""), repr(list(setting.dataplanes))
    if terms.own_node:
        imports.append("priced")
        day = terms.machine().price_date
        node = f"priced(ms.load_machine({terms.node!r}), {terms.usd_hour!r}, {day!r})"
    if terms.own_sidecars:
        imports.append("with_sidecars")
        said = ", ".join(f"{name}={value!r}" for name, value in terms.sidecars.items() if value is not None)
        planes = f"[with_sidecars(ms.load_dataplane(name), {said}) for name in {planes}]"
    return (f"from meshsim.scenario.own import {', '.join(imports)}\n" if imports else ""), node, planes


def _number(setting: Setting) -> str:
    """The rate as the studies take it: where we are, or at the application's own size. With all its digits."""
    rate = float(setting.rps) if at_own_size(setting) else setting.own_rps
    return repr(rate).removesuffix(".0")
