"""Entry points of the Gymnasium ids: the others follow equilibrium policies unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..envs import MarketVectorEnv, Policy, acas_v0, approximation_v0, execution_v0, maker_taker_v0
from ..envs.described import Described
from ..envs.grid import agent_index
from ..envs.market import Setting
from ..envs.single_agent_env import SingleAgentEnv
from .nash import solve
from .noise.field import FieldOptions
from .reach import warn_where_out_of_reach

_QUICK = FieldOptions(refine=False)
"""in games with noise: without the error estimates, which nobody would see"""


def equilibrium_policies(setting: Setting) -> dict[str, Policy]:
    """Everyone's equilibrium policies, open loop."""
    found = solve(setting.game, setting.steps, field=_QUICK)
    warn_where_out_of_reach(setting, found)
    return found.open_loop()


def _entry_points(module: Any) -> tuple[Callable[..., SingleAgentEnv], Callable[..., MarketVectorEnv]]:
    """For ``gymnasium.make``, and for ``gymnasium.make_vec(..., vectorization_mode="vector_entry_point")``."""

    def single(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        agent: str = "trader_0",
        others: Mapping[str, Policy] | None = None,
        **arguments: Any,
    ) -> SingleAgentEnv:
        """A Gymnasium environment.

        Args:
            game: of the module's ``parallel_env``,
            scenario: of the same.
            agent: name of the learner.
            others: policy of every other agent; None: the equilibrium, open loop.
            arguments: the other arguments of ``parallel_env``.

        Raises:
            ValueError: a bad argument.
            EquilibriumNotFound: ``others`` is None and the game was not solved.
        """
        parallel = module.parallel_env(game, scenario, **arguments)
        agent_index(parallel.game, agent)
        return SingleAgentEnv(parallel, agent, equilibrium_policies(parallel.market) if others is None else others)

    def vector(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        num_envs: int = 1,
        agent: str = "trader_0",
        others: Mapping[str, Policy] | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> MarketVectorEnv:
        """The same for a batch of markets."""
        if render_mode is not None:
            raise ValueError(f"render_mode: a batch of markets is not drawn, expected None, got {render_mode!r}")
        found = module.describe(game, scenario, **arguments)
        agent_index(found.game, agent)
        if others is None:
            others = equilibrium_policies(Setting(found.game, found.options))
        return MarketVectorEnv(found.game, num_envs, agent, others, found.options)

    return single, vector


acas, acas_vector = _entry_points(acas_v0)
approximation, approximation_vector = _entry_points(approximation_v0)
execution, execution_vector = _entry_points(execution_v0)
maker_taker, maker_taker_vector = _entry_points(maker_taker_v0)
