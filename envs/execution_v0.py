"""# Execution: traders who move the price that all of them trade at

Traders must buy or sell a number of shares before the horizon. Their trades move the market price for good (permanent
impact), and each pays for its own haste and, by the crowding, for that of the others (temporary impact). The game of
Section 2 of Guo and Jin: linear-quadratic, with its open-loop Nash equilibrium, feedback Nash equilibrium and
cooperative optimum all exact, so that what was learned can be placed between them.

| | |
| --- | --- |
| Import | `from makertaker.envs import execution_v0` |
| Agents | `trader_0, trader_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | `(1,)` |
| Action values | `[-1, 1]`; physical units with `normalize=False` |
| Observation shape | `"time"`: `(1 + d,)`, `"own"`: `(2 + d,)`, `"full"`: `(1 + d + N,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

`d` is the dimension of the factor, 0 in a game without.

## Actions

| entry | physical meaning | unit | bound |
| --- | --- | --- | --- |
| `rate` | trading rate; positive buys, negative sells; either is allowed at any time | shares / time | `+-max_rate` |

Normalised actions are mapped affinely onto `game.action_range()`, which is computed from the game's parameters alone;
`rate_range=(low, high)`, counted in the direction that closes the initial inventory, overrides it. Actions of any float
dtype are taken in their precision. Actions out of bounds are truncated; NaN is a `ValueError`.

## Observations

Nested prefixes of one float32 vector, all bounded:

| entries | meaning | range | in |
| --- | --- | --- | --- |
| 1 | time / horizon | [0, 1] | `time`, `own`, `full` |
| d | factor / its scale over the horizon | [-10, 10] | `time`, `own`, `full` |
| 1 | own inventory / largest initial inventory | [-10, 10] | `own`, `full` |
| N - 1 | other traders' inventories, same unit | [-10, 10] | `full` |

`state()` is the same vector with the agents in their common order.

## Rewards

With `reward="payoff"` the reward of a step is what the inventory gains from the market price's drift (everybody's
permanent impact, and the noise traders'), less `v (beta/N)(v + crowding * sum of the others' v)` and
`phi * integral of Q^2`; the last one also has `-A Q_T^2`. The undiscounted sum over an episode is the agent's payoff in
the game, exactly: within a step everything is integrated in closed form. With `reward="wealth"` the reference price
also moves at the end of every step by `volatility * sqrt(dt) * Z`, and `Q dP` is added; the expectation is the same.
The unit is currency.

`info` of an agent: `mid` (market price), `price` (what it paid per share in this step), `volume` (shares bought plus
shares sold in this step, noise traders included), `cash`, `pnl` (cash plus inventory at mid, less the initial
inventory's value), and `factor` in a game that has one.

## Arguments

`steps=100`, `observation="full"`, `reward="payoff"`, `normalize=True`, `render_mode=None` (`"human"`, `"rgb_array"`),
`rate_range=None`, `inventory_spread=0.0` (standard deviation of noise on initial inventories), and every parameter of
`makertaker.envs.ExecutionGame`. `reset(options={"inventory": ...})` starts from given inventories.

## Version history

- v0: first version
"""

from __future__ import annotations

from .execution_game import ExecutionGame
from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, make_game = module(ExecutionGame(), "execution_v0")
