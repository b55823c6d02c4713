"""README and site do what they say: their Python runs, their commands parse and, where they are quick, run."""

import ast
import importlib.metadata
import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from makertaker.baselines import Equilibrium
from makertaker.envs.described import setting_of
from makertaker.training import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
QUICK = ("scenarios", "solve", "check", "references")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands(text, program="makertaker"):
    """Arguments of a program's commands in blocks, and of those in the last cells of tables."""
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    lines += re.findall(r"\| `([^`]+)` \|$", text, flags=re.M)
    return [tuple(shlex.split(line.partition("#")[0])[1:]) for line in lines if line.startswith(f"{program} ")]


NEEDS = {
    "makertaker.training ": "stable_baselines3",
    "makertaker.training.rllib": "ray",
    "makertaker.training.benchmarl": "benchmarl",
    "makertaker.envs.torchrl_env": "torchrl",
    "makertaker.envs.jax_env": "jax",
    "makertaker.training.jax": "optax",
    "from IPython": "IPython",
    "import supersuit": "supersuit",
}
"""what pages need that speak of a module"""
RECIPES = "docs/pipelines/your_library.md"
"""a page whose blocks stand alone, each for a library"""
CLI = "docs/cli.md"
"""the page of commands, which follow from one another"""
COMMANDS = list(dict.fromkeys(each for text in (README, *PAGES.values()) for each in commands(text)))
SCRIPTS = list(dict.fromkeys(each for text in (README, *PAGES.values()) for each in commands(text, "python")))


def run(block, where, names):
    """Run a page's code, with a training cut to one rollout; what it plays is what it solves."""
    exec(compile(re.sub(r"\.learn\(\d{3}_\d{3}\)", ".learn(6_144)", block), where, "exec"), names)
    solved = [(each.game, each.steps) for each in names.values() if isinstance(each, Equilibrium)]
    for name, value in names.items():
        played = None if inspect.ismodule(value) or inspect.isclass(value) else setting_of(value)
        if played is not None and solved and f"{name} =" in block:
            assert (played.game, played.steps) in solved, f"{where}: {name} plays another game than is solved"


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, capsys):
    if "supersuit" in block:
        pytest.importorskip("supersuit")
    run(block, "README.md", {})
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_the_readme_shows_what_its_first_block_prints(capsys):
    """To the last digit shown."""
    run(blocks("python")[0], "README.md", {})
    assert capsys.readouterr().out.split() == blocks("text")[0].split()


def test_the_readme_is_short():
    """Its second block trains and scores in twelve lines."""
    assert len(README.splitlines()) <= 120
    assert len(README.split()) < 1500
    block = blocks("python")[1]
    assert "score(env" in block
    assert ".learn(" in block
    assert len(block.splitlines()) <= 12


