"""# ACAS: Almgren-Chriss traders against Avellaneda-Stoikov makers

Traders must buy (or sell) a number of shares before the horizon; makers quote prices and compete for their orders and
for those of noise traders. The default is the scenario `acas`, the model of Section 4 of Guo and Jin: one buyer, two
makers, exponential best-quote competition, quadratic temporary impact. Any number of buyers, sellers and makers (at
least two) works, and [makers alone](maker_taker_v0.py).

| | |
| --- | --- |
| Import | `from makertaker.envs import acas_v0` |
| Agents | `trader_0, ..., maker_0, maker_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | trader `(1,)`, maker `(2,)` |
| Action values | by default in control units from the middle of the action range |
| Observation shape | `"time"`: `(1,)`, `"own"`: `(2,)`, `"market"`: `(7,)`, `"full"`: `(6 + n + 2M,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

## The market

`acas_v0.parallel_env(game=None, scenario=None, ...)`, and `env` and `raw_env` in the same way, play

- by default the scenario `acas`;
- a game: `game=MakerTakerGame(...)`;
- a scenario: its name, the path of its `.toml` file, or a mapping of what would stand there: `scenario="acas-2x3"`;
- either with some parameters changed: `maker_terminal_penalty=0.3`. Parts of the market may be mappings, as in a
  scenario file: `competition={"kind": "softmax", "rate": 1.0}`.

`solve(env)` is the equilibrium of the game that an environment plays, on its grid.

## Actions

| agent | entry | physical meaning | unit | constraint |
| --- | --- | --- | --- | --- |
| trader | `rate` | trading rate; positive buys | shares / time | `[min_rate, max_rate]`, sellers negated |
| maker | `ask` | distance of the ask above the reference price | currency | `[-max_quote, max_quote]` |
| maker | `bid` | distance of the bid below the reference price | currency | `[-max_quote, max_quote]` |

`max_rate` and `max_quote` are None by default: no constraint.

By default an action counts from the middle of `game.action_range()` in units of `game.control_unit(agent)`, a third of
a maker's margin `1 / gamma` and of a trader's average rate `|q_0| / T`: one exploration and one learning rate suit
everybody, and noise of one unit does not upset the market. The range is computed from the game's parameters alone, and
is the same for all makers; `rate_range=` and `quote_range=` override it. `normalize=True`: actions in [-1, 1] are
mapped affinely onto the range. `units="currency"`: actions are rates and quotes. Actions may be numbers, lists, and
arrays of any library and float dtype, with axes of length 1 missing or too many; they are computed with in double
precision. Actions out of bounds are truncated; rates and quotes (`units="currency"`) at the constraints of the table
where there are any. NaN is a `ValueError`.

## Observations

Nested prefixes of one float32 vector, all bounded:

| entries | meaning | range | in |
| --- | --- | --- | --- |
| 1 | time / horizon | [0, 1] | `time`, `own`, `market`, `full` |
| 1 | own inventory / largest initial inventory | [-10, 10] | `own`, `market`, `full` |
| 2 | last best ask and best bid, normalised to the quote range; 0 before the first step | [-1, 1] | `market`, `full` |
| 1 | market price since the start / `game.price_unit` | [-10, 10] | `market`, `full` |
| 2 | buy and sell volume of the last step / `game.volume_unit` a step | [-10, 10] | `market`, `full` |
| n - 1 | other agents' inventories, same unit as the own, traders first | [-10, 10] | `full` |
| 2 M | last asks, then last bids, normalised; 0 before the first step | [-1, 1] | `full` |

`market` is what a participant really sees. The market price has its martingale part: it moves at the end of every step
by `volatility * sqrt(dt) * Z`, whatever the reward. With `identity=True` a one-hot of the agent, `n` entries, stands
at the end: learners that share one network need it. `state()` is the full vector with the agents in their common
order.

## Rewards

With `reward="payoff"` the reward of a step is the agent's income, its inventory being valued at the reference price,
less `phi * integral of Q^2` and the terminal penalty. The undiscounted sum over an episode is the agent's payoff in
the game, exactly: within a step everything is integrated in closed form, and moves of the price have no part in it.
With `reward="wealth"` these are added, `Q dP`; the expectation is the same.

By default rewards are in units of `game.payoff_unit(agent)`: multiplied by it, an episode's sum is the payoff in
currency. The terminal penalty is then charged as it changes, `-A (Q_{k+1}^2 - Q_k^2)`, in the first step `-A Q_1^2`,
so that learners are told at once what a trade is worth. With `units="currency"` rewards are in currency, and the last
one has `-A Q_T^2`. `makertaker.training.score` gives payoffs in currency.

`info` of an agent, at a reset and after every step, in physical units: `mid` (market price), `spread` (best ask plus
best bid), `volume` (shares that arrived in this step at both sides), `inventory`, `cash`, `pnl` (cash plus inventory at
mid, less the initial inventory's value); a trader's also has `price`, what it paid per share in this step. Before the
first step `spread` and `volume` are 0 and `price` is `mid`. In random markets `drawn.NAME` is what was drawn.

## Traders who must liquidate

With `trader_terminal_penalty=math.inf` (in a file `inf`; one for each trader as well) a trader must end with nothing,
and no terminal penalty is charged to it. In its direction of trade its rate is kept within `[max(min_rate, (|Q| - r
max_rate) / dt), min(max_rate, (|Q| - r min_rate) / dt)]`, `r` being the time after this step, so that the rest can be
closed within the constraints; the last step closes. `info` of traders then has `rate`, what was traded at in this
step, and `clipped`, the same less the rate that the action stood for; observations are as ever. Inventories need
`min_rate T <= |q| <= max_rate T`, or are a `ValueError`; drawn ones (`inventory_spread`) end there. Not with
`inventory_noise`: the last shock could not be closed.

## Arguments

`game=None`, `scenario=None`, `steps=None` (the scenario's; 20 where only a game is given), `observation="full"`,
`units="game"` (or `"currency"`), `normalize=None`, `identity=False`, `reward="payoff"`, `render_mode=None` (`"human"`,
`"rgb_array"`), `rate_range=None`, `quote_range=None`, `inventory_spread=0.0` (standard deviation of noise on initial
inventories), `random=None` (distributions of parameters, which every episode draws: `makertaker.envs.RandomMarkets`),
`context=False` (agents see what was drawn), and every parameter of `makertaker.envs.MakerTakerGame`;
`makertaker.envs.Options` says more. `max_cycles` is another name of `steps`. `pettingzoo.make("parallel",
"makertaker/acas_v0")` makes it as well, with PettingZoo 1.27 or later, once `makertaker.envs` is imported.
`reset(options={"inventory": ...})` starts from given inventories.

Shares under best-quote competition do not clear the market: where all makers quote alike, each
receives the whole flow.

## Version history

- v0, makertaker 0.2: the default is the scenario `acas`, with its number of steps, in game units (`normalize=True`
  has the old units; ranges are others); observations have what the market shows between the own inventory and the
  others'; `game=`, `scenario=`, `units=`, `identity=`, `observation="market"`; the market price moves in every reward
  mode; `random=`, `context=`, `max_cycles=`; the same names in `info` at a reset and after a step.
- v0, makertaker 0.1: first version
"""

from __future__ import annotations

from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, describe = module("acas", "acas_v0")
