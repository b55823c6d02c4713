"""Modules and libraries of the package's extras, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from ...envs.text import how_to_install


def library(name: str, extra: str) -> ModuleType:
    """A library of one of the package's extras. Raises ImportError where it is missing; the message names the
    extra."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"this needs {error.name}: {how_to_install(extra)}") from error


def needed(module: str, extra: str) -> ModuleType:
    """A module of this package.

    Args:
        module: its name within :mod:`makertaker.training`, with dots.
        extra: of the package, with the libraries that the module needs.

    Raises:
        ImportError: one of them is missing; the message names the extra.
    """
    try:
        return import_module(f"..{module}", __package__)
    except ModuleNotFoundError as error:
        raise ImportError(f"this needs {error.name}: {how_to_install(extra)}") from error


def check_installed(library: str, extra: str) -> None:
    """Raises ImportError, whose message names the extra, where a library is not installed; it is not imported."""
    if find_spec(library) is None:
        raise ImportError(f"this needs {library}: {how_to_install(extra)}")
