"""How far a long computation is, for whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Listener: TypeAlias = Callable[[str, int, int], None]
"""called with what is computed, the steps that are done, and all of its steps"""
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let a function hear of what this thread computes meanwhile."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def told(what: str, steps: Sequence[T]) -> Iterator[T]:
    """The steps of a computation, one after the other; a listener hears of each that is done.

    >>> with listening(lambda *heard: print(*heard)):
    ...     for _ in told("field", range(2)):
    ...         pass
    field 0 2
    field 1 2
    field 2 2
    """
    listener = _LISTENER.get()
    if listener is None:
        yield from steps
        return
    listener(what, 0, len(steps))
    for done, each in enumerate(steps, start=1):
        yield each
        listener(what, done, len(steps))
