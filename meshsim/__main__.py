"""``python -m meshsim``."""

import sys

from meshsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
