"""Proxies in other languages: nginx with Lua, HAProxy (both C) and Caddy (Go). Each forwards to the role's upstream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsim.measure.lab import LabError, program
from meshsim.measure.proxy.software import Role

MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/share/nginx/modules"))


def _path(name: str) -> str:
    path = program(name)
    if path is None:
        raise LabError(f"no {name} on this host")
    return path


@dataclass(frozen=True)
class Nginx:
    """nginx with its Lua module, the engine of OpenResty. Without an upstream it answers 200 itself."""

    scripts: int = 0
    """Lua scripts for each request, each of which reads one header and adds one."""
    key: str = "nginx-lua"

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration; the command."""
        modules = next((path for path in MODULES if (path / "ngx_http_lua_module.so").exists()), None)
        if modules is None:
            raise LabError("no Lua module of nginx: apt-get install libnginx-mod-http-lua")
        script = 'local path = ngx.req.get_headers()["host"]; ngx.req.set_header("x-lua-%d", path); return "1"'
        lines = [f"set_by_lua_block $lua{n} {{ {script % n} }}" for n in range(self.scripts)]
        upstream = ""
        if role.upstream:
            upstream = f"upstream up {{ server {role.upstream[0]}:{role.upstream[1]}; keepalive 256; }}"
            lines += ["proxy_pass http://up;", "proxy_http_version 1.1;", 'proxy_set_header Connection "";']
        else:
            lines += ['return 200 "' + "x" * 64 + '";']
        temporary = "\n".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        file = folder / "nginx.conf"
        file.write_text(f"""
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
user root;
worker_processes {role.workers};
pid {folder}/pid;
error_log {folder}/error.log error;
daemon off;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  {temporary}
  client_max_body_size 16m;
  keepalive_requests 100000000;
  {upstream}
  server {{
    listen {role.port};
    location / {{
      {chr(10).join(lines)}
    }}
  }}
}}
""")
        return [_path("nginx"), "-c", str(file), "-p", str(folder)]

    def worker(self, pids: Sequence[int]) -> Path | None:
        """It is the child of the master."""
        return Path(f"/proc/{pids[-1]}/task/{pids[-1]}")


@dataclass(frozen=True)
class Haproxy:
    """HAProxy, for HTTP/1.1 or as a TCP proxy."""

    key: str = "haproxy"

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration; the command."""
        if role.upstream is None:
            raise LabError("haproxy needs an upstream")
        mode = "tcp" if role.protocol == "tcp" else "http"
        reuse = "" if mode == "tcp" else "http-reuse always"
        file = folder / "haproxy.cfg"
        file.write_text(f"""
global
  nbthread {role.workers}
  maxconn 8192
defaults
  mode {mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 0.0.0.0:{role.port}
  default_backend up
backend up
  {reuse}
  server up {role.upstream[0]}:{role.upstream[1]}
""")
        return [_path("haproxy"), "-f", str(file), "-db", "-q"]

    def worker(self, pids: Sequence[int]) -> Path | None:
        """One thread is all of it."""
        return Path(f"/proc/{pids[0]}/task/{pids[0]}")


@dataclass(frozen=True)
class Caddy:
    """Caddy, a proxy in Go; as many running threads as it has CPUs."""

    key: str = "caddy"

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration; the command."""
        if role.upstream is None:
            raise LabError("caddy needs an upstream")
        file = folder / "Caddyfile"
        file.write_text(f"""{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
}}
http://:{role.port} {{
  reverse_proxy {role.upstream[0]}:{role.upstream[1]} {{
    transport http {{
      keepalive_idle_conns_per_host 256
    }}
  }}
}}
""")
        # Its home is the lab's folder, so that nothing is left in the user's.
        environment = [f"HOME={folder}", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
        environment.append(f"GOMAXPROCS={role.workers}")
        return ["env", *environment, _path("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]

    def worker(self, pids: Sequence[int]) -> Path | None:
        """Its goroutines move between threads."""
        return None
