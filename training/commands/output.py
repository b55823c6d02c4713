"""Standard output and standard error of all commands."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Collection, Sequence
from itertools import zip_longest

from rich.table import Table

from ..common.console import Console

out = Console()
err = Console(stderr=True)
GAP = 2
"""spaces between columns of a list"""
_FEW = 12
"""columns with room for a few words"""


def show(document: object, as_json: bool, *content: Table | str) -> None:
    """Print a document on standard output, numbers in full precision; or its content for people to read."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        for each in content:
            if isinstance(each, Table):
                out.print_table(each)
            else:
                out.print(each, markup=False, highlight=False, soft_wrap=True)


def hint(text: str) -> None:
    """Say on a terminal what else there is."""
    if out.is_terminal:
        err.print(text, style="dim", markup=False, soft_wrap=True)


def width() -> int | None:
    """Columns that there are for a line: the terminal's, or the variable's ``COLUMNS``; None in a pipe without it."""
    return out.width if out.is_terminal or "COLUMNS" in os.environ else None


def room(used: int) -> int | None:
    """Columns that are left beside some that are used; None: any number."""
    limit = width()
    return None if limit is None else limit - used


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of text, one line each, with aligned columns; those in ``right`` to the right."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(size) if i in right else cell.ljust(size)
            for i, (cell, size) in enumerate(zip(row, sizes, strict=True))
        ]
        lines.append((" " * GAP).join(cells).rstrip())
    return lines


def described(rows: Sequence[Sequence[str]], texts: Sequence[str], right: Collection[int] = ()) -> list[str]:
    """Rows of short texts, whole, and behind them longer ones, as far as there is room; the first ones are headers."""
    lines = columns(rows, right)
    left = room(max(map(len, lines)) + GAP)
    if left is not None and left < _FEW:
        return lines
    header, *rest = texts
    return columns(list(zip(lines, [header, *(shortened(each, left) for each in rest)], strict=True)))


def shortened(text: str, size: int | None) -> str:
    """A text in so many columns, cut after a word with an ellipsis; nothing where not even a few words fit."""
    if size is None or len(text) <= size:
        return text
    words = text[: max(size - 1, 0)]
    return f"{words.rpartition(' ')[0].rstrip(' ,;:')}…" if size >= _FEW and " " in words else ""


def below(text: str, indent: int = 4) -> str:
    """A text below a row, further to the right."""
    return textwrap.indent("\n".join(_broken(text, indent)), " " * indent)


def _broken(text: str, indent: int) -> list[str]:
    """The lines of a text behind an indent, one where there is any room."""
    left = room(indent)
    return [text] if left is None else textwrap.wrap(text, max(left, _FEW), break_long_words=False)


def wrapped(rows: Sequence[Sequence[str]], texts: Sequence[str], right: Collection[int] = ()) -> list[str]:
    """Rows of short texts, and behind them longer ones, which go on below themselves where there is no room; a row is
    one text of one or several lines."""
    lines = columns(rows, right)
    indent = max(map(len, lines)) + GAP
    found = []
    for line, text in zip(lines, texts, strict=True):
        parts = zip_longest([line], _broken(text, indent), fillvalue="")
        pieces = [f"{before:<{indent}}{part}" for before, part in parts]
        found.append("\n".join(pieces))
    return found
