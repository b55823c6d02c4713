"""Numbers in tables: in one piece whatever their size and the console's width."""

import io

import pytest

from makertaker.training.common.console import Console
from makertaker.training.evaluation import tables


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [
        (-12.18614, 4, "", "-12.1861"),
        (0.25, 4, "+", "+0.2500"),
        (9_999_999.0, 3, "", "9999999.000"),
        (-2005599114595.1234, 4, "", "-2.0055991e+12"),
        (1e300, 4, "+", "+1e+300"),
        (float("nan"), 3, "", "nan"),
    ],
)
def test_large_numbers_have_the_general_format(value, digits, sign, expected):
    assert tables.fixed(value, digits, sign) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(None, tables.MISSING), (0.05, "5.000%"), (1.5, "150%"), (12.0, "1,200%"), (1e12, "1e+14%")]
)
def test_percentages(value, expected):
    assert tables.percent(value) == expected


@pytest.mark.parametrize("width", [10, 39, 80, 200])
def test_no_number_is_cut_however_narrow_the_console(width, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # a terminal's, on which what is wider is a list
    numbers = ["-2.005599e+12", "-12.1861 ± 2e-05", "+0.0000", "1,200%", "0.123"]
    header = ["agent", "learned payoff", "gain of best response", "gap", "distance", "inventory at 0"]
    stream = io.StringIO()
    Console(file=stream, width=width).print_table(tables.aligned(tables.Table(header, [["trader_0", *numbers]])))
    printed = stream.getvalue()
    lines = printed.splitlines()
    cells = [cell.strip() for line in lines for cell in line.replace("┃", "│").split("│")]
    assert all(part in cells for number in numbers for part in number.replace(" ±", "\n±").split("\n"))
    assert "…" not in printed
    assert len({len(line) for line in lines}) == 1  # aligned
    assert "trader_0" in cells
