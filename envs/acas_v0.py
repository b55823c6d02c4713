"""# ACAS: Almgren-Chriss traders against Avellaneda-Stoikov makers

Traders must buy (or sell) a number of shares before the horizon; makers quote prices and compete for their orders and
for those of noise traders. The default is the model of Section 4 of Guo and Jin: one buyer, two makers, exponential
best-quote competition, quadratic temporary impact. Any number of buyers, sellers and makers (at least two) works.

| | |
| --- | --- |
| Import | `from makertaker.envs import acas_v0` |
| Agents | `trader_0, ..., maker_0, maker_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | trader `(1,)`, maker `(2,)` |
| Action values | `[-1, 1]`; physical units with `normalize=False` |
| Observation shape | `"time"`: `(1,)`, `"own"`: `(2,)`, `"full"`: `(1 + n + 2M,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

## Actions

| agent | entry | physical meaning | unit | constraint |
| --- | --- | --- | --- | --- |
| trader | `rate` | trading rate; positive buys | shares / time | `[min_rate, max_rate]`, sellers negated |
| maker | `ask` | distance of the ask above the reference price | currency | `[-max_quote, max_quote]` |
| maker | `bid` | distance of the bid below the reference price | currency | `[-max_quote, max_quote]` |

Normalised actions are mapped affinely onto `game.action_range()`, which is computed from the game's parameters alone;
`rate_range=` and `quote_range=` override it. Actions of any float dtype are taken in their precision. Actions out of
bounds are truncated; NaN is a `ValueError`.

## Observations

Nested prefixes of one float32 vector, all bounded:

| entries | meaning | range | in |
| --- | --- | --- | --- |
| 1 | time / horizon | [0, 1] | `time`, `own`, `full` |
| 1 | own inventory / largest initial inventory | [-10, 10] | `own`, `full` |
| n - 1 | other agents' inventories, same unit, traders first | [-10, 10] | `full` |
| 2 M | last asks, then last bids, normalised; 0 before the first step | [-1, 1] | `full` |

`state()` is the same vector with the agents in their common order.

## Rewards

With `reward="payoff"` the reward of a step is the agent's income, its inventory being valued at the reference price,
less `phi * integral of Q^2`; the last one also has `-A Q_T^2`. The undiscounted sum over an episode is the agent's
payoff in the game, exactly: within a step everything is integrated in closed form. With `reward="wealth"` the
reference price moves at the end of every step by `volatility * sqrt(dt) * Z`, and `Q dP` is added; the expectation is
the same. The unit is currency.

`info` of an agent: `mid` (reference price), `spread` (best ask plus best bid), `volume` (shares that arrived in this
step at both sides), `cash`, `pnl` (cash plus inventory at mid, less the initial inventory's value); a trader's also has
`price`, what it paid per share in this step.

## Arguments

`steps=100`, `observation="full"`, `reward="payoff"`, `normalize=True`, `render_mode=None` (`"human"`, `"rgb_array"`),
`rate_range=None`, `quote_range=None`, `inventory_spread=0.0` (standard deviation of noise on initial inventories), and
every parameter of `makertaker.envs.MakerTakerGame`. `reset(options={"inventory": ...})` starts from given inventories.

Shares under best-quote competition do not clear the market: where all makers quote alike, each
receives the whole flow.

## Version history

- v0: first version
"""

from __future__ import annotations

from .maker_taker_game import MakerTakerGame
from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, make_game = module(MakerTakerGame(), "acas_v0")
