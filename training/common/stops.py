"""Requests of the system to end, as interrupts: what is computed is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")
"""of Slurm and ``timeout``; of a shell that is closed; Windows has the first alone"""


class Stop(KeyboardInterrupt):
    """An interrupt by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """128 plus the signal's number, as shells have it: 143 for SIGTERM, 129 for SIGHUP, 130 for Ctrl-C."""
    return 128 + (interrupt.number if isinstance(interrupt, Stop) else signal.SIGINT)


@contextmanager
def interrupting() -> Iterator[None]:
    """SIGTERM and SIGHUP raise :class:`Stop` meanwhile, once: a second one would interrupt the saving.

    A signal that is ignored, as under ``nohup``, stays so. Threads other than the main one cannot set handlers, and
    leave them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    caught = [number for number in numbers if before[number] is not signal.SIG_IGN]

    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise Stop(number)

    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if received and not isinstance(interrupt, Stop):  # Ray raises an interrupt of its own for it
            raise Stop(received[0]) from interrupt
        raise
    finally:
        for number in caught:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextmanager
def kept() -> Iterator[None]:
    """The handler of SIGTERM is afterwards what it was: Ray sets one of its own when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
