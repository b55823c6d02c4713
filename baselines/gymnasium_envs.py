"""Entry points of the Gymnasium ids: the others follow equilibrium policies unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from ..envs import Controls, MarketVectorEnv, Policy, acas_v0, approximation_v0, execution_v0, maker_taker_v0
from ..envs.described import Described, Description
from ..envs.market import Market, Setting
from ..envs.packing import agent_controls, learner
from ..envs.single_agent_env import Opponents, SingleAgentEnv
from .many import solve_many
from .noise.field import FieldOptions
from .policies import OpenLoop
from .reach import warn_where_out_of_reach
from .remembered import remembered

_QUICK = FieldOptions(refine=False)
"""in games with noise: without the error estimates, which nobody would see"""


def opponents(market: Description) -> Opponents:
    """Everyone's equilibrium policies, open loop; of random markets those of every episode."""
    if market.random is not None:
        return equilibria
    setting = Setting(market.game, market.options)
    found = remembered(setting.game, setting.steps, _QUICK)
    warn_where_out_of_reach(setting, found)
    return found.open_loop()


def equilibria(market: Market) -> dict[str, Policy]:
    """Everyone's equilibrium policies, open loop, in the games that an episode has drawn.

    Raises:
        EquilibriumNotFound: a game was not solved.
        ValueError: a batch of games with noise, in which equilibria are no schedules.
    """
    games = market.games()
    if not market.batch:
        return remembered(games[0], market.steps, _QUICK).open_loop()
    found = solve_many(games, market.steps)
    if any(each.game.random for each in found):
        raise ValueError("others: a batch of random markets with noise needs policies, got None")
    controls = Controls(*(np.stack(each) for each in zip(*(each.controls for each in found), strict=True)))
    schedules = {agent: agent_controls(market.game, controls, agent) for agent in market.game.agents}
    return {agent: OpenLoop(np.moveaxis(each, 0, 1)) for agent, each in schedules.items()}


def _entry_points(module: Any) -> tuple[Callable[..., SingleAgentEnv], Callable[..., MarketVectorEnv]]:
    """For ``gymnasium.make``, and for ``gymnasium.make_vec(..., vectorization_mode="vector_entry_point")``."""

    def single(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        agent: str | None = None,
        others: Opponents | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> SingleAgentEnv:
        """A Gymnasium environment.

        Args:
            game: of the module's ``parallel_env``,
            scenario: of the same.
            agent: name of the learner; None: the first of the game's agents.
            others: policy of every other agent; None: the equilibrium, open loop. Random markets are solved as they are
                drawn.
            render_mode: of the same.
            arguments: the other arguments of ``parallel_env``.

        Raises:
            ValueError: a bad argument.
            EquilibriumNotFound: ``others`` is None and the game was not solved.
        """
        found = module.describe(game, scenario, own=("agent", "others", "render_mode"), **arguments)
        played = found.game if found.random is None else found.random
        parallel = module.parallel_env(played, options=found.options, render_mode=render_mode)
        agent = learner(parallel.game, agent)
        return SingleAgentEnv(parallel, agent, opponents(found) if others is None else others)

    def vector(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        num_envs: int = 1,
        agent: str | None = None,
        others: Opponents | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **arguments: Any,
    ) -> MarketVectorEnv:
        """The same for a batch of markets; see :class:`.MarketVectorEnv`."""
        if render_mode is not None:
            raise ValueError(f"render_mode: a batch of markets is not drawn, expected None, got {render_mode!r}")
        own = ("num_envs", "agent", "others", "autoreset_mode")
        found = module.describe(game, scenario, own=own, **arguments)
        agent = learner(found.game, agent)
        given = opponents(found) if others is None else others
        played = found.game if found.random is None else found.random
        return MarketVectorEnv(played, num_envs, agent, given, found.options, autoreset_mode=autoreset_mode)

    return single, vector


acas, acas_vector = _entry_points(acas_v0)
approximation, approximation_vector = _entry_points(approximation_v0)
execution, execution_vector = _entry_points(execution_v0)
maker_taker, maker_taker_vector = _entry_points(maker_taker_v0)
