"""Tasks side by side: on Ray where it is installed, otherwise in processes of this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from .extras import needed


class Crashed(NamedTuple):
    """What stands for the result of a task whose worker died again and again."""

    reason: str


class Workers(ABC):
    """Somewhere to run tasks."""

    @abstractmethod
    def processors(self, tasks: int) -> int:
        """How many each of so many tasks may use."""

    @abstractmethod
    def run(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processors: int
    ) -> AbstractContextManager[Iterator[tuple[int, Any]]]:
        """Positions of tasks and their results as they end, in a context: leaving it ends the others.

        Args:
            function: of a module, which raises nothing but KeyboardInterrupt.
            tasks: its arguments.
            processors: that each of them uses.
        """


@contextmanager
def opened(address: str | None = None) -> Iterator[Workers]:
    """Workers, ready.

    Args:
        address: of a Ray cluster; None: this machine.

    Raises:
        ImportError: there is an address, and Ray is missing.
        ValueError: there is no cluster at the address.
    """
    if address is None and find_spec("ray") is None:
        yield needed("common.processes", "train").Processes()
        return
    cluster = needed("common.cluster", "ray")
    with cluster.connected(address):
        yield cluster.Tasks()
