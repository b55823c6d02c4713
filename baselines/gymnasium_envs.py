"""Entry points of the Gymnasium ids: the others follow equilibrium policies unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..envs import MarketVectorEnv, Options, Policy, acas_v0, approximation_v0, execution_v0, maker_taker_v0
from ..envs.options import merged, split
from ..envs.single_agent_env import SingleAgentEnv
from .nash import solve
from .noise.field import FieldOptions

_QUICK = FieldOptions(refine=False)
"""in games with noise: without the error estimates, which nobody would see"""


def _entry_points(module: Any) -> tuple[Callable[..., SingleAgentEnv], Callable[..., MarketVectorEnv]]:
    """For ``gymnasium.make``, and for ``gymnasium.make_vec(..., vectorization_mode="vector_entry_point")``."""

    def single(
        *, agent: str = "trader_0", others: Mapping[str, Policy] | None = None, **arguments: Any
    ) -> SingleAgentEnv:
        """A Gymnasium environment.

        Args:
            agent: name of the learner.
            others: policy of every other agent; None: the equilibrium, open loop.
            arguments: of the module's ``parallel_env``.

        Raises:
            ValueError: a bad argument.
            EquilibriumNotFound: ``others`` is None and the game was not solved.
        """
        parallel = module.parallel_env(**arguments)
        if others is None:
            others = solve(parallel.game, parallel.market.steps, field=_QUICK).open_loop()
        return SingleAgentEnv(parallel, agent, others)

    def vector(
        *,
        options: Options | None = None,
        num_envs: int = 1,
        agent: str = "trader_0",
        others: Mapping[str, Policy] | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> MarketVectorEnv:
        """The same for a batch of markets."""
        if render_mode is not None:
            raise ValueError(f"render_mode: a batch of markets is not drawn, expected None, got {render_mode!r}")
        own, parameters = split(arguments)
        game, options = module.make_game(**parameters), merged(options, **own)
        if others is None:
            others = solve(game, options.steps, field=_QUICK).open_loop()
        return MarketVectorEnv(game, num_envs, agent, others, options)

    return single, vector


acas, acas_vector = _entry_points(acas_v0)
approximation, approximation_vector = _entry_points(approximation_v0)
execution, execution_vector = _entry_points(execution_v0)
maker_taker, maker_taker_vector = _entry_points(maker_taker_v0)
