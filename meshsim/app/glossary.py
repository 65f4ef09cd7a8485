"""Words of the trade in plain words: for the glossary, and for the help of controls."""

from __future__ import annotations

GLOSSARY = {
    "ambient": "Istio without sidecars: a ztunnel on every node, and a waypoint where requests must be understood.",
    "calibrated": "A cost that was fitted to measurements, with the error of the fit.",
    "circuit breaker": "Stops sending to a service that has too much to do, or fails too often.",
    "cold caches": "What a thread needs and no longer finds near its core when it has slept for long: it works more.",
    "conntrack": "The kernel's table of connections; with iptables each packet looks itself up in it.",
    "cost book": "A file that says what each small operation costs, where that figure comes from, how sure it is.",
    "critical path": "The part of a request that its answer had to wait for: of calls made together, the last.",
    "data plane": "What requests pass through: proxies and the kernel. The control plane only tells it how.",
    "eBPF": "Small programs that the kernel checks (the verifier) and then runs itself, at each packet or call.",
    "fan-out": "Calls that one request makes at the same time; it waits for the slowest.",
    "HBONE": "The encrypted HTTP/2 tunnel between ztunnels and waypoints.",
    "hedging": "Sending a second attempt before the first has failed, and taking whichever answers first.",
    "hop": "One call from a service to another, and the answer.",
    "iptables": "The kernel's rules for packets; meshes use them to send an application's traffic to its sidecar.",
    "L4 and L7": "L4 sees connections and bytes; L7 understands requests, so it can retry, route and count them.",
    "Little's law": "Requests in a system = rate of arrival x time that each stays. Holds for every queue.",
    "model error": "How far the errors of the costs could move a figure.",
    "mTLS": "Encryption in which both sides prove who they are.",
    "node proxy": "One proxy for all pods of a node: fewer processes, one shared queue, one noisy neighbour.",
    "open loop": "Requests come whether or not the earlier ones were answered, as from many people who do not wait "
    "for each other.",
    "p50, p90, p99, p99.9": "So many per cent of the requests are faster than this.",
    "paired": "Data planes see the same requests at the same times, so that chance cancels out of their difference.",
    "sampling error": "What a run of finite length leaves open.",
    "saturation": "The rate at which something is busy all the time; beyond it, its queue only grows.",
    "sidecar": "A proxy in every pod, beside the application.",
    "sockmap": "Sockets on one host joined by the kernel, past TCP.",
    "telemetry": "What a proxy writes down about a request after answering it.",
    "utilisation": "Share of the time that something is busy. From about 0.9 on, queues explode.",
    "verifier": "The part of the kernel that refuses an eBPF program unless it is sure to end and to stay in bounds.",
    "wake-up": "Getting a sleeping thread onto a core: it costs CPU and time, and only idle workers pay it.",
    "Wasm": "WebAssembly: code in a sandbox, here filters inside a proxy or whole services.",
    "waypoint": "A shared L7 proxy between services, in a deployment of its own.",
    "worker": "A thread of a proxy. It handles one message at a time; the others wait in line.",
    "ztunnel": "Istio's small L4 proxy on every node; it encrypts and carries bytes.",
}
"""Word -> one sentence, in alphabetical order."""
