"""Files of the page."""

from importlib import resources

from ..common.overflow import OVERFLOW


def page_file(name: str) -> str:
    """A file of the page: its script, its style, the charts that the documentation's explorer shares."""
    if name == "overflow.js":
        return OVERFLOW
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
