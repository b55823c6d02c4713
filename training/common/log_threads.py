"""Threads of TensorBoard's writers: what one raises comes out of the next call of its owner, and is not told twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WRITER = "_AsyncWriterThread"


@contextmanager
def told_once() -> Iterator[None]:
    """No thread of a writer prints a traceback meanwhile."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__name__ != _WRITER:
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        for each in threading.enumerate():
            if type(each).__name__ == _WRITER and getattr(each, "exception", None) is not None:
                each.join()  # it is about to end, and to call the hook
        threading.excepthook = before
