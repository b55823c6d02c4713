"""Logs of learners: open while they learn, and failing in one place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from stable_baselines3.common.base_class import BaseAlgorithm

_WRITER = "_AsyncWriterThread"
"""of TensorBoard: what it raises comes out of the next call of its owner"""


@contextmanager
def closed_after(models: Mapping[str, BaseAlgorithm]) -> Iterator[None]:
    """Learn meanwhile: each call of ``learn`` opens a log with a thread and a file of its own.

    Args:
        models: by agent; an entry may become another meanwhile.

    Raises:
        OSError: a log cannot be written.
    """
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__name__ != _WRITER:
            before(arguments)

    threading.excepthook = hook
    try:
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the first reason is the one to know
                _close(models)
            raise
        _close(models)
    finally:
        for each in threading.enumerate():
            if type(each).__name__ == _WRITER and getattr(each, "exception", None) is not None:
                each.join()  # it is about to end, and to call the hook
        threading.excepthook = before


def _close(models: Mapping[str, BaseAlgorithm]) -> None:
    for model in models.values():
        if hasattr(model, "_logger"):
            model.logger.close()
