"""A market of the page as a scenario file, and as Python that solves it."""

from __future__ import annotations

import pprint
from typing import Any

from ...envs.scenarios.writer import game_values, toml
from .market import Market

_SOLVE = '''"""{title}"""

from makertaker.baselines import exploitability, solve
from makertaker.envs import load_scenario

game = load_scenario(
{values}
)
nash = solve(game, {steps})
for agent, payoff in zip(game.agents, nash.payoffs, strict=True):
    print(f"{{agent}}: {{payoff:.4f}}")
print(f"NashConv: {{exploitability(game, nash.profile, {steps}).nash_conv:.1e}}")
'''
_DRAG = """
# the profile that was dragged: how far from the equilibrium, at times that divide the horizon evenly
middles = (nash.times[:-1] + nash.times[1:]) / 2
controls = Controls(*(np.array(each) for each in game.complete(nash.controls)))
{drags}
dragged = exploitability(game, game.clip(controls), {steps})
for agent, payoff, gain in zip(game.agents, dragged.payoffs, dragged.gains, strict=True):
    print(f"{{agent}}, dragged: {{payoff:.4f}}, gain of its best response {{gain:.4f}}")
print(f"NashConv, dragged: {{dragged.nash_conv:.4f}}")
"""


def as_toml(market: Market) -> str:
    """A scenario file, which ``makertaker solve FILE`` takes."""
    return toml({"description": _title(market), "steps": market.steps, **_values(market)})


def as_python(market: Market) -> str:
    """A program that solves the market, and prints payoffs and NashConv of the equilibrium and of what was dragged."""
    values = pprint.pformat(_values(market), width=112, sort_dicts=False, compact=True)
    indented = "\n".join(f"    {line}" for line in values.splitlines())
    title = _title(market).replace("\\", "\\\\").replace('"', '\\"')
    text = _SOLVE.format(title=title, values=indented, steps=market.steps)
    if not market.drags:
        return text
    text = text.replace("from makertaker.baselines", "import numpy as np\n\nfrom makertaker.baselines", 1)
    text = text.replace("import load_scenario", "import Controls, load_scenario")
    return text + _DRAG.format(drags="\n".join(_dragged(market)), steps=market.steps)


def _dragged(market: Market) -> list[str]:
    lines = []
    for key, offsets in market.drags.items():
        kind, index = market.places[key]
        knots = f"np.linspace(0.0, game.horizon, {len(offsets)})"
        lines.append(f"controls.{kind}[:, {index}] += np.interp(middles, {knots}, {list(offsets)})")
    return lines


def _title(market: Market) -> str:
    return f"{market.scenario.name}, as the explorer of makertaker had it"


def _values(market: Market) -> dict[str, Any]:
    return game_values(market.game)
