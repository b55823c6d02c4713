"""The scripts in ``benchmarks``, as their docstrings describe them. Nothing is imported.

A docstring begins with the question, in its first line; indented lines are commands; the paragraph that begins with
``Measured:`` is the answer, in Markdown, with links from the repository's root.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from reference import ROOT

_FOLDER = ROOT / "benchmarks"
_HELPERS = ("timing",)
"""modules there that are no scripts"""
_COMMAND = re.compile(r"^    (\S*python benchmarks/\S+\.py.*|makertaker .*)$", re.M)
_ANSWER = re.compile(r"^Measured:(.+?)(?:\n\n|\Z)", re.M | re.S)


class Script(NamedTuple):
    """A script's question, commands and answer."""

    name: str
    question: str
    commands: tuple[str, ...]
    """as they are typed, with options in brackets"""
    answer: str
    """in Markdown, with links from ``docs``; empty where nothing was measured so far"""


def described(name: str, text: str) -> Script:
    """A script by the text of its docstring. Raises ValueError where it has no question or no command."""
    first, _, _ = text.partition("\n")
    question, mark, _ = first.partition("?")
    commands, answer = tuple(_COMMAND.findall(text)), _ANSWER.search(text)
    if not mark:
        raise ValueError(f"benchmarks/{name}.py: expected a question in its docstring's first line, got {first!r}")
    if not any(f"benchmarks/{name}.py" in each for each in commands):
        raise ValueError(f"benchmarks/{name}.py: expected an indented line with its command in its docstring")
    told = "" if answer is None else " ".join(answer[1].split())
    return Script(name, f"{question}?", commands, told.replace("](docs/", "]("))


def scripts() -> list[Script]:
    """All of them, by name."""
    paths = sorted(each for each in _FOLDER.glob("*.py") if each.stem not in _HELPERS)
    return [described(each.stem, _docstring(each)) for each in paths]


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def table() -> str:
    """Questions and answers."""
    rows = [f"| `{each.name}.py` | {each.question} | {each.answer} |" for each in scripts()]
    return "\n".join(["| script | question | answer |", "| --- | --- | --- |", *rows])


def commands() -> str:
    """A block of all commands."""
    lines = [command for each in scripts() for command in each.commands]
    return "\n".join(["```console", *lines, "```"])
