"""Stand-in for Isaac Gym: checks the calls it gets, and like the real one insists on being imported before
torch."""

from __future__ import annotations

import sys

if "torch" in sys.modules:
    raise ImportError("torch was imported before isaacgym")
