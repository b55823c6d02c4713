"""The command line at several widths, in pipes, without colours, with wrong names; its help, completion and hints."""

import importlib
import os
import re
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from makertaker.baselines import solve
from makertaker.baselines.progress import listening, told
from makertaker.envs import read_scenario, scenario_names
from makertaker.training import cli, completion
from makertaker.training.commands import output
from makertaker.training.common import extras, progress
from makertaker.training.common.engines import ENGINES

pytestmark = pytest.mark.usefixtures("undrawn")

COMMANDS = tuple(each.name or each.callback.__name__ for each in cli.app.registered_commands)
WIDTHS = (None, 40, 80, 120)
QUICK = {
    ("scenarios",): scenario_names(),
    ("scenarios", "acas"): ["competition.gamma=1.0", "trader_inventory=[-5.0]"],
    ("solve", "acas", "--steps", "2"): ["trader_0", "maker_1", "converged"],
    ("check", "execution-2", "--steps", "2"): ["terminal penalty outweighs constant impact", "-1", "0.05"],
    ("check", "execution-2", "--steps", "2", "--verbose"): ["Theorem 2.7, case 2, for any crowding"],
    ("references", "execution-2", "--steps", "2"): ["cooperative", "Almgren-Chriss,"],
}
"""commands, with words that they print whole"""


@pytest.fixture
def terminal(monkeypatch):
    """Sets the width of the terminal; None: a pipe that knows none."""

    def of(columns):
        for name in ("FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")

        def console(**options):
            return type(output.out)(force_terminal=columns is not None, width=columns, **options)

        for module in ("output", "games"):
            module = importlib.import_module(f"makertaker.training.commands.{module}")
            for name, stream in (("out", False), ("err", True)):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, console(stderr=stream))

    return of


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_no_name_and_no_number_is_cut(arguments, columns, command, terminal):
    terminal(columns)
    code, out, err = command(*arguments)
    assert code == 0
    assert "\x1b[3" not in out + err  # a colour
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert columns is not None or err == ""
    for word in QUICK[arguments]:
        assert word in (" ".join(out.split()) if arguments[0] == "check" else out), word
    assert "…" not in "".join(line[:25] for line in out.splitlines())  # of names, that is


@pytest.mark.parametrize(
    "arguments", [("solve", "acas", "--steps", "2"), ("check", "acas", "--steps", "2"), ("scenarios",)], ids=" ".join
)
def test_what_is_narrow_has_no_line_that_is_wider(arguments, command, terminal):
    """Tables become blocks, with every header beside its number; texts go on below themselves."""
    terminal(40)
    lines = command(*arguments)[1].splitlines()
    assert max(map(len, lines[:-1])) <= 40  # the last is an account, which may go on
    if arguments[0] == "solve":
        terminal(80)
        header, row = (command(*arguments)[1].splitlines()[i] for i in (1, 3))
        cells = [each.strip() for each in re.split("[┃│]", row)][1:-1]
        assert lines[0] == f"agent: {cells[0]}"
        assert [line.split()[-1] for line in lines[1:5]] == cells[1:]
        assert lines[1].split()[0] == "payoff"
        assert "payoff" in header


@pytest.mark.parametrize("columns", [80, 120])
def test_lists_have_a_line_for_each(columns, command, terminal):
    terminal(columns)
    lines = command("scenarios")[1].splitlines()
    assert len(lines) == len(scenario_names()) + 1
    assert max(map(len, lines)) <= columns
    lines = command("check", "acas", "--steps", "2")[1].splitlines()
    assert len(lines) == 7 + 1  # the conditions of a game with fixed quotes, of which the header speaks
    assert max(map(len, lines)) <= columns


def test_a_pipe_has_descriptions_whole(command, terminal):
    terminal(None)
    out = command("scenarios")[1]
    assert all(read_scenario(name).description in out for name in scenario_names())


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenarios_keys_are_those_of_set_and_a_file(name, command, tmp_path):
    """All of them given back leave the scenario what it is."""
    printed = command("scenarios", name)[1]
    (tmp_path / "mine.toml").write_text(printed, encoding="utf-8")
    own = read_scenario(name)
    for again in (read_scenario(name, printed.splitlines()[2:]), read_scenario(tmp_path / "mine.toml")):
        assert (again.game, again.steps) == (own.game, own.steps)


