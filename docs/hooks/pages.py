"""The parts of the site that are made when it is built: environment pages, reference, equation map, figures, formulas.

MkDocs calls the functions whose names begin with ``on_``.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import benchmark_scripts
import command_line
import equation_map
import explorer
import leaderboard
import notebook
import reference
import tables
from figures import FIGURES
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SCENARIOS = {
    "acas_v0": "acas",
    "maker_taker_v0": "maker-taker-3x3",
    "execution_v0": "execution-2",
    "approximation_v0": "approximation",
}
"""what they play by default"""
FILMS = {  # of `make gifs`
    "acas_v0": ("acas", "What REINFORCE learned in the scenario `acas`, with the equilibrium as a dashed ghost."),
    "maker_taker_v0": ("maker-taker-3x3", "The equilibrium of the scenario `maker-taker-3x3`."),
    "execution_v0": ("execution-2", "The equilibrium of the scenario `execution-2`; the price is noisy."),
    "approximation_v0": (
        "approximation",
        "The equilibrium of the scenario `approximation` on one path of the noise; dashed, the mean of all paths.",
    ),
}
NOTEBOOKS = ("tutorial",)
DOCS = reference.ROOT / "docs"
MARKS: dict[str, Callable[[], str]] = {
    command_line.MARK: command_line.markdown,
    "::benchmark commands::": benchmark_scripts.commands,
    "::benchmark learners::": leaderboard.learners,
    "::benchmark machine::": leaderboard.machine,
    "::benchmark markets::": leaderboard.markets,
    "::benchmark scripts::": benchmark_scripts.table,
    "::citation::": tables.citation,
    "::hyperparameters::": tables.hyperparameters,
    "::scenarios::": tables.scenarios,
}
MARKS |= {f"::benchmark suite {name}::": partial(leaderboard.suite, name) for name in leaderboard.SUITES}
"""what pages ask for, and what makes it"""
MADE = FIGURES | leaderboard.FIGURES
_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
_ROLE = re.compile(r":(class|func|meth|attr|data|exc|mod|obj):<code>[~.]*([^<]*)</code>")


def environment(name: str) -> str:
    """An environment's page: its module docstring, with a film below the title."""
    title, _, text = (ast.get_docstring(reference.tree(reference.ROOT / f"envs/{name}.py")) or "").partition("\n")
    film, caption = FILMS[name]
    shown = f"![An episode of {film}, step by step](../figures/{film}.gif)\n\n*{caption}*"
    default = f"All values of its default, [`{SCENARIOS[name]}`](../scenarios.md#{SCENARIOS[name]}), stand there."
    played = f"```python\n{reference.usage(name)}```\n\n{default}"
    text = f"{title}\n\n{shown} [How to read it](../concepts/rendering.md).\n\n{played}\n{text}"
    return re.sub(r"\((\w+_v0)\.py\)", r"(\1.md)", text)


@cache
def explorer_file(path: str) -> str:
    """A file of the explorer; once for all builds of a server."""
    return explorer.FILES[path]()


@cache
def figure(path: str) -> bytes:
    """A figure; once for all builds of a server."""
    return MADE[path]()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the reference in the navigation."""
    for entry in config.nav or []:
        if "Reference" in entry:
            entry["Reference"] = reference.navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and figures that are made."""
    made: dict[str, str | bytes] = {"paper/equation-map.md": equation_map.markdown()}
    made |= {f"environments/{name}.md": environment(name) for name in reference.ENVIRONMENTS}
    made |= reference.pages()
    made |= {path: figure(path) for path in MADE}
    made |= {path: explorer_file(path) for path in explorer.FILES}
    for name in NOTEBOOKS:
        made |= notebook.page((DOCS / f"{name}.md").read_text(encoding="utf-8"), name)[1]
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
    return {each.name: each.identifier for package in reference.PACKAGES for each in reference.symbols(package)}


def _link(found: re.Match[str]) -> str:
    role, path = found.groups()
    name = path.rpartition(".")[2]
    if role == "mod":
        return f"<code>{path}</code>"
    if name not in homes():
        return f"<code>{name}</code>"
    return f'<autoref identifier="{homes()[name]}" optional><code>{name}</code></autoref>'


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what is made where a page asks for it; commands are shown as commands, not as what a console prints."""
    name = page.file.src_uri.removesuffix(".md")
    if name in NOTEBOOKS:
        markdown = notebook.page((DOCS / f"{name}.md").read_text(encoding="utf-8"), name)[0]
    for mark, made in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, made())
    return markdown.replace("```console\n", "```bash\n")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Name the dialog of the search, which the theme does not, for those who hear it."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> Any:
    """Formulas as MathML, which browsers show without any script; Sphinx's roles in docstrings as links."""
    text = _ROLE.sub(_link, _MATH.sub(_mathml, html))
    return re.sub(r"::</p>(\s*<(?:div|pre))", r":</p>\1", text)
