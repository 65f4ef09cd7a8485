"""A real small mesh on this host, driven and compared with what the simulator says of the same files.

A side wing like ``measure``, on which it is built: the simulator never imports it.

    scenarios.py       the scenarios in models/validation, what each is for, and the services as programs
    envoy_config.py    a data plane's proxies as configurations of real Envoys
    deploy.py          pods, servers, proxies, redirection by iptables or eBPF
    drive.py           load at a rate or in closed loop: latency, CPU by cgroup, memory
    predict.py         the same scenario, simulated
    scoreboard.py      measured beside predicted, with intervals: rows, errors, verdicts
    session.py         rounds, journal, resume
"""