@pytest.mark.parametrize("columns", ["40", "80", "120"])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_names_whole_and_examples(name, columns):
    result = CliRunner().invoke(cli.app, [*name.split(), "-h"], env={"COLUMNS": columns})
    assert result.exit_code == 0
    long = CliRunner().invoke(cli.app, [*name.split(), "--help"], env={"COLUMNS": columns})
    assert long.output == result.output
    assert "…" not in result.output
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|\{?(RUN|SCENARIO)\}?\.\.\.", "", result.output)
    assert "<bool>" not in result.output
    told = result.output.partition("Examples:")[0]
    assert max(map(len, told.splitlines())) <= int(columns)  # commands to be copied stay whole
    found = re.findall(r"^ +makertaker (\w+.*)$", result.output.partition("Examples:")[2], flags=re.M)
    assert len(found) >= 2
    assert {each.split()[0] for each in found} <= {name or "solve", name or "train"}
    for word in ("solve", "references", "130  Ctrl-C") if not name else ("--help",):
        assert word in result.output


@pytest.mark.parametrize(
    "example",
    [
        each
        for name in COMMANDS
        for each in re.findall(
            r"makertaker (\w+.*)", CliRunner().invoke(cli.app, [name, "-h"]).output.partition("Examples:")[2]
        )
    ],
)
def test_options_of_examples_exist(example):
    name, *rest = example.split()
    known = CliRunner().invoke(cli.app, [name, "-h"]).output.partition("Examples:")[0]
    assert all(each in known for each in rest if each.startswith("--"))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("slove", "acas"), "'solve'"),
        (("solve", "acass"), "did you mean 'acas'?"),
        (("solve", "acas", "--set", "gamma=2"), "did you mean 'competition.gamma'?"),
        (("check", "aproximation"), "did you mean 'approximation'?"),
        (("references", "dealer"), "did you mean 'dealers'?"),
        (("solve", "acas", "--stesp", "3"), "--steps"),
        (("train", "acas", "--algorithm", "ppp", "--out", "x"), "did you mean 'ppo'?"),
        (("train", "acas", "--algorithm", "maker_O=sac", "--out", "x"), "did you mean 'maker_1' or 'maker_0'?"),
        (("train", "acas", "--engine", "sb33", "--out", "x"), "did you mean 'sb3'?"),
        (("train", "acas", "--information", "ful", "--out", "x"), "did you mean 'full'?"),
        (("train", "acas", "--hp", "ppo.learningrate=1", "--out", "x"), "did you mean 'learning_rate'?"),
        (("sweep", "acas", "dealrs", "--out", "x"), "did you mean 'dealers'?"),
        (("solve", "execution-2", "--set", "impact=2"), "did you mean 'permanent_impact' or 'temporary_impact'?"),
        (("record", "acas", "--policies", "lerned", "--out", "x"), "did you mean 'learned'?"),
    ],
)
def test_a_wrong_name_gets_a_suggestion(arguments, meant, command, terminal):
    if arguments[0] in ("train", "record"):
        pytest.importorskip("sb3_contrib")
    terminal(40)
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert meant in " ".join(err.split())


@pytest.mark.parametrize("name", ["evaluate", "report", "compare", "render"])
def test_a_run_beside_is_suggested(name, run, command):
    """Only what is one, and only where nothing is at the path itself."""
    other = run.parent / f"{run.name[:-1]}x"
    (run.parent / f"{run.name[:-1]}y").mkdir()
    rest = ("--out", "film.gif") if name == "render" else ()
    code, _, err = command(name, str(other), *rest)
    assert code == 2
    assert err.rstrip().endswith(f"did you mean {str(run)!r}?")


