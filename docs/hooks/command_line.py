"""The help of every command, as the command prints it."""

from __future__ import annotations

from typer.testing import CliRunner

from makertaker.training.cli import app

MARK = "::commands::"


def names() -> list[str]:
    """Of the commands, in the order of the help."""
    return [str(each.name or getattr(each.callback, "__name__", "")) for each in app.registered_commands]


def help_of(*arguments: str) -> str:
    """The help of ``makertaker`` or of a command, at 80 columns."""
    result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="makertaker", env={"COLUMNS": "80"})
    if result.exit_code:
        raise RuntimeError(f"makertaker {' '.join(arguments)} --help: {result.output}")
    return result.output.strip()


def markdown() -> str:
    """A section for each command."""
    sections = [f"```text\n{help_of()}\n```"]
    sections += [f"### makertaker {name}\n\n```text\n{help_of(name)}\n```" for name in names()]
    return "\n\n".join(sections)
