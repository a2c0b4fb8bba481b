"""`python -m cen_cli`: the command `cen`."""

from __future__ import annotations

import sys

from cen_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