def test_references_say_what_would_work(command):
    """Under best quotes there is no feedback equilibrium and no coalition; the command that is named has both."""
    out = command("references", "acas", "--steps", "2")[1]
    assert "makertaker references acas --set 'competition={kind=\"softmax\",rate=1.0,outside=0.0}'" in out
    out = command("references", "acas", "--steps", "2", "--set", 'competition={kind="softmax",rate=1.0,outside=0.0}')[1]
    assert "under shares that sum to one" not in out
    assert [line for line in out.splitlines() if "coalition" in line and "–" not in line]  # noqa: RUF001


def test_a_long_computation_is_told_and_a_quick_one_is_not(capsys, monkeypatch):
    """On what is no terminal a line after some seconds, on a clock that runs ahead."""
    ticks = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks))
    with progress.shown(Console(stderr=True)):
        list(told("field", range(30)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "field: 2 of 30 steps, about 28 s left; 3 s so far"  # the clock starts with the context
    assert len(lines) == 3
    monkeypatch.setattr(progress.time, "monotonic", time.time)
    with progress.shown(Console(stderr=True)):
        list(told("field", range(30)))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_has_a_bar(width, capsys):
    with progress.shown(Console(stderr=True, force_terminal=True, width=width, color_system=None)):
        assert list(told("feedback equilibrium", range(320))) == list(range(320))
    said = capsys.readouterr().err
    assert re.search(r"feedback\s.*\b\d+/320\b", said, flags=re.S)
    assert "…" not in said


def test_the_decoupling_field_tells_its_steps():
    heard = []
    with listening(lambda *each: heard.append(each)):
        solve("approximation-small-noise", 2)
    assert heard[:3] == [("decoupling field", done, 2) for done in range(3)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_names(shell):
    """As the shell's script asks for it, in a process of its own."""
    words = {"bash": "COMP_WORDS", "zsh": "_TYPER_COMPLETE_ARGS", "fish": "_TYPER_COMPLETE_ARGS"}[shell]
    asked = {words: "makertaker solve dea", "COMP_CWORD": "2", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = os.environ | asked | {"_MAKERTAKER_COMPLETE": f"complete_{shell}"}
    program = "from makertaker.training.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert "dealers" in done.stdout
    assert "acas" not in done.stdout


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["--show-completion", "zsh"], "#compdef makertaker"),
        (["--show-completion", "fish"], "complete --command makertaker"),
        (["--show-completion=bash"], "_makertaker_completion()"),
        (["--show-completion", "zhs"], "makertaker: unknown shell 'zhs': did you mean 'zsh'?"),
    ],
)
def test_the_script_of_a_shell_that_is_named(words, begins):
    program = "from makertaker.training.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert (done.stdout or done.stderr).startswith(begins)
    assert done.returncode == (2 if "unknown" in begins else 0)


def test_completion_knows_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").touch()
    assert completion.scenarios("") == [*scenario_names(), "own.toml"]
    assert completion.engines("") == list(ENGINES)
    assert completion.information("f") == ["full"]
    assert completion.memories("l") == ["lstm"]
    assert {"ppo", "mappo"} <= set(completion.algorithms(""))
    algorithms = pytest.importorskip("makertaker.training.sb3.algorithms")
    assert set(algorithms.ALGORITHMS) <= set(completion.algorithms(""))


def test_a_report_is_opened_where_there_is_a_browser(run, command, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    code, _, err = command("report", str(run), "--open")
    assert (code, err, opened) == (0, "", [(run / "report.html").as_uri()])
    assert "no browser was found" in command("report", str(run), "--open")[2]


def test_a_training_names_the_next_command(tmp_path, command):
    pytest.importorskip("sb3_contrib")
    options = ("--timesteps", "40", "--markets", "2", "--steps", "2", "--hp", "ppo.minibatches=1")
    code, out, _ = command("train", "acas", *options, "--out", str(tmp_path / "run"))
    assert code == 0
    assert out.splitlines()[-1] == f"next: makertaker report {tmp_path / 'run'} --open"


def test_a_missing_library_is_installed_from_the_source(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ImportError, match=r"^this needs ray: pip install '\.\[ray\]' in the folder of makertaker's source$"
    ):
        extras.library("ray", "ray")
