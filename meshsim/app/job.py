"""The process of one run: ``python -m meshsim.app.job FOLDER``. See ``meshsim.app.runs`` for the files."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from meshsim.app.runs import BEAT_S, Question, read_question, write
from meshsim.app.terms import with_files
from meshsim.results.rows import ComparisonReport, GrowthReport
from meshsim.scenario.base import MeshsimError
from meshsim.studies.compare import compare
from meshsim.studies.grow import grow
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.question import Common


def main(folder: Path) -> None:
    """Simulate what the folder asks for, and write down what comes out."""
    began = time.monotonic()
    told = {"share": 0.0, "what": "starting", "partial": False}
    ended = threading.Event()

    def tell() -> None:
        write(folder / "progress.json", json.dumps({**told, "elapsed_s": time.monotonic() - began}))

    def beat() -> None:
        while not ended.wait(BEAT_S):
            tell()

    def on_progress(done: int, total: int, what: str) -> None:
        told.update(share=done / max(total, 1), what=what)

    tell()
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        text, partial = answer(read_question(folder), on_progress, (folder / "cancel").exists)
    except MeshsimError as error:
        write(folder / "error.txt", str(error))
    except Exception as error:
        write(folder / "error.txt", f"a fault of meshsim, {type(error).__name__}: {error}")
        raise
    else:
        told.update(share=told["share"] if partial else 1.0, partial=partial)
        ended.set()
        heart.join()
        tell()
        write(folder / "report.json", text)
    finally:
        ended.set()


def answer(asked: Question, on_progress: Progress | None = None, should_stop: Stop | None = None) -> tuple[str, bool]:
    """The report as JSON, and whether it was stopped early."""
    common: Common = {
        "requests": asked.requests,
        "seed": asked.seed,
        "machine": asked.terms.machine(),
        "on_progress": on_progress,
        "should_stop": should_stop,
    }
    planes = [asked.terms.dataplane(name) for name in asked.dataplanes]
    if asked.kind == "compare" and asked.sizes == (asked.own,):
        report = compare(asked.application, planes, asked.rps, **common).report
        return _written(report, asked), report.partial
    grown = grow(asked.application, asked.sizes, planes, asked.rps, "per-service", **common).report
    return _written(grown, asked), grown.partial


def _written(report: ComparisonReport | GrowthReport, asked: Question) -> str:
    """As JSON; an uploaded file is called as its owner calls it, and own terms by the files that hold them."""
    command = report.provenance.command.replace(asked.application, Path(asked.application).name)
    command = with_files(command, asked.terms, asked.dataplanes)
    provenance = report.provenance.model_copy(update={"command": command})
    changes = {"provenance": provenance, "notes": [*report.notes, *asked.terms.words()]}
    return report.model_copy(update=changes).model_dump_json(by_alias=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
