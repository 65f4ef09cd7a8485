"""The skeleton of a page: one HTML file that opens offline, prints, and asks nothing of any server.

plotly.js, styles, figures and the data lie inside the file. A content security policy in its head forbids the
browser to load anything else, so "no outside request" does not rest on good behaviour. Every text that comes
from a model file is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Protocol

from meshsim.figures import PLOTLY_CONFIG
from meshsim.formats.limits import NOT_MODELLED, assumptions
from meshsim.results.rows import Provenance

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


class Shown(Protocol):
    """A report that has a page."""

    @property
    def provenance(self) -> Provenance:
        """What it takes to get the same numbers."""

    def model_dump_json(self, *, by_alias: bool, indent: int) -> str:
        """All of it."""


def document(
    title: str, body: str, charts: dict[str, Any], report: Shown, *, kind: str, metrics: dict[str, Any] | None = None
) -> str:
    """A whole page. ``charts``: figure and ``alt`` of each ``chart(name)`` in the body; ``kind``: of the saved data."""
    page = {"charts": charts, "metrics": metrics or {}, "config": PLOTLY_CONFIG, "file": f"meshsim-{kind}.json"}
    data = report.model_dump_json(by_alias=True, indent=1)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="meshsim {escape(report.provenance.meshsim)}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_part("page.css")}</style>
</head>
<body>
<main>{body}</main>
<script type="application/json" id="report">{_inside_script(data)}</script>
<script type="application/json" id="charts">{_inside_script(json.dumps(page, ensure_ascii=False))}</script>
<script>{_plotly_js()}</script>
<script>{_part("page.js")}</script>
</body>
</html>
"""


def _inside_script(data: str) -> str:
    """JSON that cannot end the script element it lies in."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _part(name: str) -> str:
    return (files("meshsim.formats") / name).read_text(encoding="utf-8")


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def small_print(source: Provenance, notes: Sequence[str], rate: str) -> str:
    """Assumptions, what is not modelled, and how to get the same numbers."""
    facts = {
        "meshsim": source.meshsim,
        "seed": str(source.seed),
        "application": f"{source.application}, sha256 {source.application_hash[:16]}…",
        "costs": f"{', '.join(source.costs)}, sha256 {source.costs_hash[:16]}…",
        "nodes": f"{source.machine}, prices of {source.price_date}",
        "policy": source.policy,
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    assumed = section("What is assumed", bullets([*assumptions(source, rate), *notes]))
    missing = section("What this does not model", bullets(NOT_MODELLED))
    return f'<div class="two"><div>{assumed}</div><div>{missing}</div></div>' + section(
        "How to get the same numbers",
        f"<pre><code>{escape(source.command)}</code></pre><dl>{listed}</dl>"
        '<p style="margin-top:14px"><button type="button" id="save">Save the data as JSON</button></p>',
    )


def section(title: str, content: str) -> str:
    """A heading and what is under it; the content is HTML."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def bullets(items: Iterable[str]) -> str:
    """A list of sentences, escaped."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def cell(text: str, small: str = "") -> str:
    """A number, and under it a smaller one, escaped."""
    return f"<td>{escape(text)}{f'<small>{escape(small)}</small>' if small else ''}</td>"


def chart(name: str) -> str:
    """Where a chart goes."""
    return f'<div class="chart" role="img" data-chart="{name}"></div>'


def table(head: Sequence[str], lines: Iterable[Sequence[str]], label: str, names: int = 1) -> str:
    """Cells as text, escaped; the first ``names`` columns on the left."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=name' if number < names else ''}>{escape(text)}</{tag}>"
            for number, text in enumerate(cells)
        )

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in lines)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(label)}"><table><thead>'
        f"<tr>{row(head, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"
    )
