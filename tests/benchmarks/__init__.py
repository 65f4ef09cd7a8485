"""How fast the engines are, against other ways to simulate the same: ``python -m tests.benchmarks``."""

import sys
from pathlib import Path

# The small worlds of the tests lie one folder up, where pytest finds them by its conftest.
sys.path.insert(0, str(Path(__file__).parents[1]))
