"""Certificates, made on the spot with the openssl command: an authority, and an identity that it signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshsim.measure.lab import Lab


@dataclass(frozen=True)
class Identity:
    """What one end of mutual TLS shows and checks."""

    certificate: Path
    key: Path
    authority: Path


def identity(lab: Lab, name: str = "service") -> Identity:
    """A P-256 certificate for a day, as meshes hand them out, in a folder of the lab."""
    folder = lab.folder()

    def new(who: str, *options: str) -> None:
        lab.call(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", f"/CN={who}", "-keyout", str(folder / f"{who}.key"), "-out", str(folder / f"{who}.pem"), *options]
        )  # fmt: skip

    new("authority")
    signed_by = ["-CA", str(folder / "authority.pem"), "-CAkey", str(folder / "authority.key")]
    new(name, *signed_by, "-addext", f"subjectAltName=URI:spiffe://cluster.local/ns/default/sa/{name}",
        "-addext", "basicConstraints=critical,CA:false")  # fmt: skip
    return Identity(folder / f"{name}.pem", folder / f"{name}.key", folder / "authority.pem")
