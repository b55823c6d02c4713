"""Consoles that print on any encoding: a character that it lacks becomes one that it has."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from typing import Any

import rich.console
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

_HANDLER = "makertaker.substitute"
_WIDE = 10_000
_SUBSTITUTES = {"±": "+-", "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "“": '"', "”": '"', "’": "'"}  # noqa: RUF001


class Console(rich.console.Console):
    """A console of rich's whose texts have only characters of its encoding, so that columns stay aligned."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text to be printed. See rich."""
        return super().render_str(substituted(text, self.encoding), **options)

    def print_table(self, table: Table) -> None:
        """Print a table, wider than the console where it must be: no word or number of it is cut."""
        needed = self.measure(table, options=self.options.update(width=_WIDE)).minimum
        options = self.options.update(width=max(self.width, needed))
        self.print(Segments(self.render(table, options)), soft_wrap=True)


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
