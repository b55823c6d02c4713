"""Compiled programs, kept from process to process."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax

_OPTION = "jax_compilation_cache_dir"


def folder() -> Path:
    """Where programs are kept: ``makertaker/jax`` in ``$XDG_CACHE_HOME``, by default in ``~/.cache``; a folder for each
    kind of processor, whose programs do not run on others."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "makertaker" / "jax" / _processor()


def use() -> None:
    """Let JAX keep programs there, unless a folder was chosen (``JAX_COMPILATION_CACHE_DIR``) or it is switched off
    (``JAX_ENABLE_COMPILATION_CACHE``)."""
    if getattr(jax.config, _OPTION) is None:
        jax.config.update(_OPTION, str(folder()))  # type: ignore[no-untyped-call]


def _processor() -> str:
    """A name of this kind of processor, with what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    digest = hashlib.sha256("\n".join([platform.processor(), *known]).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
