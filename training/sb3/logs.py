"""Logs of learners: open while they learn, and failing in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from stable_baselines3.common.base_class import BaseAlgorithm

from ..common.log_threads import told_once


@contextmanager
def closed_after(models: Mapping[str, BaseAlgorithm]) -> Iterator[None]:
    """Learn meanwhile: each call of ``learn`` opens a log with a thread and a file of its own.

    Args:
        models: by agent; an entry may become another meanwhile.

    Raises:
        OSError: a log cannot be written.
    """
    with told_once():
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the first reason is the one to know
                _close(models)
            raise
        _close(models)


def _close(models: Mapping[str, BaseAlgorithm]) -> None:
    for model in models.values():
        if hasattr(model, "_logger"):
            model.logger.close()
