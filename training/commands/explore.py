"""The command that shows a market in the browser."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from typing import Annotated
from urllib.parse import urlencode

import typer

from ...envs import read_scenario
from .. import completion
from ..common.extras import needed
from .output import err, out

PORT = 8050


def explore(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            autocompletion=completion.scenarios,
            help="A name that 'makertaker scenarios' lists, or a path to a .toml file.",
        ),
    ] = "acas",
    port: Annotated[int, typer.Option(metavar="N", help="Of this machine; 0: any that is free.")] = PORT,
    open_it: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Show a market in the browser: its numbers as sliders, its equilibrium, and profiles that you drag.

    The page is served to this machine alone and needs no network; Ctrl-C ends it. Two markets stand side by side if
    you like; a link holds their numbers; a market is exported as a scenario file and as Python.
    """
    scenario = read_scenario(name)
    server = needed("explorer.server", "explore")
    explorer = server.Explorer(scenario)
    with server.listen(port) as listening:
        address = f"http://{server.HOST}:{listening.getsockname()[1]}/?{urlencode({'scenario': scenario.name})}"
        out.print(f"{scenario.name} is at {address} until Ctrl-C", markup=False, highlight=False, soft_wrap=True)
        if open_it:
            threading.Thread(target=_open, args=(address,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):  # it is how the command ends
            server.serve(explorer, listening)


def _open(address: str) -> None:
    if not webbrowser.open(address):
        err.print("no browser was found to open it with", style="yellow")
