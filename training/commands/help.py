"""Help of commands on narrow terminals: names keep to a third of a line, and no word is broken."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

_NARROW, _LEAST = 52, 20
"""columns below which help is told how many there are, and those that it has at least"""
_Context: Any = TyperGroup.context_class  # click's, which some versions of typer bring with them
_Formatter: Any = _Context.formatter_class


def _width() -> int | None:
    """Columns of help on a narrow terminal; None: the usual ones, up to eighty."""
    columns = shutil.get_terminal_size().columns
    return max(columns - 1, _LEAST) if columns < _NARROW else None


class _NarrowFormatter(_Formatter):  # type: ignore[misc]  # a class that is found in another
    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """A list of names with texts, which begin below names that are too long."""
        super().write_dl(rows, min(col_max, self.width // 3) if self.width < _NARROW else col_max, col_spacing)


class _NarrowContext(_Context):  # type: ignore[misc]
    formatter_class = _NarrowFormatter

    def __init__(self, *given: Any, terminal_width: int | None = None, **options: Any) -> None:
        super().__init__(*given, terminal_width=_width() if terminal_width is None else terminal_width, **options)


class Command(TyperCommand):
    """A command with such help."""

    context_class = _NarrowContext


class Group(TyperGroup):
    """The same of all commands together."""

    context_class = _NarrowContext
