"""Consoles that print on any encoding: a character that it lacks becomes one that it has."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import rich.console
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

_HANDLER = "makertaker.substitute"
_WIDE = 10_000
_COMMAND = "makertaker "
"""the beginning of a command"""
_SUBSTITUTES = {"±": "+-", "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "“": '"', "”": '"', "’": "'"}  # noqa: RUF001


class Console(rich.console.Console):
    """A console of rich's whose texts have only characters of its encoding, so that columns stay aligned."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text to be printed. See rich."""
        return super().render_str(substituted(text, self.encoding), **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print. What is told without wrapping goes on at a word where a terminal ends, and is one line elsewhere; a
        command to be copied stays in one piece. See rich."""
        told = soft_wrap and self.is_terminal and all(isinstance(each, str) for each in objects)
        if told and not any(_COMMAND in each for each in objects):
            super().print(*objects, **options)
        else:
            super().print(*objects, soft_wrap=soft_wrap, **options)

    def print_table(self, table: Table) -> None:
        """Print a table: no word or number of it is cut. What is too wide for a terminal becomes a list, with a block
        for each row; elsewhere it is as wide as it must be."""
        needed = self.measure(table, options=self.options.update(width=_WIDE)).minimum
        if needed > self.width and (self.is_terminal or "COLUMNS" in os.environ):
            self.print(Text("\n").join(map(Text, upright(table))), soft_wrap=True)
            return
        options = self.options.update(width=max(self.width, needed))
        self.print(Segments(self.render(table, options)), soft_wrap=True)


def upright(table: Table) -> Iterator[str]:
    """A table as lines: a block for each row, its first cell as a heading, then every other with its header."""
    names = [str(each.header) for each in table.columns]
    size = max(map(len, names[1:]), default=0)
    for first, *rest in zip(*(each.cells for each in table.columns), strict=True):
        yield f"{names[0]}: {first}"
        for name, cell in zip(names[1:], rest, strict=True):
            yield f"  {name:<{size}}  {' '.join(str(cell).split())}"


def substituted(text: str, encoding: str) -> str:
    """The text in characters that an encoding has; ``±`` becomes ``+-`` in ASCII, and what has no substitute an
    escape."""
    return text.encode(encoding, _HANDLER).decode(encoding, "surrogateescape")


def never_fail() -> None:
    """Let standard output and standard error substitute characters that their encodings lack."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    """The handler: substitutes, letters without their accents, bytes of file names as they came, escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    each = error.object[error.start]
    after = error.start + 1
    if "\udc80" <= each <= "\udcff":  # a byte of a file's name that the locale could not read
        return bytes([ord(each) - 0xDC00]), after
    plain = unicodedata.normalize("NFKD", each).replace("\u2044", "/").encode("ascii", "ignore").decode("ascii")
    return _SUBSTITUTES.get(each) or plain or each.encode("ascii", "backslashreplace").decode("ascii"), after


codecs.register_error(_HANDLER, _substitute)
