"""# Maker-taker: traders and market makers, with any competition and any impact

The general game of Section 3 of Guo and Jin, of which [acas_v0](acas_v0.py) is a preset: traders must buy or sell a
number of shares before the horizon; makers quote prices and compete for their orders and for those of noise traders.
The default is three traders, one of whom sells, and three makers, with softplus best-quote competition and crowded
impact; `competition=` takes `BestQuote`, `SoftmaxShare` or `ProductShare`, `impact=` takes `QuadraticImpact`,
`QuarticImpact`, `CrowdedImpact` or your own functions.

| | |
| --- | --- |
| Import | `from makertaker.envs import maker_taker_v0` |
| Agents | `trader_0, ..., maker_0, maker_1, ...` |
| Parallel API | yes |
| Actions | continuous |
| Action shape | trader `(1,)`, maker `(2,)` |
| Action values | by default in control units from the middle of the action range |
| Observation shape | `"time"`: `(1,)`, `"own"`: `(2,)`, `"market"`: `(7,)`, `"full"`: `(6 + n + 2M,)` |
| Episode | `steps` steps; every agent terminates at the horizon, none is truncated |

Actions, observations, rewards, `info` and arguments are those of [acas_v0](acas_v0.py).

Shares under best-quote and product competition do not clear the market: they need not sum to one. Softmax shares do.
With `flow_from="mean"` makers face the average trader, as with infinitely many (Proposition 4.5).

## Makers alone

`trader_inventory=()` leaves the makers with the flows of noise traders, `buy_flow` and `sell_flow`, one of which must
be positive: the scenarios `makers-only` and `dealers`. There are no traders among the agents then, `info` has no
`price`, and the groups of TorchRL and JAX are `maker` alone. The first maker is the learner where a Gymnasium
environment is not told another.

`SoftmaxShare(rate, offsets, outside)` (`competition={"kind": "softmax", "rate": 2.0, "outside": -2.0}`) lets flow go
elsewhere, `exp(outside)` standing below the shares beside the makers' `exp(offset - rate * quote)`: shares sum to less
than one, the less the higher all quotes are. One maker is then enough, and what makers could earn together is finite:
`makertaker.baselines.coalition_optimum`.

## Version history

- v0, makertaker 0.2: makers without traders, an outside option;
  the default is the scenario `maker-taker-3x3`, with its number of steps, in game units
  (`normalize=True` has the old units; ranges are others); observations have what the market shows between the own
  inventory and the others'; `game=`, `scenario=`, `units=`, `identity=`, `observation="market"`; the market price
  moves in every reward mode; `random=`, `context=`, `max_cycles=`; the same names in `info` at a reset and after a
  step.
- v0, makertaker 0.1: first version
"""

from __future__ import annotations

from .parallel_env import module

__all__ = ["env", "parallel_env", "raw_env"]

parallel_env, raw_env, env, describe = module("maker-taker-3x3", "maker_taker_v0")
