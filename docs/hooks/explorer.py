"""The explorer of the site: equilibria of ``acas`` on a grid of its parameters, in a file that a page reads without a
server. ``python docs/hooks/explorer.py FILE`` writes it."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from makertaker.baselines import Equilibrium, solve_many
from makertaker.envs import read_scenario
from makertaker.envs.palette import colors, markers
from makertaker.training.common.overflow import OVERFLOW
from makertaker.training.explorer.files import page_file

SCENARIO = "acas"
GRID: dict[str, Sequence[float]] = {
    "trader_inventory": (-15.0, -10.0, -7.5, -5.0, -2.5, -1.0),
    "competition.gamma": (0.5, 0.7, 1.0, 1.4, 2.0, 3.0),
    "impact.beta": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    "trader_terminal_penalty": (0.1, 0.25, 0.5, 1.0, 2.0, 5.0),
}
"""values of each parameter; all combinations are solved"""
DECIMALS = 4
"""of every number in the file: those that the page shows"""


def setting(key: str, value: float) -> str:
    """An override as ``--set`` takes it."""
    return f"{key}=[{value}]" if key == "trader_inventory" else f"{key}={value}"


def _numbers(nash: Equilibrium) -> np.ndarray:
    """Everything that is shown of an equilibrium: inventories, rates, asks, bids by agent, then payoffs."""
    paths = (nash.inventories, *nash.controls)
    return np.concatenate([*(np.asarray(each).T.ravel() for each in paths), nash.payoffs])


def data(grid: Mapping[str, Sequence[float]] = GRID) -> str:
    """The file, a script: whole numbers of 32 bits, ``10**-DECIMALS`` each, so that every number that the page shows is
    rounded once."""
    scenario = read_scenario(SCENARIO)
    points = list(itertools.product(*grid.values()))
    overrides = [[setting(*each) for each in zip(grid, point, strict=True)] for point in points]
    found = solve_many([read_scenario(SCENARIO, each).game for each in overrides], scenario.steps)
    numbers = np.rint(np.stack([_numbers(each) for each in found]) * 10**DECIMALS)
    game = scenario.game
    document = {
        "scenario": SCENARIO,
        "decimals": DECIMALS,
        "steps": scenario.steps,
        "times": found[0].times.tolist(),
        "traders": game.traders,
        "agents": [
            {"name": name, "color": color, "marker": marker}
            for name, color, marker in zip(game.agents, colors(game), markers(game), strict=True)
        ],
        "grid": [
            {"key": key, "values": list(values), "settings": [setting(key, each) for each in values]}
            for key, values in grid.items()
        ],
        "start": [_nearest(values, scenario.values, key) for key, values in grid.items()],
        "numbers": base64.b64encode(numbers.astype("<i4").tobytes()).decode(),
    }
    return f"const EQUILIBRIA = {json.dumps(document, separators=(',', ':'))};\n"


def _nearest(values: Sequence[float], given: Mapping[str, object], key: str) -> int:
    """The place of the scenario's own value."""
    own: object = given
    for part in key.split("."):
        assert isinstance(own, Mapping)
        own = own[part]
    return list(values).index(float(np.ravel(np.asarray(own, dtype=float))[0]))


FILES: dict[str, Callable[[], str]] = {
    "explore/acas.js": data,
    "explore/charts.js": lambda: page_file("charts.js"),
    "js/overflow.js": lambda: OVERFLOW,
}

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(data(), encoding="utf-8")
