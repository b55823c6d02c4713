"""Files of the page."""

from importlib import resources


def page_file(name: str) -> str:
    """A file of the page: its script, its style, the charts that the documentation's explorer shares."""
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
