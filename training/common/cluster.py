"""Ray: one machine by default, or a cluster. Needs the extra ``ray``."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import ray

from . import stops
from .workers import Crashed, Workers

_LOCAL = "local"
_TIMEOUT = 5.0
"""seconds in which a head node answers, and in which processors are released that were in use"""


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """A connection to Ray; one that exists already is used and left open.

    Args:
        address: of a cluster: ``"auto"``, the one that this machine belongs to, or ``"10.0.0.1:6379"``. None: the
            cluster that the environment variable ``RAY_ADDRESS`` names, else this machine, for as long as this lasts.

    Raises:
        ValueError: there is no cluster at the address, or this process is connected to another one.
    """
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here):
            raise ValueError(f"address: expected {here!r}, to which this process is connected already, got {address!r}")
        yield
        return
    given = address or os.environ.get("RAY_ADDRESS") or _LOCAL
    _probe(given)
    levels = {each: each.level for each in (logging.getLogger("ray"), logging.getLogger("ray.rllib"))}
    for each in levels:  # RLlib gives advice to those who write its configuration
        each.setLevel(logging.ERROR)
    try:
        try:
            dashboard = False if given == _LOCAL else None
            with stops.kept():
                ray.init(given, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"address: no Ray cluster answers at {given!r}: {error}") from error
        yield
    finally:
        ray.shutdown()
        for each, level in levels.items():
            each.setLevel(level)


class Tasks(Workers):
    """Ray tasks, in a session that goes on: where this is left, none goes on writing."""

    def processors(self, tasks: int) -> int:
        """See :meth:`.Workers.processors`: no more than one machine has."""
        largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1)
        together = int(ray.cluster_resources().get("CPU", 1))
        return max(1, min(together // max(1, tasks), largest))

    @contextmanager
    def run(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processors: int
    ) -> Iterator[Iterator[tuple[int, Any]]]:
        """See :meth:`.Workers.run`."""
        with closing(self._run(function, tasks, processors)) as results:
            yield results

    def _run(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processors: int
    ) -> Generator[tuple[int, Any], None, None]:
        remote = ray.remote(num_cpus=processors, max_retries=3)(function)
        running = {remote.remote(*each): task for task, each in enumerate(tasks)}
        try:
            while running:
                (ended, *_), _ = ray.wait(list(running))
                task = running.pop(ended)
                try:
                    yield task, ray.get(ended)
                except ray.exceptions.RayError as crash:  # the worker or its node died, again and again
                    yield task, Crashed(f"{type(crash).__name__}: {crash}")
        finally:
            for each in running:
                ray.cancel(each, force=True)


def _probe(address: str) -> None:
    """Raises ValueError where no host answers; Ray itself would ask for minutes."""
    found = re.fullmatch(r"(?:\w+://)?\[?([^/\]]+?)\]?:(\d+)", address)
    if found is None:
        return
    host, port = found.groups()
    try:
        socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"address: no Ray cluster answers at {address!r}: {error}") from error


def check_processors(wanted: int) -> None:
    """Raises ValueError where fewer processors of the cluster are free: Ray would wait for them without a word."""
    there = int(ray.cluster_resources().get("CPU", 0))
    deadline = time.monotonic() + _TIMEOUT  # those of actors that have just ended are released a little later
    while (free := int(ray.available_resources().get("CPU", 0))) < wanted:
        if there < wanted or time.monotonic() > deadline:
            raise ValueError(
                f"runners: expected at most {free}, the free ones of the cluster's {there} processors, got {wanted}"
            )
        time.sleep(0.2)
