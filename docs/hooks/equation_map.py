"""Which parts of the package, and which tests, speak of which numbered item of the paper.

The docstrings are scanned; nothing is imported. ``python docs/hooks/equation_map.py`` prints the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ("envs", "baselines", "training")

SECTIONS = {
    2: "Optimal execution game",
    3: "Connection with market making",
    4: "Almgren-Chriss-Avellaneda-Stoikov model",
    5: "Approximation game",
}

# in the order of the paper; what each is, in our words
ITEMS: dict[str, tuple[int, str]] = {
    "Remark 2.1": (2, "noise flow as a signal; implicit makers; crowding in [0, 2), here also below 0"),
    "Remark 2.2": (2, "penalties of each agent, or common to all"),
    "Definition 2.3": (2, "Nash equilibrium of the execution game"),
    "Assumption 2.4": (2, "permanent impact moderate enough for concave Hamiltonians"),
    "(1)": (2, "first-order condition of a trader"),
    "(2)": (2, "the same solved for all rates"),
    "Theorem 2.5": (2, "equilibria are the solutions of (3)"),
    "(3)": (2, "the forward-backward system of the execution game"),
    "Proposition 2.6": (2, "facts about matrix exponentials"),
    "(4)": (2, "derivative of a matrix exponential"),
    "Theorem 2.7": (2, "(3) is solved by a Riccati matrix that is symmetric and negative semi-definite"),
    "(5)": (2, "adjoints affine in inventories"),
    "(6)": (2, "Riccati equation in transformed coordinates"),
    "(7)": (2, "a similar, symmetric matrix"),
    "Remark 2.8": (2, "what a unique solution means"),
    "Theorem 2.9": (2, "inverse of a diagonally dominant matrix, bounded by its gap"),
    "Theorem 2.10": (2, "(3) has a unique solution under a monotone condition"),
    "(8)": (2, "the monotone condition"),
    "(9)": (2, "its least value in the adjoints"),
    "(10)": (2, "(3) started at a later time"),
    "(11)": (2, "Lipschitz constant of the decoupling field"),
    "Remark 3.1": (3, "why rates are bounded below and above"),
    "Definition 3.2": (3, "the class of temporary impacts"),
    "Remark 3.3": (3, "impact with the mean of the others' rates"),
    "Definition 3.4": (3, "the class of intensities"),
    "Remark 3.5": (3, "continuous flows instead of single orders; competition with the best quote"),
    "Assumption 3.6": (3, "quotes come from the makers alone"),
    "(12)": (3, "the price that a trader sees: the best quote"),
    "Definition 3.7": (3, "Nash equilibrium of traders and makers"),
    "Remark 3.8": (3, "what replaces permanent impact and exogenous flow"),
    "Theorem 3.9": (3, "equilibria are feedback maps along solutions of (13)-(14)"),
    "(13)": (3, "makers' forward-backward system"),
    "(14)": (3, "traders' forward-backward system"),
    "(15)": (3, "Jacobian of the first-order conditions, extended"),
    "(16)": (3, "lower bound of its singular values"),
    "Theorem 3.10": (3, "a unique solution on short horizons"),
    "Theorem 4.1": (4, "equilibria of the model in closed feedback form"),
    "(17)": (4, "optimal quotes and rate"),
    "(18)": (4, "makers' system"),
    "(19)": (4, "the trader's system"),
    "(20)": (4, "makers' system with truncated quotes"),
    "(21)": (4, "the trader's system with truncated rate"),
    "(22)": (4, "the systems in differences of inventories"),
    "Theorem 4.2": (4, "well-posed where the Riccati equation has a bounded solution"),
    "(23)": (4, "the Riccati equation of the decoupling field's slope"),
    "(24)": (4, "derivative of the rates where the trader is free"),
    "(25)": (4, "derivative of the rates where the trader is at its least rate"),
    "Theorem 4.3": (4, "a bounded solution without running penalty"),
    "(26)": (4, "lower bound of the trader's rate"),
    "(27)": (4, "(23) without running penalty"),
    "(28)": (4, "auxiliary system without noise flow"),
    "(29)": (4, "differences of adjoints from those at the threshold of trade"),
    "(30)": (4, "its Jacobian"),
    "(31)": (4, "bound of the trader's adjoint"),
    "Assumption 4.4": (4, "the trader wants enough to trade all the time"),
    "(32)": (4, "average rate of infinitely many traders"),
    "Proposition 4.5": (4, "equilibrium with infinitely many traders"),
    "(33)": (4, "no trader of the population is truncated"),
    "(34)": (4, "inventory of one trader of the population"),
    "(35)": (4, "Riccati equation of a deviation from the representative trader"),
    "(36)": (4, "adjoints of the population, affine in initial inventories"),
    "(37)": (4, "a condition on initial inventories that implies (33)"),
    "Definition 5.1": (5, "the class of shares"),
    "(38)": (5, "diagonal dominance of the makers' first-order conditions"),
    "Remark 5.2": (5, "competition with all the others, not with the best alone"),
    "(39)": (5, "the factor that drives noise flows"),
    "Assumption 5.3": (5, "conditions on factor, flows and penalties"),
    "Theorem 5.4": (5, "equilibria are feedback maps along solutions of (40)-(41)"),
    "(40)": (5, "makers' system with noise"),
    "(41)": (5, "traders' system with noise"),
    "(42)": (5, "derivative of a maker's profit in its quote"),
    "(43)": (5, "a maker's optimal quote, truncated"),
    "(44)": (5, "all makers' optimal quotes together"),
    "Theorem 5.5": (5, "(39)-(41) has a unique solution"),
    "(45)": (5, "the system as one Markovian equation"),
}

NO_CODE: dict[str, str] = {
    "Remark 2.2": "a convention of notation",
    "Proposition 2.6": "a tool of the proof of Theorem 2.7",
    "(4)": "a part of Proposition 2.6",
    "(6)": "an intermediate step of the proof of Theorem 2.7",
    "(7)": "an intermediate step of the proof of Theorem 2.7",
    "Remark 2.8": "says in which spaces solutions are unique",
    "(8)": "an intermediate step of the proof of Theorem 2.10, whose own condition is checked",
    "(9)": "an intermediate step of the proof of Theorem 2.10",
    "(10)": "an intermediate step of the proof of Theorem 2.10",
    "(11)": "an intermediate step of the proof of Theorem 2.10",
    "Remark 3.5": "explains the choice of model",
    "Remark 3.8": "explains the choice of model",
    "(15)": "an intermediate step of the proof of Theorem 3.9",
    "(16)": "an intermediate step of the proof of Theorem 3.9",
    "Theorem 3.10": "names no horizon that could be checked; `check` reports whether the solver finds a solution",
    "(27)": "a case of (23), which the same sweep solves",
    "(28)": "an intermediate step of the proof of Theorem 4.3",
    "(29)": "an intermediate step of the proof of Theorem 4.3",
    "(30)": "an intermediate step of the proof of Theorem 4.3",
    "(31)": "an intermediate step of the proof of Theorem 4.3",
    "(35)": "bounds a truncated trader in the proof of Proposition 4.5; `mean_field` refuses truncated populations",
    "Remark 5.2": "explains the choice of model",
}

_CODE = re.compile(r"``[^`]*``|`[^`]*`")
_NAMED = re.compile(
    r"\b(Definition|Assumption|Theorem|Proposition|Lemma|Remark|Corollary)s?\s+"
    r"(\d\.\d+(?:(?:,\s+|\s+and\s+|,\s+and\s+)\d\.\d+)*)"
)
_SUBITEM = re.compile(r"(\d\.\d+)\s*\(\d\)")
_RANGE = re.compile(r"(?<![\w)\]])\((\d{1,2})\)-\((\d{1,2})\)")
_EQUATION = re.compile(r"(?<![\w)\]])\((\d{1,2})\)(?![\w(])")


class Mention(NamedTuple):
    """A docstring that speaks of an item."""

    item: str
    path: str
    """of the file, from the repository's root"""
    name: str
    """of the function or class within the file; empty for the module itself"""


