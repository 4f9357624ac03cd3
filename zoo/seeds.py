"""Seeds of trainings: the whole numbers that numpy's global generator takes."""

from __future__ import annotations

import numpy

from needle.errors import SettingError

SEEDS = 2**32 - 1  # the largest


def check_seed(where: str, seed: int) -> None:
    """Raises SettingError unless the seed is a whole number (of any kind of integer) from 0 to SEEDS."""
    if isinstance(seed, bool) or not isinstance(seed, int | numpy.integer) or not 0 <= seed <= SEEDS:
        raise SettingError(f"[{where}] seed must be a whole number from 0 to {SEEDS}, got {seed}")
