"""Markets in JAX for one learner, where the others follow the equilibrium unless told otherwise. Needs JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..envs.described import Described, Description, describe
from ..envs.gymnax_env import GymnaxMarket, JaxPolicy
from ..envs.market import Setting
from ..envs.options import OptionsLike
from .policies import OpenLoop
from .reach import warn_where_out_of_reach
from .remembered import remembered


def gymnax_market(
    game: Described | None = None,
    options: OptionsLike = None,
    *,
    scenario: Described | None = None,
    agent: str | None = None,
    others: Mapping[str, JaxPolicy] | None = None,
    truncated: bool = False,
    **arguments: Any,
) -> GymnaxMarket:
    """A game for one learner, in the shape of gymnax.

    Args:
        game: as of :class:`.GymnaxMarket`,
        options: of the same.
        scenario: of the same.
        agent: of the same.
        others: of the same; None: the equilibrium, open loop.
        truncated: of the same.
        arguments: of the same.

    Raises:
        ValueError: a bad argument; or ``others`` is None where the equilibrium is no schedule: in random markets, and
            in games with noise.
        EquilibriumNotFound: ``others`` is None and the game was not solved.

    Examples:
        >>> import jax
        >>> from makertaker.baselines.gymnax_envs import gymnax_market
        >>> env = gymnax_market("acas", agent="maker_0")  # the others play the equilibrium
        >>> observation, state = env.reset(jax.random.key(0), env.default_params)
        >>> observation.shape
        (13,)
    """
    found = describe(game, scenario, options, arguments, own=("agent", "others", "truncated"))
    given = _schedules(found) if others is None else others
    return GymnaxMarket(game, options, scenario=scenario, agent=agent, others=given, truncated=truncated, **arguments)


def _schedules(market: Description) -> dict[str, JaxPolicy]:
    """Everyone's equilibrium as schedules."""
    if market.random is not None:
        raise ValueError("others: expected policies in random markets, whose equilibria JAX does not solve, got None")
    setting = Setting(market.game, market.options)
    found = remembered(setting.game, setting.steps)
    policies = found.open_loop()
    moving = [agent for agent, policy in policies.items() if not isinstance(policy, OpenLoop)]
    if moving:
        raise ValueError(
            f"others: expected policies, got None: in equilibrium the controls of {moving} depend on noise and are no "
            "schedules"
        )
    warn_where_out_of_reach(setting, found)
    return {agent: policy.schedule for agent, policy in policies.items() if isinstance(policy, OpenLoop)}
