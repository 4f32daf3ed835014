"""`python -m dima`."""

from __future__ import annotations

import sys

from dima.cli import main

sys.exit(main())
