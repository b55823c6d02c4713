"""The page of benchmarks: every script says what it asks, with which command, and what came out."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hook():
    sys.path.insert(0, str(ROOT / "docs/hooks"))
    try:
        yield importlib.import_module("benchmark_scripts")
    finally:
        sys.path.remove(str(ROOT / "docs/hooks"))


def test_every_script_that_can_be_run_is_on_the_page(hook):
    listed = {each.name for each in hook.scripts()}
    files = {each.stem: each.read_text(encoding="utf-8") for each in (ROOT / "benchmarks").glob("*.py")}
    assert listed == {name for name, text in files.items() if '__name__ == "__main__"' in text}
    assert all(f"| `{name}.py` | " in hook.table() for name in listed)


def test_scripts_have_the_options_of_their_commands(hook):
    for script in hook.scripts():
        for command in script.commands:
            path = re.search(r"benchmarks/\S+\.py", command)
            if path is None:  # a command of the package
                continue
            text = (ROOT / path[0]).read_text(encoding="utf-8")
            assert all(f'"{each}"' in text for each in re.findall(r"--[\w-]+", command)), command


def test_files_that_answers_link_to_exist(hook):
    links = [each for script in hook.scripts() for each in re.findall(r"\]\(([^)#]+)", script.answer)]
    assert links
    assert all((ROOT / "docs" / each).is_file() for each in links), links


WHOLE = "Is it fast?\n\n    python benchmarks/x.py [--n 1]\n\nMore.\n\nMeasured: yes\n([there](docs/results.md#speed))"


def test_a_script_is_described_by_its_docstring(hook):
    expected = ("x", "Is it fast?", ("python benchmarks/x.py [--n 1]",), "yes ([there](results.md#speed))")
    assert hook.described("x", WHOLE) == hook.described("x", WHOLE.replace("fast?", "fast? On all cores.")) == expected
    assert hook.described("x", WHOLE.partition("Measured")[0]) == (*expected[:3], "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE.replace("fast?", "fast."), r"benchmarks/x.py: expected a question in .* first line, got 'Is it fast.'"),
        (WHOLE.replace("Is it fast?", "Is it\nfast?"), "expected a question in its docstring's first line"),
        (WHOLE.replace("    python", "python"), "expected an indented line with its command"),
        (WHOLE.replace("x.py", "y.py"), "expected an indented line with its command"),
    ],
)
def test_a_script_that_does_not_say_what_it_asks_is_refused(hook, text, message):
    with pytest.raises(ValueError, match=message):
        hook.described("x", text)
