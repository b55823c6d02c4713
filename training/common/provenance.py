"""What a result was computed with: packages, source, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

PACKAGES = ("makertaker", "torch", "numpy", "scipy", "gymnasium", "pettingzoo", "array-api-compat")
_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("envs", "baselines", "training")


class Origin(TypedDict):
    """Where a result comes from; without a git repository of the source, ``commit`` and ``dirty`` are None."""

    versions: dict[str, str]
    commit: str | None
    """of the source of makertaker"""
    dirty: bool | None
    """True if the source differs from the commit"""
    python: str
    platform: str
    processor: str
    """its model, and that of the devices that JAX uses beside it"""
    cores: int | None


def origin(packages: Sequence[str] = ()) -> Origin:
    """The origin of what this process computes.

    Args:
        packages: installed ones whose versions matter, beside :data:`PACKAGES`.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    commit, dirty = _source()
    return {
        "versions": {name: version(name) for name in (*PACKAGES, *packages)},
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": ", ".join([_processor(), *(_accelerators() if "jax" in packages else [])]),
        "cores": os.cpu_count(),
    }


def _source() -> tuple[str | None, bool | None]:
    """The commit, and whether the source differs from it. A package installed into somebody's repository has none."""
    if _git("ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return None, None
    changes = _git("--no-optional-locks", "status", "--porcelain", "--", *_FOLDERS)
    return _git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    """Git's answer about the source; None where there is no git, no repository or no such file."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _accelerators() -> list[str]:
    """What JAX computes on beside the processor. Asking takes memory of a GPU: only where JAX matters."""
    import jax

    return list(dict.fromkeys(each.device_kind for each in jax.local_devices() if each.platform != "cpu"))


def _processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