def items_in(text: str) -> set[str]:
    """The numbered items that a text speaks of. Code in backticks does not count."""
    text = _CODE.sub("", text)
    found = {f"{kind} {number}" for kind, numbers in _NAMED.findall(text) for number in re.findall(r"\d\.\d+", numbers)}
    text = _SUBITEM.sub(r"\1", text)  # 'Assumption 5.3 (1)' is not equation (1)
    for first, last in _RANGE.findall(text):
        found |= {f"({number})" for number in range(int(first), int(last) + 1)}
    return found | {f"({number})" for number in _EQUATION.findall(text)}


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and docstring of a module and of everything in it; the strings below attributes count for their class."""

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from visit(child, (*names, child.name))
            elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                if isinstance(child.value.value, str):
                    yield ".".join(names), child.value.value
            else:
                yield from visit(child, names)

    yield from visit(tree, ())


def mentions(*folders: str) -> list[Mention]:
    """Every mention in the Python files of some folders, in the order of files and lines, without repetition."""
    found: dict[Mention, None] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            for name, text in docstrings(ast.parse(path.read_text(encoding="utf-8"))):
                found |= dict.fromkeys(Mention(item, place, name) for item in sorted(items_in(text)))
    return list(found)


def _cell(found: list[Mention], item: str, below: str = "") -> str:
    """Files, as they are called below a folder, and what in them speaks of an item."""
    names: dict[str, list[str]] = {}
    for each in found:
        if each.item == item:
            names.setdefault(each.path, []).append(each.name)
    cells = []
    for path, inside in names.items():
        listed = ", ".join(f"`{name}`" for name in inside if name)
        cells.append(f"`{path.removeprefix(below)}`" + (f": {listed}" if listed else ""))
    return "<br>".join(cells)


def markdown() -> str:
    """The table as a page."""
    package, tests = mentions(*PACKAGE), mentions("tests")
    lines = [
        "---",
        "hide: [toc]",
        "---",
        "",
        "# Equation map",
        "",
        "Every numbered item of Guo and Jin, *Optimal Execution and Macroscopic Market Making*",
        "([arXiv 2504.06717](https://arxiv.org/abs/2504.06717), numbers of the first version), with the modules,",
        "classes, functions and tests whose docstrings speak of it. The table is made from the docstrings when this",
        "site is built; a test fails if an item is neither mentioned nor listed with the reason why it needs no code.",
        "A file without names behind it speaks of the item in its module docstring.",
        "",
    ]
    for section, title in SECTIONS.items():
        lines += [
            f"## Section {section}: {title}",
            "",
            "| item | what it is | where | in `tests/` |",
            "| --- | --- | --- | --- |",
        ]
        for item, (where, what) in ITEMS.items():
            if where == section:
                code = _cell(package, item) or f"*no code: {NO_CODE.get(item, '?')}*"
                shown = _cell(tests, item, below="tests/")
                name = item.replace(" ", "&nbsp;")
                lines.append(f"| {name} | {what} | {code} | {shown} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
