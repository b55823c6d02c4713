"""Tasks in processes of this machine, fresh ones, which share nothing with this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from multiprocessing import connection
from types import FrameType
from typing import Any

from . import stops
from .workers import Crashed, Workers

_TRIES = 3
"""of a task whose process dies"""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Processes(Workers):
    """As many processes as there are processors for them.

    Where this process is interrupted the others are asked to save what they have, and waited for.
    """

    def processors(self, tasks: int) -> int:
        """See :meth:`.Workers.processors`."""
        return max(1, (os.cpu_count() or 1) // max(1, tasks))

    @contextmanager
    def run(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processors: int
    ) -> Iterator[Iterator[tuple[int, Any]]]:
        """See :meth:`.Workers.run`."""
        with _threads(processors), closing(self._run(function, tasks, processors)) as results:
            yield results

    def _run(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processors: int
    ) -> Generator[tuple[int, Any], None, None]:
        waiting, tries = deque(range(len(tasks))), Counter[int]()
        count = max(1, (os.cpu_count() or 1) // processors)
        running: dict[Future[Any], tuple[int, ProcessPoolExecutor]] = {}
        with _pools() as pools:
            while waiting or running:
                while waiting and len(running) < count:
                    pool = pools.take()
                    with suppress(BrokenProcessPool):  # it died idle: the task waits for the next one
                        future = pool.submit(_do, function, tasks[waiting[0]])
                        running[future] = waiting.popleft(), pool
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task, pool = running.pop(future)
                    if isinstance(crash := future.exception(), BrokenProcessPool):
                        tries[task] += 1
                        if tries[task] < _TRIES:
                            waiting.append(task)
                        else:
                            yield task, Crashed(f"its process died {_TRIES} times: {crash}")
                    else:
                        pools.idle.append(pool)
                        yield task, future.result()


def _do(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """In a process of the pool."""
    try:
        with stops.interrupting():
            return function(*arguments)
    except KeyboardInterrupt:  # saved; the pool ends, and must not find this process waiting for another task
        os._exit(1)


def _begin() -> None:
    """In a process of the pool: a terminal's Ctrl-C is for the process that started it, which sends SIGTERM.

    SIGTERM leaves what waits for a task by an exception: one that was killed would keep the lock of the pool's queue.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Save what there is and end where the process that started this one is gone, however it went."""
    connection.wait([parent])
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Pools:
    """Pools of one process each: a process that dies takes its pool along, and so no task but its own."""

    def __init__(self) -> None:
        self.idle: list[ProcessPoolExecutor] = []
        self._all: list[ProcessPoolExecutor] = []

    def take(self) -> ProcessPoolExecutor:
        """One that is idle, or a new one."""
        if self.idle:
            return self.idle.pop()
        self._all.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin))
        return self._all[-1]

    def close(self) -> None:
        """Wait for what runs, and end all processes."""
        for pool in self._all:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _pools() -> Iterator[_Pools]:
    """Pools whose processes are asked to save and end where this is left by an exception."""
    before = set(multiprocessing.active_children())
    pools = _Pools()
    try:
        yield pools
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()  # SIGTERM: see :func:`_do`
        raise
    finally:
        pools.close()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Numerical libraries of processes that are started meanwhile use so many threads, unless the user said how
    many."""
    chosen = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(chosen, str(count)))
    try:
        yield
    finally:
        for name in chosen:
            os.environ.pop(name, None)
