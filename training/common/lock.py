"""One process at a time in a folder. The system releases a lock when its process ends, however it ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from . import files

_LOOKS, _MOMENT = 40, 0.05
"""how often, and after how many seconds, a holder is looked for"""
LOCK, HOLDER = ".lock", ".holder.json"
"""the locked file, and who locked it: both are in the folder, and are left there by a process that is killed"""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock.

    Raises:
        ValueError: another process, or another part of this one, holds it; or it is a link, through which another file
            would be written.
    """
    for name in (LOCK, HOLDER):
        if (folder / name).is_symlink():
            raise ValueError(f"run: {str(folder / name)!r} is a link, where nothing is written; remove it")
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"run: {str(folder)!r} is in use by {_holder(folder)}; wait until it has ended") from None
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        files.write_json(folder / HOLDER, {"process": os.getpid(), "host": socket.gethostname(), "started": now})
        yield
    finally:
        for name in (HOLDER, LOCK):
            with suppress(OSError):  # Windows does not remove what is open
                (folder / name).unlink()
        lock.release()


def _holder(folder: Path) -> str:
    """Who locked a folder, in words. One that has just locked it is about to say so, and is waited for a moment."""
    for _ in range(_LOOKS):
        with suppress(KeyError, ValueError):  # not there yet, or of a holder that was killed while it wrote
            found = files.read_json(folder / HOLDER)
            return f"process {found['process']} on host {found['host']} since {found['started']}"
        time.sleep(_MOMENT)
    return "another process"
