"""The progress of what is computed, on a console: a bar, or lines where it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from ...baselines.progress import listening

_QUIET = 3.0
"""seconds before the first line"""
_BETWEEN = 10.0
"""seconds from line to line"""
_NARROW = 60
"""width of a screen that has no room for a bar"""
_TELLING = 1.0
"""seconds of steps after which they tell how long the others take"""


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Show how far computations of :mod:`makertaker.baselines` are, with the time that is left of each: on a terminal
    a bar, which goes in the end; elsewhere a line now and then, and none of what takes seconds."""
    if not console.is_terminal:
        with listening(_Lines(console)):
            yield
        return
    with Progress(*columns(console.width, 9999), console=console, transient=True) as bar, listening(_Bar(bar)):
        yield


def columns(width: int, total: int, beside: str | None = None) -> list[ProgressColumn]:
    """Of a bar for ``total`` steps, with a text of its task beside it; numbers are whole on narrow screens, too.

    Args:
        width: of the screen; where it is small there is no bar, and what is computed may take a second line.
        total: number of steps.
        beside: a text.
    """
    steps, first, last = (Column(no_wrap=True, min_width=each) for each in (2 * len(str(total)) + 1, 7, 7))
    texts = ["{task.description}"] if beside is None else ["{task.description}", beside]
    roomy = width >= _NARROW
    what, *between = (TextColumn(each, table_column=Column(no_wrap=roomy, overflow="fold")) for each in texts)
    bar = [BarColumn()] if roomy else []
    times = TimeElapsedColumn(table_column=first), TimeRemainingColumn(table_column=last)
    return [what, *bar, MofNCompleteColumn(table_column=steps), *between, *times]


class _Bar:
    """One task of a bar, which begins anew with each computation."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._bar.add_task(what, total=total)
        elif done == 0:
            self._bar.reset(self._task, description=what, total=total)
        self._bar.update(self._task, completed=done)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = self._begun = time.monotonic()
        self._next = self._start + _QUIET

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0:
            self._begun = now
        elif now >= self._next and done < total:
            spent = now - self._begun
            left = f", about {spent / done * (total - done):.0f} s left" if spent >= _TELLING else ""
            self._next = now + _BETWEEN
            text = f"{what}: {done} of {total} steps{left}; {now - self._start:.0f} s so far"
            self._console.print(text, highlight=False, soft_wrap=True)
