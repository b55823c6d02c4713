"""The command whatever the locale and the encoding of the console."""

import io
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from makertaker.training.common.console import Console, never_fail, substituted

SCENARIO = """description = "größer ± 市"
trader_inventory = [-5.0]
maker_inventory = [1.0, 0.0]
steps = 5
"""
ASCII = {"PYTHONIOENCODING": "ascii"}
STRICT = """import codecs, locale, os, sys, warnings
encoding = codecs.lookup(sys.argv.pop()).name
found = codecs.lookup(locale.getpreferredencoding(False)).name
assert found == encoding, (found, encoding)
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


EXECUTION = SCENARIO.replace(
    "trader_inventory = [-5.0]", 'game = "execution"\ninitial_inventory = [1.0, -2.0]'
).replace("maker_inventory = [1.0, 0.0]\n", "")
COMMANDS = """scenarios
solve|größer.toml
check|größer.toml
references|handel ½.toml
train|größer.toml|--out|Lauf|--timesteps|64|--markets|8|--hp|mine.toml|--set|description="ß"
rename|Lauf|Lauf ü
report|Lauf ü
evaluate|Lauf ü
compare|Lauf ü|--to|Vergleich ü.html"""
SWEEP = "sweep|plain.toml|--out|S|--timesteps|64|--markets|8|--seeds|1|--algorithm|trader_0=ppo,maker_0=equilibrium"
PLACES = {"C": "ascii", "en_US.CP1252": "cp1252", "C.UTF-8": "utf-8"}
"""locales, and their encodings"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    """A folder with locales that systems do not bring along; skips where they cannot be made."""
    folder, localedef = tmp_path_factory.mktemp("locales"), shutil.which("localedef")
    if localedef is None:
        pytest.skip("localedef is missing: Debian's libc-bin has it")
    made = [localedef, "-i", "en_US", "-f", "CP1252", str(folder / "en_US.CP1252")]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no sources of locales: Debian's package locales has them: {done.stderr}")
    return folder


def in_locale(name, folder, commands, locpath, inside="läufe mit ±", **environment):
    """Run commands in a process of this locale, in a folder whose name has spaces and letters; what they print."""
    encoding = PLACES[name]
    names = encoding if encoding != "ascii" else "utf-8"
    inner = Path(os.fsdecode(os.fsencode(folder) + f"/{inside}".encode(names)))
    inner.mkdir()
    for file, content in (("größer.toml", SCENARIO), ("plain.toml", SCENARIO), ("handel ½.toml", EXECUTION)):
        (inner / os.fsdecode(file.encode(names))).write_bytes(content.encode("utf-8"))
    (inner / "mine.toml").write_bytes(b"\xef\xbb\xbf# \xc2\xb1\n[algorithm.ppo]\nn_epochs = 3\n")
    settings = {"LC_ALL": name, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LOCPATH": str(locpath), **environment}
    if name != "en_US.CP1252":
        del settings["LOCPATH"]  # it would hide the system's
    if "PYTHONIOENCODING" in os.environ:
        settings.setdefault("PYTHONIOENCODING", encoding)
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", STRICT, commands.encode(names), encoding],
        cwd=inner,
        env={**os.environ, **settings},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return inner, names, done.stdout.decode(settings.get("PYTHONIOENCODING", names))


@pytest.mark.parametrize(
    ("name", "environment"),
    [("C", {}), ("en_US.CP1252", {}), pytest.param("C.UTF-8", ASCII, marks=pytest.mark.slow)],  # "C" has both in ASCII
)
def test_every_command_in_every_locale(name, environment, tmp_path, request):
    """With files and folders whose names have spaces and letters, every encoding being named."""
    pytest.importorskip("stable_baselines3")
    locpath = request.getfixturevalue("locales") if name == "en_US.CP1252" else tmp_path
    inner, names, printed = in_locale(name, tmp_path, COMMANDS, locpath, **environment)
    page = (inner / os.fsdecode("Lauf ü".encode(names)) / "report.html").read_bytes().decode("utf-8")
    assert "<title>makertaker: Lauf ü<" in page
    assert "größer" in page
    compared = (inner / os.fsdecode("Vergleich ü.html".encode(names))).read_bytes().decode("utf-8")
    assert "<h1>Comparison of Lauf ü</h1>" in compared
    assert "ß. Algorithm " in page
    for word in (
        "acas-risk-neutral",
        "gain of best response",
        "volume on both sides",
        "cooperative",
        "wrote ",
        "files in ",
    ):
        assert word in printed


@(pytest.mark.slow if find_spec("ray") is None else lambda test: test)  # Ray asks for more than processes do
def test_a_sweep_in_a_locale_of_ascii(tmp_path):
    """In a folder that the locale can name, which Ray asks for where it is installed."""
    pytest.importorskip("stable_baselines3")
    inner, _, printed = in_locale("C", tmp_path, SWEEP, tmp_path, inside="plain")
    assert [row.split(",")[:4] for row in (inner / "S" / "table.csv").read_text("utf-8").splitlines()[1:]] == [
        ["plain", '"trader_0=ppo', "maker_0=equilibrium", 'maker_1=ppo"']
    ]
    (config,) = (inner / "S" / "runs").glob("*/config.json")
    assert json.loads(config.read_text("utf-8"))["values"]["description"] == "größer ± 市"
    assert "table, figure and run directories in S" in printed
