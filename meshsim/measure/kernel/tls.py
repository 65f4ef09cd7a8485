"""TLS 1.3 with certificates on both ends by OpenSSL: what a full handshake and a record cost, without any socket."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import best, line
from meshsim.measure.kernel.paths import cpus, foremost
from meshsim.measure.lab import Lab, program
from meshsim.measure.native import tool

NAME = "kernel.tls"
SIZES = (64, 256, 1024, 4096, 16_384)
"""Of records, bytes: one record holds 16 KiB at most."""
HALVES = ("encrypt", "decrypt")


def make_certificates(lab: Lab, folder: Path) -> None:
    """A certificate authority, and P-256 certificates of ``client`` and ``server`` signed by it: NAME.pem, NAME.key."""
    openssl = program("openssl") or "openssl"

    def call(words: str) -> None:
        lab.call([openssl, *shlex.split(words)])

    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    call(f"req -x509 {key} -days 2 -subj /CN=meshsim -keyout {folder}/ca.key -out {folder}/ca.pem")
    for name in ("client", "server"):
        call(f"req {key} -subj /CN={name} -keyout {folder}/{name}.key -out {folder}/{name}.csr")
        signer = f"-CA {folder}/ca.pem -CAkey {folder}/ca.key -CAcreateserial"
        call(f"x509 -req -in {folder}/{name}.csr {signer} -days 2 -out {folder}/{name}.pem")


def run(bench: Bench) -> None:
    """Full handshakes of a client and a server in one thread over memory, then records by size over the last one."""
    bench.lab.keep_awake()
    folder = bench.lab.folder()
    make_certificates(bench.lab, folder)
    handshakes, records = (100, 1000) if bench.quick else (400, 8000)
    argv = [str(tool("tls")), str(folder), str(handshakes), str(records), *map(str, SIZES)]
    bench.measure({}, partial(_readings, bench.lab, argv))


def _readings(lab: Lab, argv: list[str]) -> dict[str, Reading | str]:
    found = json.loads(lab.call(argv, cpus=[cpus("same")[0]], schedule=foremost()))
    readings: dict[str, Reading | str] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            readings |= {f"{half}_{name}_ns": value[f"{half}_ns"] for half in HALVES}
        else:
            readings[name] = value
    return readings


def costs(samples: Samples) -> list[Cost]:
    """tls.handshake and tls.record: for comparison with what proxies take for the same."""
    found = samples.of(NAME)
    if not found:
        return []
    client, server = (samples.values(NAME, f"{end}_handshake_ns") for end in ("client", "server"))
    rows = [(s.round, size, sum(s.values[f"{half}_{size}_ns"] for half in HALVES) / 2) for s in found for size in SIZES]
    words = found[0].words
    made = f"{words['version']}, {words['cipher']}, P-256 certificates"
    apart = ", ".join(
        f"{half} {np.median(samples.values(NAME, f'{half}_4096_ns')):.0f} ns" for half in HALVES
    )  # fmt: skip
    return [
        cost(
            "tls.handshake",
            "one end of a full mutual handshake",
            experiment=NAME,
            reference="TLS 1.3 between a client and a server in one thread over memory, no socket; each verifies "
            f"the other's certificate; mean of client ({client.min() / 1000:.0f} us) and server "
            f"({server.min() / 1000:.0f} us). Setting up the two objects is left out, the server's session "
            "tickets are in. Profiled, OpenSSL 3.0 spends most of it looking up algorithms and allocating, little of "
            "it on curves: it is no measure of other libraries",
            conditions=made,
            cpu=best((client + server) / 2),
            taken_off="nothing: two clock readings are below a thousandth",
            raw=found[0],
            metric="server_handshake_ns",
        ),
        cost(
            "tls.record",
            "record encrypted or decrypted",
            experiment=NAME,
            reference=f"records of {SIZES[0]} to {SIZES[-1]} bytes in batches, mean of both directions (of 4096 bytes: "
            f"{apart}); through OpenSSL's own buffers in memory, no socket",
            conditions=made,
            cpu=line(np.array(rows, np.float64)),
            taken_off="nothing: one clock reading a batch",
            raw=found[0],
            metric="encrypt_4096_ns",
        ),
    ]


EXPERIMENTS = [
    Experiment(
        NAME,
        "a full mutual TLS 1.3 handshake and records by size, with OpenSSL [ns]",
        run, seconds=2.0, quick_seconds=0.7, needs=("compiler", "openssl", "libssl"),
    )
]  # fmt: skip
