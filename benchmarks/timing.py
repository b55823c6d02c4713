"""Helpers of the benchmarks: best of several repetitions, and where they ran."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable


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
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit.stdout.strip() or '?'}"
