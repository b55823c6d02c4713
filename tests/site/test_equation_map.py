"""The equation map: every numbered item of the paper is mentioned by a docstring, or listed with the reason why not."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "hooks" / "equation_map.py"
SPEC = importlib.util.spec_from_file_location("equation_map", PATH)
equation_map = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(equation_map)

MENTIONED = {each.item for each in equation_map.mentions(*equation_map.PACKAGE)}
LAST = {2: 10, 3: 10, 4: 5, 5: 5}
"""of the definitions, theorems and so on, which the paper numbers together by section"""


def test_the_list_has_every_number_once_and_in_order():
    items = list(equation_map.ITEMS)
    assert [each for each in items if each[0] == "("] == [f"({number})" for number in range(1, 46)]
    named = [each.split()[1] for each in items if each[0] != "("]
    assert named == [f"{section}.{number}" for section, last in LAST.items() for number in range(1, last + 1)]
    assert all(each.split()[1][0] == str(where) for each, (where, _) in equation_map.ITEMS.items() if each[0] != "(")


@pytest.mark.parametrize("item", equation_map.ITEMS)
def test_every_item_is_mentioned_or_needs_no_code(item):
    assert (item in MENTIONED) != (item in equation_map.NO_CODE)


@pytest.mark.parametrize("folders", [equation_map.PACKAGE, ("tests", "benchmarks")], ids=["package", "tests"])
def test_nothing_is_mentioned_that_the_paper_does_not_have(folders):
    assert not [each for each in equation_map.mentions(*folders) if each.item not in equation_map.ITEMS]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("(13)-(14) on the grid, (18) too", {"(13)", "(14)", "(18)"}),
        ("Theorems 3.9, 4.1 and 5.4, Definition\n3.2", {"Theorem 3.9", "Theorem 4.1", "Theorem 5.4", "Definition 3.2"}),
        ("Assumption 5.3 (1), Remark 2.1(3)", {"Assumption 5.3", "Remark 2.1"}),
        ("f(3), x[0] (4,), ``(5)``, `(6)`, (N, 7), (2 + d), Section 2", set()),
    ],
)
def test_what_counts_as_a_mention(text, items):
    assert equation_map.items_in(text) == items


def test_the_page_has_a_row_for_each():
    rows = [line for line in equation_map.markdown().splitlines() if line.startswith("| ")]
    assert len(rows) == len(equation_map.ITEMS) + 2 * len(equation_map.SECTIONS)
    assert not any("?*" in row for row in rows)
