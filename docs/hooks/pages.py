"""The parts of the site that are made when it is built: environment pages, reference, equation map, figures, formulas.

MkDocs calls the functions whose names begin with ``on_``.
"""

from __future__ import annotations

import ast
import html
import re
from functools import cache
from typing import Any

import command_line
import equation_map
import explorer
from figures import FIGURES
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = equation_map.ROOT
ENVIRONMENTS = ("acas_v0", "maker_taker_v0", "execution_v0", "approximation_v0")
FILMS = {  # of `make gifs`
    "acas_v0": ("acas", "What REINFORCE learned in the scenario `acas`, with the equilibrium as a dashed ghost."),
    "maker_taker_v0": ("maker-taker-3x3", "The equilibrium of the scenario `maker-taker-3x3`."),
    "execution_v0": ("execution-2", "The equilibrium of the scenario `execution-2`; the price is noisy."),
    "approximation_v0": (
        "approximation",
        "The equilibrium of the scenario `approximation` on one path of the noise; dashed, the mean of all paths.",
    ),
}
PACKAGES = {
    "envs": "Games, their parts, environments, scenarios.",
    "baselines": "Equilibria, best responses, reference points, conditions.",
    "training": "Independent learners and what they reached. Needs the extra `train`.",
}
MORE: dict[str, dict[str, tuple[str, ...]]] = {  # beside what the packages export
    "envs": {
        "jax_env": ("JaxMarket", "JaxParams"),
        "jaxmarl_env": ("JaxMARLMarket",),
        "gymnax_env": ("GymnaxMarket",),
        "torchrl_env": ("TorchMarket", "ActorPolicy"),
    },
    "baselines": {"gymnax_envs": ("gymnax_market",)},
    "training": {
        "sb3.algorithms": ("find",),
        "common.hyperparameters": ("PPOSettings",),
        "rllib": ("RLlibLearners", "MarketRunner", "ppo_config"),
        "sweep": ("sweep", "summary"),
        "benchmarl.task": ("MarketTask", "policies"),
        "benchmarl.callbacks": ("NashConvHistory", "Anneal"),
        "common.information": ("visible",),
        "evaluation.scoring": ("Evaluation", "evaluate"),
        "run_config": ("RunConfig",),
        "render": ("render", "Film"),
        "runs": ("train", "resume", "load_policies", "evaluate_run"),
    },
}
_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
_ROLE = re.compile(r":(?:class|func|meth|attr|mod):<code>~?([^<]*)</code>")


def tree(path: str) -> ast.Module:
    """A source file of the repository, parsed."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def environment(name: str) -> str:
    """An environment's page: its module docstring, with a film below the title."""
    title, _, text = (ast.get_docstring(tree(f"envs/{name}.py")) or "").partition("\n")
    film, caption = FILMS[name]
    shown = f"![An episode of {film}, step by step](../figures/{film}.gif)\n\n*{caption}*"
    text = f"{title}\n\n{shown} [How to read it](../concepts/rendering.md).\n{text}"
    return re.sub(r"\((\w+_v0)\.py\)", r"(\1.md)", text)


@cache
def exports(package: str) -> dict[str, tuple[str, ...]]:
    """Which names a package takes from which of its modules, the environments' modules aside."""
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree(f"{package}/__init__.py")):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            found[node.module] = tuple(each.name for each in node.names)
    return found | MORE.get(package, {})


def reference(package: str) -> str:
    """A package's reference: every public name, by module."""
    lines = [f"# makertaker.{package}", "", PACKAGES[package], ""]
    if package == "envs":
        listed = ", ".join(f"[{name}](../environments/{name}.md)" for name in ENVIRONMENTS)
        lines += [f"The environments have pages of their own: {listed}.", ""]
    for module, names in exports(package).items():
        if module == "runs":  # its module docstring describes files
            lines += ["## makertaker.training.runs", ""]
            lines += [f"::: makertaker.training.runs.{name}\n    options:\n      heading_level: 3" for name in names]
            continue
        members = "".join(f"\n        - {name}" for name in names)
        lines += [f"::: makertaker.{package}.{module}", "    options:", f"      members:{members}", ""]
    return "\n".join(lines)


@cache
def explorer_file(path: str) -> str:
    """A file of the explorer; once for all builds of a server."""
    return explorer.FILES[path]()


@cache
def figure(path: str) -> bytes:
    """A figure; once for all builds of a server."""
    return FIGURES[path]()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and figures that are made."""
    made: dict[str, str | bytes] = {"paper/equation-map.md": equation_map.markdown()}
    made |= {f"environments/{name}.md": environment(name) for name in ENVIRONMENTS}
    made |= {f"reference/{package}.md": reference(package) for package in PACKAGES}
    made |= {path: figure(path) for path in FIGURES}
    made |= {path: explorer_file(path) for path in explorer.FILES}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def _mathml(found: re.Match[str]) -> str:
    block = found[1] == "div"
    latex = html.unescape(found[2]).strip().replace("{aligned}", "{align*}")
    formula = convert(latex, display="block" if block else "inline")
    return f'<div class="formula">{formula}</div>' if block else formula


@cache
def homes() -> dict[str, str]:
    """Where the reference explains a public name."""
    return {
        name: f"makertaker.{package}.{module}.{name}"
        for package in PACKAGES
        for module, names in exports(package).items()
        for name in names
    }


def _link(found: re.Match[str]) -> str:
    name = found[1].rpartition(".")[2]
    if name not in homes():
        return f"<code>{name}</code>"
    return f'<autoref identifier="{homes()[name]}" optional><code>{name}</code></autoref>'


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the commands' help where a page asks for it."""
    return markdown.replace(command_line.MARK, command_line.markdown()) if command_line.MARK in markdown else markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> Any:
    """Formulas as MathML, which browsers show without any script; Sphinx's roles in docstrings as links."""
    text = _ROLE.sub(_link, _MATH.sub(_mathml, html))
    return re.sub(r"::</p>(\s*<(?:div|pre))", r":</p>\1", text)
