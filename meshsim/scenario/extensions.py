"""What can be added to a proxy: built-in features, scripts, WebAssembly plug-ins, and other processes that it asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Name, Strict

PluginRuntime = Literal["v8", "wasmtime", "wasmedge", "wamr"]


class FeatureOn(Strict):
    """A built-in feature that is switched on: ``proxy.<software>.feature.<name>`` for each request."""

    name: Literal["access-log", "rbac-policy", "header-mutation", "rate-limit", "tracing", "jwt", "ext-authz"]
    count: Annotated[
        float,
        Field(gt=0, le=1e6, description="How many for each request: rules, headers; for tracing the share sampled"),
    ] = 1.0


class Extension(Strict):
    """A filter of one's own inside a proxy, called for each message that it handles."""

    name: Name
    kind: Annotated[
        Literal["native", "lua", "wasm", "external"],
        Field(
            description="native: compiled into the proxy; lua: a script; wasm: a plug-in in a virtual machine; "
            "external: another process is asked, and the request waits for its answer"
        ),
    ]
    runtime: Annotated[PluginRuntime | None, Field(description="Of a wasm plug-in")] = None
    host_calls: Annotated[
        int, Field(ge=0, le=100_000, description="wasm: how often it calls the proxy for each request (one a header)")
    ] = 2
    compute_bytes: Annotated[
        int,
        Field(ge=0, le=1 << 30, description="wasm: bytes that it computes over for each request, besides host calls"),
    ] = 0
    on: Annotated[
        Literal["request", "response", "both"],
        Field(description="Which messages it handles; each is charged as the cost book's request"),
    ] = "request"
    copies: Annotated[int, Field(ge=1, le=1000, description="So many such filters, one after the other")] = 1
    module_kib: Annotated[
        float, Field(gt=0, le=1 << 20, description="wasm: size of its module; compiled when the proxy starts")
    ] = 100.0
    process: Annotated[
        Name | None, Field(description="external: name of a proxy of this file without `ends`, placed pod or node")
    ] = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Extension:
        if (self.kind == "wasm") != (self.runtime is not None):
            raise ValueError(f"extension {self.name}: `kind: wasm` and a `runtime` go together")
        if (self.kind == "external") != (self.process is not None):
            raise ValueError(f"extension {self.name}: `kind: external` and a `process` go together")
        return self

    def virtual_machines(self, workers: int) -> int:
        """Of a wasm plug-in in one proxy: one a worker for each filter, and the template on the main thread."""
        return self.copies * (workers + 1) if self.kind == "wasm" else 0
