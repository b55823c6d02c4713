"""Text files and names: UTF-8 whatever the locale, and results that are written whole.

Every file of text that the package reads or writes goes through here.
"""

from __future__ import annotations

import codecs
import os
import re
import shutil
import uuid
from pathlib import Path

_OTHER = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read(path: Path) -> str:
    """The text of a UTF-8 file; a byte order mark at its beginning is no part of it.

    Raises:
        ValueError: the file is in another encoding; the message names the file, and the line where that shows.
        OSError: the file cannot be read.
    """
    if path.exists() and not path.is_file():  # reading a pipe or a device might not end
        raise ValueError(f"{shown(path)!r}: expected a file, got a {'folder' if path.is_dir() else 'pipe or a device'}")
    data = path.read_bytes()
    if found := next((name for mark, name in _OTHER.items() if data.startswith(mark)), None):
        raise _refused(path, f"it begins with the byte order mark of {found}")
    if (place := data.find(0)) >= 0:
        raise _refused(path, f"line {_line(data, place)} has a zero byte, as UTF-16 has")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        data = error.object  # without the mark
        byte = f"byte 0x{data[error.start]:02x}"
        raise _refused(path, f"line {_line(data, error.start)} has {byte}, as Latin-1 or CP1252 has") from error


def _line(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _refused(path: Path, reason: str) -> ValueError:
    return ValueError(f"{shown(path)!r}: expected text in UTF-8, but {reason}; save the file as UTF-8")


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole: whatever happens, the old one or the new one is there.

    The new one is written beside it under a name of its own, ``.name.<hex>.new``, and takes its place when it is on
    the disk.

    Args:
        path: of the file; the target of a link is replaced, not the link.
        content: text, written in UTF-8 with its line ends as they are; or bytes.

    Raises:
        OSError: it cannot be written, with the file's name; the old one stands.
    """
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f"{_stem(target)}{uuid.uuid4().hex[:12]}.new")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    try:
        with open(fresh, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, fresh)
        os.replace(fresh, target)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)


def begun(path: Path) -> list[Path]:
    """What processes that were killed have begun of a file, and left beside it."""
    target = Path(os.path.realpath(path))
    fresh = re.compile(re.escape(_stem(target)) + r"[0-9a-f]{12}\.new")
    return [each for each in target.parent.iterdir() if fresh.fullmatch(each.name)] if target.parent.is_dir() else []


def _stem(target: Path) -> str:
    """The beginning of the names of a file's new versions, with room for the rest: names have 255 bytes at most."""
    name = target.name
    while len(os.fsencode(name)) > 100:
        name = name[:-1]
    return f".{name}."


def how_to_install(extra: str) -> str:
    """What to do where a library of one of the package's extras is missing: no index has the package."""
    return f"pip install '.[{extra}]' in the folder of makertaker's source"


def shown(name: str | Path) -> str:
    """A path, or an argument of the command line, as text: its bytes are UTF-8, where the locale could not read them.

    What is not UTF-8 becomes an escape.
    """
    text = str(name)
    if not any("\ud800" <= each <= "\udfff" for each in text):
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
