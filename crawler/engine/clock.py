"""Time and chance, in one place, so that a simulation can put its own there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Where the engine gets the time and its random numbers from."""

    now: Callable[[], float]
    """Monotonic seconds: for every duration and every wait. The event loop's own clock."""
    wall: Callable[[], float] = time.time
    """Unix time: for what outlives the process."""
    random: Callable[[], float] = random.random
    """A number in [0, 1): jitter, never a secret."""
