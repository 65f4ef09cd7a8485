"""Microbenchmarks of this host: real kernel, eBPF, proxies, Wasm runtimes and containers become a cost book.

A side wing: the simulator never imports it, and of the simulator it imports only ``costs``.

    doctor.py       what this host can measure, and the remedy for what it cannot
    session.py      rounds over experiments: journal, resume, progress, noise; then the book
    experiment.py   what an experiment is, and the samples it gives
    fit.py          samples -> fixed and per-unit costs with standard errors
    book.py         costs of all groups -> a cost book with its raw samples
    host.py         conditions: processor, kernel, clock, foreign load, a speed probe
    lab.py          pods as network namespaces, processes, cgroups, settings; all undone at the end
    ledger.py       what was made is written down first, so that ``--clean`` finds what a killed run left
    native.py       C programs, compiled on the spot
    kernel/ ebpf/ proxy/ wasm/ container/    the experiments of each group
"""
