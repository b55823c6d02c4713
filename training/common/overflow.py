"""The script that all pages share: wide content scrolls, by keyboard too, and a line above it says so."""

from importlib import resources

OVERFLOW = resources.files(__package__).joinpath("page", "overflow.js").read_text(encoding="utf-8")
