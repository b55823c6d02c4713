"""The command whatever the locale and the encoding of the console."""

import io
import os
import subprocess
import sys

import pytest

from makertaker.training.common.console import Console, never_fail, substituted

SCENARIO = """description = "größer ± 市"
trader_inventory = [-5.0]
maker_inventory = [1.0, 0.0]
steps = 5
"""
STRICT = """import os, sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="makertaker")
from makertaker.training import cli
for line in sys.argv[1].splitlines():
    name, *arguments = line.split("|")
    if name == "rename":
        os.rename(*arguments)
        continue
    sys.argv[1:] = [name, *arguments]
    try:
        cli.main()
    except SystemExit as done:
        assert not done.code, done.code
"""


def utf_8(name):
    """The name of a file whose bytes are UTF-8, in the locale of these tests."""
    return os.fsdecode(name.encode("utf-8"))


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("5 ± 2 … ½ é 市", "utf-8", "5 ± 2 … ½ é 市"),
        ("5 ± 2 … ½ é 市", "ascii", "5 +- 2 ... 1/2 e \\u5e02"),
        ("5 ± 2 … ½ é 市", "cp1252", "5 ± 2 … ½ é \\u5e02"),
        ("\udcc3\udca9", "ascii", "\udcc3\udca9"),
        ("\ud800", "utf-8", "\\ud800"),
    ],
)
def test_characters_that_an_encoding_lacks_have_substitutes(text, encoding, expected):
    assert substituted(text, encoding) == expected


def test_columns_stay_aligned_in_ascii():
    from makertaker.training.evaluation import tables

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=stream, width=60).print(tables.aligned(tables.Table(["agent", "payoff"], [["a", "1.0 ± 0.1 … é"]])))
    stream.seek(0)
    lines = stream.read().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "| +- 0.1 ... e |" in lines[-2]


def test_standard_output_takes_every_character(monkeypatch):
    inner = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(inner, encoding="ascii"))
    never_fail()
    print("±", "…", b"gr\xc3\xb6".decode("ascii", "surrogateescape"), flush=True)
    assert inner.getvalue() == b"+- ... gr\xc3\xb6\n"  # a file's name comes out as it came in


def test_train_and_report_in_a_locale_of_ascii(tmp_path):
    """With files and folders whose names have spaces and letters, every encoding being named."""
    pytest.importorskip("stable_baselines3")
    folder = tmp_path / utf_8("läufe mit ±")
    folder.mkdir()
    (folder / utf_8("größer.toml")).write_bytes(SCENARIO.encode("utf-8"))
    (folder / "mine.toml").write_bytes(b"\xef\xbb\xbf# \xc2\xb1\n[algorithm.ppo]\nn_epochs = 3\n")
    train = 'train|größer.toml|--out|Lauf|--timesteps|64|--markets|8|--hp|mine.toml|--set|description="ß"'
    commands = "\n".join(["check|größer.toml", train, "rename|Lauf|Lauf ü", "report|Lauf ü", "evaluate|Lauf ü"])
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", STRICT, commands.encode("utf-8")],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    page = (folder / utf_8("Lauf ü") / "report.html").read_bytes().decode("utf-8")
    assert "<title>makertaker: Lauf ü<" in page
    assert "größer" in page
    assert '"description": "ß"' in page.replace("&quot;", '"')
    assert b"wrote" in done.stdout
