"""Text files: UTF-8, other encodings refused by name, and written whole."""

import codecs
import errno
import os
import stat

import pytest

from makertaker.envs import read_scenario, text

SCENARIO = 'description = "größer, 市場"\ntrader_inventory = [-5.0]\n'


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_scenario_is_utf_8_with_or_without_a_mark(tmp_path, mark):
    try:
        name = os.fsencode("größer.toml")
    except UnicodeEncodeError:  # in a locale that has no such letters
        name = "größer.toml".encode()
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(mark + SCENARIO.encode("utf-8"))
    scenario = read_scenario(path)
    assert (scenario.name, scenario.description) == ("größer", "größer, 市場")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SCENARIO.encode("utf-16"), "begins with the byte order mark of UTF-16"),
        (SCENARIO.encode("utf-32"), "begins with the byte order mark of UTF-32"),
        (codecs.BOM_UTF16_BE + SCENARIO.encode("utf-16-be"), "begins with the byte order mark of UTF-16"),
        ("steps = 5\n".encode("utf-16-le"), "line 1 has a zero byte, as UTF-16 has"),
        ("steps = 5\n# größer\n".encode("latin-1"), "line 2 has byte 0xf6, as Latin-1 or CP1252 has"),
        (codecs.BOM_UTF8 + "# größer\n".encode("cp1252"), "line 1 has byte 0xf6"),
    ],
)
def test_other_encodings_are_refused_with_the_file_and_the_reason(tmp_path, data, reason):
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path}.*expected text in UTF-8, but.*{reason}.*save the file as UTF-8"):
        read_scenario(path)


def test_text_is_written_as_it_is(tmp_path):
    path = tmp_path / "page.html"
    text.write(path, "±\r\n市\n")
    assert path.read_bytes() == "±\r\n市\n".encode()
    text.write(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error):
    path = tmp_path / "page.html"
    text.write(path, "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)) as raised:
        text.write(path, "new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["page.html"]
    if isinstance(error, OSError):  # the system's error of a write names no file
        assert str(raised.value) == f"[Errno {errno.ENOSPC}] No space left on device: {str(path)!r}"


def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "page.html", tmp_path / "link.html"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    text.write(link, "new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("runs/größer", "runs/größer"),
        # as Python has the names' bytes in a locale of ASCII: escapes of PEP 383
        (b"runs/gr\xc3\xb6\xc3\x9fer".decode("ascii", "surrogateescape"), "runs/größer"),
        (b"runs/gr\xf6\xdfer".decode("utf-8", "surrogateescape"), "runs/gr\\xf6\\xdfer"),
    ],
)
def test_names_are_shown_as_utf_8(name, expected):
    assert text.shown(name) == expected
