"""``python -m galerist`` is the console script ``galerist``."""

import sys

from galerist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
