"""# Approximation: noise in inventories, random order flow

The approximation game of Section 5 of Guo and Jin: every inventory is shaken by a Brownian motion of its own, a factor
drives the flows of noise traders, makers share the orders by softmax. It is the only system of the paper that is
well-posed in general, and its equilibrium is a function of a random state: time, factor and everyone's inventory. The
default is one buyer, two makers and an Ornstein-Uhlenbeck factor.

| | |
| --- | --- |
| Import | `from makertaker.envs import approximation_v0` |
| Agents | `trader_0, ..., maker_0, maker_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | trader `(1,)`, maker `(2,)` |
| Action values | by default in control units from the middle of the action range |
| Observation shape | `"time"`: `(1 + d,)`, `"own"`: `(2 + d,)`, `"market"`: `(7 + d,)`, `"full"`: `(6 + d + n + 2M,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

Actions, observations, rewards and arguments are those of [acas_v0](acas_v0.py). `inventory_noise=0` switches the noise
in inventories off, `factor=None` with numbers for `buy_flow` and `sell_flow` that in the order flow. The noise of a
step lands at its end: a step's flows are those of the factor that is observed before it. `info` holds, besides,
`factor` and `inventory_noise`, the shares that noise has just added to every agent's inventory: which an open-loop
policy needs to know. They are settled at the market price, so that `pnl` only has gains from trading and from price
moves.

## Version history

- v0, makertaker 0.2: the default is the scenario `approximation`, with its number of steps, in game units
  (`normalize=True` has the old units; ranges are others); observations have what the market shows between the own
  inventory and the others'; `game=`, `scenario=`, `units=`, `identity=`, `observation="market"`; the market price
  moves in every reward mode; `random=`, `context=`, `max_cycles=`; the same names in `info` at a reset and after a
  step.
- v0, makertaker 0.1: first version
"""

from __future__ import annotations

from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, describe = module("approximation", "approximation_v0")
