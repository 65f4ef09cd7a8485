"""Let tests import the helpers that lie beside them, and make hypothesis draw the same examples in every run."""

import os
import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

# pytest-xdist gives its workers the width of a terminal that they do not have.
os.environ.pop("COLUMNS", None)
