"""``python -m galerist`` is the command ``galerist`` of that Python."""

import sys

from galerist.cli.main import main

sys.exit(main())
