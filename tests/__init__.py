"""A package, because Ciw installs one of the same name: ``python -m tests.benchmarks`` must find this one."""
