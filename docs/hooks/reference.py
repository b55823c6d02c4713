"""The reference: a page for every public name, made from what the packages export. Nothing is imported.

Public are the names in ``__all__`` of the three packages, and those of the modules that :data:`MORE` lists.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PACKAGES = {
    "envs": "Games, their parts, environments, scenarios.",
    "baselines": "Equilibria, best responses, reference points, conditions.",
    "training": "Learners, and how far what they learned is from the equilibrium. Learning needs an extra.",
}
ENVIRONMENTS = ("acas_v0", "maker_taker_v0", "execution_v0", "approximation_v0")
"""modules with pages of their own"""
MORE: dict[str, dict[str, tuple[str, ...]]] = {
    "envs": {
        "grid": ("grid", "step"),
        "jax_env": ("JaxMarket", "JaxParams"),
        "jaxmarl_env": ("JaxMARLMarket",),
        "gymnax_env": ("GymnaxMarket",),
        "torchrl_env": ("TorchMarket", "ActorPolicy"),
    },
    "baselines": {
        "continuous": ("field", "matrices", "path", "riccati"),
        "gymnax_envs": ("gymnax_market",),
    },
    "training": {
        "benchmarl_callbacks": ("NashConvHistory", "Anneal"),
        "benchmarl_task": ("MarketTask", "policies"),
        "common.hyperparameters": ("PPOSettings",),
        "common.information": ("visible",),
        "common.jax_algorithms": ("find",),
        "jax.learners": ("JaxLearners",),
        "jax.scores": ("scorer",),
        "render": ("render", "Film"),
        "rllib": ("RLlibLearners", "MarketRunner", "ppo_config"),
        "run_config": ("RunConfig",),
        "runs": ("train", "resume", "load_policies", "evaluate_run"),
        "sb3.algorithms": ("find",),
        "sweep": ("sweep", "summary"),
    },
}


class Symbol(NamedTuple):
    """A public name."""

    package: str
    module: str
    """from which it is imported, below the package; empty for the package itself"""
    name: str

    @property
    def identifier(self) -> str:
        """Its full name, which is the anchor of its page."""
        return ".".join(part for part in ("makertaker", self.package, self.module, self.name) if part)

    @property
    def title(self) -> str:
        """Its name below the package."""
        return f"{self.module}.{self.name}" if self.module else self.name

    @property
    def page(self) -> str:
        """Where it is explained. File systems that fold cases keep a class and a function of its name apart."""
        folded = _folded(self.package)[self.title.lower()] > 1
        mark = "-class" if folded and self.name[0].isupper() else ""
        return f"reference/{self.package}/{self.title}{mark}.md"


@cache
def tree(path: Path) -> ast.Module:
    """A source file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(module: Path) -> Path:
    """The source of a module, given without its suffix."""
    return file if (file := module.with_suffix(".py")).is_file() else module / "__init__.py"


def _exported(package: str) -> list[str]:
    """``__all__`` of a package."""
    for node in tree(ROOT / package / "__init__.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise ValueError(f"{package}: expected __all__, got none")


@cache
def symbols(package: str) -> tuple[Symbol, ...]:
    """The public names of a package: what it exports, then those of its modules."""
    own = [Symbol(package, "", name) for name in _exported(package) if name not in ENVIRONMENTS]
    more = [Symbol(package, module, name) for module, names in MORE[package].items() for name in names]
    return (*own, *more)


@cache
def _folded(package: str) -> Counter[str]:
    return Counter(each.title.lower() for each in symbols(package))


def _imports(module: ast.Module, file: Path, name: str) -> list[Path]:
    """Modules, without suffix, from which a module may have a name."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level and {each.name for each in node.names} & {name, "*"}:
            found.append(file.parents[node.level - 1].joinpath(*(node.module or "").split(".")))
    return found


def _defined(module: ast.Module, name: str) -> str | None:
    """The docstring of what a module defines under a name; None where it defines nothing of this name."""
    for node, following in zip(module.body, [*module.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            if any(getattr(each, "id", "") == "overload" for each in node.decorator_list):
                continue
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            told = following.value if isinstance(following, ast.Expr) else None
            return str(told.value) if isinstance(told, ast.Constant) else ""
    return None


def _searched(file: Path, name: str) -> str | None:
    module = tree(file)
    if (found := _defined(module, name)) is not None:
        return found
    for each in _imports(module, file, name):
        if (found := _searched(_file(each), name)) is not None:
            return found
    return None


def docstring(symbol: Symbol) -> str:
    """What the source says of a public name, wherever it is defined.

    Raises:
        ValueError: there is no such name.
    """
    module = ROOT.joinpath(symbol.package, *symbol.module.split("."))
    found = _searched(_file(module) if symbol.module else module / "__init__.py", symbol.name)
    if found is None:
        raise ValueError(f"{symbol.identifier}: expected a class, a function or an alias of this name, got none")
    return found


def summary(symbol: Symbol) -> str:
    """The first sentence of its docstring, as a cell of a table."""
    first = docstring(symbol).partition("\n\n")[0].replace("\n", " ")
    first = re.sub(r":\w+:`[~.]?([^`]*)`", lambda found: f"`{found[1].rpartition('.')[2]}`", first.replace("``", "`"))
    return re.sub(r"(?<=[\w`)])[.:](?:\s.*)?$", "", re.split(r"(?<=[\w`)])[.] (?=[A-Z])", first)[0]).replace("|", "\\|")


def _table(package: str, listed: list[Symbol]) -> list[str]:
    rows = [f"| [`{each.title}`]({each.page.removeprefix('reference/')}) | {summary(each)} |" for each in listed]
    return ["| name | |", "| --- | --- |", *rows, ""]


def overview(package: str) -> str:
    """A package's page: all its public names in tables."""
    own = [each for each in symbols(package) if not each.module]
    lines = [f"# makertaker.{package}", "", PACKAGES[package], ""]
    if package == "envs":
        listed = ", ".join(f"[{name}](../environments/{name}.md)" for name in ENVIRONMENTS)
        lines += [f"The environments have pages of their own: {listed}.", ""]
    for title, upper in (("Functions", False), ("Classes", True)):
        lines += [f"## {title}", "", *_table(package, [each for each in own if each.name[0].isupper() is upper])]
    lines += ["## In modules", "", *_table(package, [each for each in symbols(package) if each.module])]
    return "\n".join(lines)


def page(symbol: Symbol) -> str:
    """The page of a public name."""
    begins = any(each.title.startswith(f"{symbol.title}_") for each in symbols(symbol.package))  # as solve, solve_many
    boost = 0.5 if symbol.module else 2.0 if begins else 1.0
    return f"---\nsearch: {{boost: {boost}}}\n---\n\n::: {symbol.identifier}\n    options:\n      heading_level: 1\n"


def usage(environment: str) -> str:
    """A few lines that play an environment."""
    return f"""from makertaker.envs import {environment}

env = {environment}.parallel_env()
observations, infos = env.reset(seed=0)
while env.agents:
    actions = {{agent: env.action_space(agent).sample() for agent in env.agents}}
    observations, rewards, terminations, truncations, infos = env.step(actions)
"""


def pages() -> dict[str, str]:
    """All pages of the reference, by path."""
    made = {f"reference/{package}.md": overview(package) for package in PACKAGES}
    return made | {each.page: page(each) for package in PACKAGES for each in symbols(package)}


def navigation() -> list[dict[str, list[str | dict[str, str]]]]:
    """The reference's part of the site's navigation."""
    return [
        {f"makertaker.{package}": [f"reference/{package}.md", *({each.title: each.page} for each in symbols(package))]}
        for package in PACKAGES
    ]
