"""Standard output and standard error of all commands."""

from __future__ import annotations

import json

from rich.table import Table

from ..common.console import Console

out = Console()
err = Console(stderr=True)


def show(document: object, as_json: bool, *content: Table | str) -> None:
    """Print a document on standard output, numbers in full precision; or its content for people to read."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        for each in content:
            if isinstance(each, Table):
                out.print_table(each)
            else:
                out.print(each, soft_wrap=True)
