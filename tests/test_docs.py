"""The README does what it says: its Python runs, its commands parse and, where they are quick, run."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from makertaker.training import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


COMMANDS = [
    shlex.split(line.partition("#")[0])[1:]
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("makertaker ")
]


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, capsys):
    exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_are_known(command):
    result = CliRunner().invoke(cli.app, [command[0], "--help"])
    assert result.exit_code == 0
    options = [part for part in command if part.startswith("--")]
    assert all(option in re.sub(r"\x1b\[[0-9;]*m", "", result.output) for option in options)


QUICK = ("scenarios", "solve", "check", "references")


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] in QUICK], ids=" ".join)
def test_quick_commands_run(command):
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output


def test_training_commands_run_one_after_the_other(tmp_path, monkeypatch):
    """In the README's order and with its arguments, but for a budget cut to a few episodes."""
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    for command in map(list, COMMANDS):
        if command[0] not in ("train", "evaluate", "report"):
            continue
        if "--timesteps" in command:
            command[command.index("--timesteps") + 1] = "2560"
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "runs" / "ppo" / "report.html").is_file()


def test_files_the_readme_links_to_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
