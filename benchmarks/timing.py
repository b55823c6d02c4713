"""Helpers of the benchmarks: best of several repetitions, and where they ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

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


class Rate(NamedTuple):
    """How many of something a second."""

    passed: float
    """of the clock on the wall"""
    used: float
    """of one core's time; the first one is less where other processes use cores as well"""


def rate(work: Callable[[], object], count: int, repetitions: int = 7) -> Rate:
    """How fast ``count`` things are done, in the fastest repetition by each clock, after one to warm up."""
    work()
    passed, used = [], []
    for _ in range(repetitions):
        started = time.perf_counter(), time.process_time()
        work()
        passed.append(time.perf_counter() - started[0])
        used.append(time.process_time() - started[1])
    return Rate(count / min(passed), count / min(used))


def machine() -> str:
    """Processor, cores, Python, commit."""
    found = origin()
    commit = (found["commit"] or "?")[:7] + (" and changes" if found["dirty"] else "")
    return f"{found['processor']}, {found['cores']} cores, Python {found['python']}, commit {commit}"
