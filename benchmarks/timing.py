"""Helpers of the benchmarks: best of several repetitions, and where they ran."""

from __future__ import annotations

import time
from collections.abc import Callable

from makertaker.training.common.provenance import origin


def best(work: Callable[[], object], repetitions: int = 7) -> float:
    """Seconds of the fastest repetition, after one to warm up: the one least disturbed by other processes."""
    work()
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def machine() -> str:
    """Processor, cores, Python, commit."""
    found = origin()
    commit = (found["commit"] or "?")[:7] + (" and changes" if found["dirty"] else "")
    return f"{found['processor']}, {found['cores']} cores, Python {found['python']}, commit {commit}"