def test_a_page_that_plays_another_game_is_caught():
    block = """
from makertaker.baselines import solve
from makertaker.envs import acas_v0, load_scenario
env = acas_v0.parallel_env()
nash = solve(load_scenario("acas-2x3"))
"""
    with pytest.raises(AssertionError, match="env plays another game"):
        run(block, "page", {})


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks("python", text) and page != RECIPES])
def test_python_of_a_page_runs_from_top_to_bottom(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # libraries leave folders of their logs
    for module, package in NEEDS.items():
        if any(module in block for block in blocks("python", PAGES[page])):
            pytest.importorskip(package)
    names = {}
    for block in blocks("python", PAGES[page]):
        run(block, page, names)
    assert capsys.readouterr().out
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")  # a reader's page ends with its process


def recipes():
    """(section, block) of the page on other libraries."""
    sections = re.split(r"^## ", PAGES[RECIPES], flags=re.M)[1:]
    return [pytest.param(block, id=each.splitlines()[0]) for each in sections for block in blocks("python", each)]


@pytest.mark.clients
@pytest.mark.parametrize("block", recipes())
def test_a_recipe_runs_where_its_libraries_are_installed(block, capsys, tmp_path, monkeypatch):
    """With a training cut short, of which nothing is expected but that it plays the market and is scored."""
    monkeypatch.chdir(tmp_path)  # libraries leave folders of their logs
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for module in imported(block):
        pytest.importorskip(module)
    small = re.sub(r"^budget = [\d_]+", "budget = 4_000", block, flags=re.M)
    small = re.sub(r"n_trials=\d+", "n_trials=2", small)
    if "num_env_runners" in small:  # RLlib's own rounds are of 4,000 steps, each of which is learned from 30 times
        small = small.replace("budget = 4_000", "budget = 400")
        small = small.replace("env_runners=0)", "env_runners=0).training(train_batch_size=400, num_epochs=1)")
    if "ExperimentConfig" in small:  # BenchMARL's are of 6,000 steps, and learned from 45 times
        made = "config = ExperimentConfig.get_from_yaml()\n"
        small = small.replace(made, f"{made}config.on_policy_n_minibatch_iters = 1\n")
    assert small != block
    run(small, RECIPES, {"__name__": "__main__"})
    assert "equilibrium" in (said := capsys.readouterr().out) or "learning_rate" in said


def imported(block):
    """The packages that a block imports, our own left out."""
    nodes = [each for each in ast.walk(ast.parse(block)) if isinstance(each, ast.Import | ast.ImportFrom)]
    named = [each.module if isinstance(each, ast.ImportFrom) else each.names[0].name for each in nodes]
    return sorted({name.partition(".")[0] for name in named} - {"makertaker"})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_are_known(command):
    named = [command[0]] if not command[0].startswith("--") else []
    result = CliRunner().invoke(cli.app, [*named, "--help"])
    assert result.exit_code == 0
    options = [part for part in command if part.startswith("--")]
    assert all(option in re.sub(r"\x1b\[[0-9;]*m", "", result.output) for option in options)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] in QUICK], ids=" ".join)
def test_quick_commands_run(command):
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", SCRIPTS, ids=" ".join)
def test_scripts_exist_and_have_the_options(command):
    text = (ROOT / command[0]).read_text(encoding="utf-8")
    assert all(f'"{part}"' in text for part in command if part.startswith("--"))


def test_the_command_knows_its_version():
    """As the page of installation says."""
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert re.fullmatch(r"makertaker \d+\.\d+\.\d+\S*\n", result.output)
    assert result.output == f"makertaker {importlib.metadata.version('makertaker')}\n"
    assert 'importlib.metadata.version("makertaker")' in PAGES["docs/install.md"]


def test_training_commands_run_one_after_the_other(tmp_path, monkeypatch):
    """In the order of their page and with its arguments, but for a budget cut to a few episodes."""
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    run_with_small_budgets(each for each in commands(PAGES[CLI]) if not needs_ray(each))
    assert (tmp_path / "runs" / "ppo" / "report.html").is_file()


def test_commands_on_ray_run_one_after_the_other(one_machine, tmp_path, monkeypatch):
    """Of the pages of commands and of Ray, without those that want a cluster, or many processors; those that differ in
    their folder alone once."""
    monkeypatch.chdir(tmp_path)
    page = commands(PAGES["docs/pipelines/ray.md"])
    asked = [each for each in [*commands(PAGES[CLI]), *page] if needs_ray(each) or each in page]
    once = {re.sub(r"--out \S+", "", " ".join(each)): each for each in asked if "--address" not in each}
    run_with_small_budgets(once.values())
    assert (tmp_path / "runs" / "ray" / "report.html").is_file()
    assert (tmp_path / "runs" / "sweep" / "table.csv").is_file()


def needs_ray(command):
    return command[0] == "sweep" or "ray" in command


def run_with_small_budgets(asked):
    for command in map(list, asked):
        if command[0] not in ("train", "evaluate", "report", "sweep"):
            continue
        for option, value in (("--timesteps", "2560"), ("--seeds", "1")):
            if option in command:
                command[command.index(option) + 1] = value
        if command[0] == "sweep" and "--timesteps" not in command:
            command += ["--timesteps", "2560"]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.output


def test_files_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r'<img src="([^"]+)"', README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_tests_that_the_pages_name_exist():
    named = [each for text in PAGES.values() for each in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)]
    assert named
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), name
