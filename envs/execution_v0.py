"""# Execution: traders who move the price that all of them trade at

Traders must buy or sell a number of shares before the horizon. Their trades move the market price for good (permanent
impact), and each pays for its own haste and, by the crowding, for that of the others (temporary impact). The game of
Section 2 of Guo and Jin: linear-quadratic, with its open-loop Nash equilibrium, feedback Nash equilibrium and
cooperative optimum all exact, so that what was learned can be placed between them. The default is the scenario
`execution-2`, two equal buyers.

| | |
| --- | --- |
| Import | `from makertaker.envs import execution_v0` |
| Agents | `trader_0, trader_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | `(1,)` |
| Action values | by default in control units from the middle of the action range |
| Observation shape | `"time"`: `(1 + d,)`, `"own"`: `(2 + d,)`, `"market"`: `(5 + d,)`, `"full"`: `(4 + d + N,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

`d` is the dimension of the factor, 0 in a game without. What is played is chosen as in [acas_v0](acas_v0.py), with
`game=` or `scenario=` and parameters of `makertaker.envs.ExecutionGame`.

## Actions

| entry | physical meaning | unit | bound |
| --- | --- | --- | --- |
| `rate` | trading rate; positive buys, negative sells, at any time | shares / time | any, or `+-max_rate` |

By default an action counts from the middle of `game.action_range()` in units of `game.control_unit(agent)`, a third of
the average rate of a trader that closes its inventory. The range is computed from the game's parameters alone;
`rate_range=(low, high)`, counted in the direction that closes the initial inventory, overrides it. `normalize=True`:
actions in [-1, 1] are mapped affinely onto the range. `units="currency"`: actions are rates. Actions of any float
dtype are taken, and computed with in double precision. Actions out of bounds are truncated; rates
(`units="currency"`) at `max_rate` where there is one. NaN is a `ValueError`.

## Observations

Nested prefixes of one float32 vector, all bounded:

| entries | meaning | range | in |
| --- | --- | --- | --- |
| 1 | time / horizon | [0, 1] | `time`, `own`, `market`, `full` |
| d | factor / its scale over the horizon | [-10, 10] | `time`, `own`, `market`, `full` |
| 1 | own inventory / largest initial inventory | [-10, 10] | `own`, `market`, `full` |
| 1 | market price since the start / `game.price_unit` | [-10, 10] | `market`, `full` |
| 2 | buy and sell volume of the last step / `game.volume_unit` a step | [-10, 10] | `market`, `full` |
| N - 1 | other traders' inventories, same unit as the own | [-10, 10] | `full` |

`market` is what a participant really sees. The market price has its martingale part: it moves at the end of every step
by `volatility * sqrt(dt) * Z`, whatever the reward. With `identity=True` a one-hot of the agent stands at the end.
`state()` is the full vector with the agents in their common order.

## Rewards

With `reward="payoff"` the reward of a step is what the inventory gains from the market price's drift (everybody's
permanent impact, and the noise traders'), less `v (beta/N)(v + crowding * sum of the others' v)`, `phi * integral of
Q^2` and the terminal penalty. The undiscounted sum over an episode is the agent's payoff in the game, exactly: within
a step everything is integrated in closed form. With `reward="wealth"` the moves of the martingale part are added, `Q
dP`; the expectation is the same.

By default rewards are in units of `game.payoff_unit(agent)`: multiplied by it, an episode's sum is the payoff in
currency. The terminal penalty is then charged as it changes, `-A (Q_{k+1}^2 - Q_k^2)`, in the first step `-A Q_1^2`.
With `units="currency"` rewards are in currency, and the last one has `-A Q_T^2`.

`info` of an agent, at a reset and after every step, in physical units: `mid` (market price), `price` (what it paid per
share in this step), `volume` (shares bought plus shares sold in this step, noise traders included), `inventory`,
`cash`, `pnl` (cash plus inventory at mid, less the initial inventory's value), and `factor` in a game that has one.
Before the first step `volume` is 0 and `price` is `mid`. In random markets `drawn.NAME` is what was drawn.

## Traders who must liquidate

With `terminal_penalty=math.inf` (in a file `inf`; one for each trader as well) a trader must end with nothing, and no
terminal penalty is charged. Its rates are truncated so that the rest can be closed within `max_rate`, and the last step
closes: `v = -Q / dt`. `info` then has `rate`, what was traded at in this step, and `clipped`, the same less the rate
that the action stood for; observations are as ever. Starts that cannot be closed are a `ValueError`; drawn ones
(`inventory_spread`) end where they can. The scenario `almgren-chriss-2` is such a market.

## Arguments

`game=None`, `scenario=None`, `steps=None` (the scenario's; 20 where only a game is given), `observation="full"`,
`units="game"` (or `"currency"`), `normalize=None`, `identity=False`, `reward="payoff"`, `render_mode=None` (`"human"`,
`"rgb_array"`), `rate_range=None`, `inventory_spread=0.0` (standard deviation of noise on initial inventories),
`random=None` (distributions of parameters, which every episode draws: `makertaker.envs.RandomMarkets`),
`context=False` (agents see what was drawn), and every parameter of `makertaker.envs.ExecutionGame`;
`makertaker.envs.Options` says more. `max_cycles` is another name of `steps`.
`reset(options={"inventory": ...})` starts from given inventories.

## Version history

- v0, makertaker 0.2: the default is the scenario `execution-2`, with its number of steps, in game units
  (`normalize=True` has the old units; ranges are others); observations have what the market shows between the own
  inventory and the others'; `game=`, `scenario=`, `units=`, `identity=`, `observation="market"`; the market price
  moves in every reward mode; `random=`, `context=`, `max_cycles=`; the same names in `info` at a reset and after a
  step.
- v0, makertaker 0.1: first version
"""

from __future__ import annotations

from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, describe = module("execution-2", "execution_v0")
