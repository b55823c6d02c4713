"""How long a solver may go on."""

from __future__ import annotations

import time

from ..envs.parameters import check_count, check_number

MOST_ITERATIONS = 1000


class Budget:
    """Iterations, and seconds if wanted, that all attempts of a solver have together.

    Args:
        iterations: at most.
        seconds: from now on, at most; None: any. They are looked at before every iteration.

    Raises:
        ValueError: not a positive whole number of iterations, or seconds that are not positive.
    """

    def __init__(self, iterations: int = MOST_ITERATIONS, seconds: float | None = None) -> None:
        check_count("iterations", iterations)
        if seconds is not None:
            check_number("seconds", seconds, strict=True)
        self.iterations, self.seconds, self.spent = iterations, seconds, 0
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def exhausted(self) -> str:
        """What is used up, in words; empty where nothing is."""
        if self.spent >= self.iterations:
            return f"{self.iterations:,} iterations are over"
        if self._end is not None and time.monotonic() >= self._end:
            return f"{self.seconds:g} seconds are over"
        return ""

    def spend(self) -> bool:
        """Take an iteration; False where none is left."""
        if self.exhausted:
            return False
        self.spent += 1
        return True
