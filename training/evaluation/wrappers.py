"""Whether wrappers of an environment leave what agents see and do as it is, but for padding.

A wrapper may do anything, so it is tried: a copy of the environment plays an episode, and what comes out of the
wrappers, and what arrives at the market, is compared with what should.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from ...envs.described import inner_environments
from ...envs.game import Controls
from ...envs.market import Market
from ...envs.packing import agent_columns, join_controls

_VECTORS = (
    *("supersuit.vector", "gymnasium.vector"),
    *("stable_baselines3.common.vec_env.dummy_vec_env", "stable_baselines3.common.monitor"),
)
"""modules of libraries' vectors of environments, and of monitors, that change nothing"""
_ROUNDING = 1e-5


def check_wrappers(env: object) -> None:
    """Raises ValueError where wrappers change what agents see or do, or end episodes."""
    chain = list(inner_environments(env))
    if _ours(env):
        return
    tried = next((each for each in chain if _kind(each)), None)
    outside = chain if tried is None else chain[: next(i for i, each in enumerate(chain) if each is tried)]
    strange = [each for each in outside if not _ours(each) and not type(each).__module__.startswith(_VECTORS)]
    if strange or tried is None:
        raise _refusal(f"{type((strange or [env])[0]).__name__} is not known to")
    if _ours(tried):
        return
    try:
        twin: Any = copy.deepcopy(tried)
    except Exception as error:  # whatever a stranger's wrapper raises
        raise ValueError(f"env: expected one that can be copied, to try its wrappers, got {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        {"parallel": _try_parallel, "sequential": _try_sequential, "single": _try_single}[_kind(tried)](twin)


def _refusal(what: str) -> ValueError:
    return ValueError(
        f"env: expected wrappers that leave observations, actions and episodes as they are, or pad: {what}; "
        "env.unwrapped is scored without them"
    )


def _ours(env: object) -> bool:
    return type(env).__module__.startswith("makertaker.")


def _kind(env: object) -> str:
    """``"parallel"``, ``"sequential"`` or ``"single"``; empty for a vector of environments."""
    if hasattr(env, "possible_agents") and hasattr(env, "step"):
        return "sequential" if hasattr(env, "agent_iter") else "parallel"
    return "" if hasattr(env, "num_envs") or not hasattr(env, "action_space") else "single"


def _market(env: object) -> Market:
    markets = (getattr(each, "market", None) for each in inner_environments(env))
    return next(each for each in markets if isinstance(each, Market))


def _recorded(market: Market) -> list[np.ndarray]:
    """The controls (N + 2M,) of every step to come, as they arrive at the market."""
    played: list[np.ndarray] = []
    advance = market.advance

    def record(controls: Controls, *more: Any) -> Any:
        played.append(join_controls(market.game, controls))
        return advance(controls, *more)

    setattr(market, "advance", record)  # noqa: B010  # mypy forbids to assign to a method
    return played


def _seen(market: Market, agent: str, observation: Any) -> None:
    expected = market.observation(market.game.positions[agent])
    found = np.asarray(observation, dtype=float).ravel()
    same = found.size >= expected.size and np.allclose(found[: expected.size], expected, rtol=_ROUNDING, atol=_ROUNDING)
    if not same or found[expected.size :].any():
        raise _refusal(f"at step {market.k} {agent} is shown something else")


def _arrived(market: Market, actions: dict[str, np.ndarray], played: list[np.ndarray], steps: int) -> None:
    """Raises ValueError unless the market has taken this many steps, the last with these actions."""
    if len(played) != steps:
        raise _refusal(f"{steps} actions of everybody lead to {len(played)} steps")
    for agent, action in actions.items():
        columns = agent_columns(market.game, agent)
        expected = market.scale.physical_action(agent, action[: columns.stop - columns.start])
        slack = _ROUNDING * float(np.abs(expected).max())
        if not np.allclose(played[-1][columns], expected, rtol=_ROUNDING, atol=slack):
            raise _refusal(f"at step {steps - 1} {agent}'s action does not arrive")


def _drawn(space: Any, rng: np.random.Generator) -> np.ndarray:
    """An action within the bounds that a wrapper shows, not far from their middle."""
    low, high = np.asarray(space.low, dtype=float), np.asarray(space.high, dtype=float)
    return np.asarray((low + high) / 2 + (high - low) / 4 * rng.uniform(-1, 1, low.shape), dtype=np.float32)


def _ended(market: Market, ended: bool) -> None:
    if ended != market.done:
        raise _refusal(f"an episode of {market.steps} steps ends after {market.k}")


def _try_parallel(env: Any) -> None:
    market, rng = _market(env), np.random.default_rng(0)
    seen, _ = env.reset(seed=0)
    played = _recorded(market)
    for step in range(market.steps):
        for agent in market.game.agents:
            _seen(market, agent, seen[agent])
        actions = {agent: _drawn(env.action_space(agent), rng) for agent in market.game.agents}
        seen, _, terminations, truncations, _ = env.step(actions)
        _arrived(market, actions, played, step + 1)
        _ended(market, all(terminations.values()) or any(truncations.values()))


def _try_sequential(env: Any) -> None:
    market, rng = _market(env), np.random.default_rng(0)
    env.reset(seed=0)
    played = _recorded(market)
    for step in range(market.steps):
        actions = {}
        for agent in market.game.agents:
            _seen(market, agent, env.observe(agent))
            actions[agent] = _drawn(env.action_space(agent), rng)
            env.step(actions[agent])
        _arrived(market, actions, played, step + 1)


def _try_single(env: Any) -> None:
    market, rng, agent = _market(env), np.random.default_rng(0), str(env.unwrapped.agent)
    seen, _ = env.reset(seed=0)
    played = _recorded(market)
    for step in range(market.steps):
        _seen(market, agent, seen)
        action = _drawn(env.action_space, rng)
        seen, _, terminated, truncated, _ = env.step(action)
        _arrived(market, {agent: action}, played, step + 1)
        _ended(market, bool(terminated or truncated))
