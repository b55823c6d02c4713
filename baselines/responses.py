"""Best responses: to opponents that do not react, and to policies that do."""

from __future__ import annotations

from collections.abc import Mapping

from ..envs.described import MarketLike
from ..envs.grid import Policy, agent_index, check_names
from .kinds import kind_of
from .profiles import BestResponse, Profile, profile_grid


def best_response(game: MarketLike, controls: Profile, agent: str, steps: int | None = None) -> BestResponse:
    """The best response of one agent against open-loop opponents: exact, or, in a game with noise, by simulation.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        controls: the profile (K, N), (K, M), (K, M) to deviate from; or a rule, followed along the undisturbed path.
        agent: name of the deviator.
        steps: K; None: that of the profile where it has one, otherwise as in :func:`makertaker.baselines.solve`.

    Raises:
        ValueError: an unknown agent, or controls that do not fit.
        EquilibriumNotFound: the agent's problem was not solved, or has no maximum.
    """
    game, steps = profile_grid(game, controls, steps)
    agent_index(game, agent)
    return kind_of(game, steps).best_response(controls, agent)


def best_response_to_policies(
    game: MarketLike, policies: Mapping[str, Policy], agent: str, steps: int | None = None, *, iterations: int = 200
) -> BestResponse:
    """A lower bound on an agent's gain against policies that react to its behaviour.

    In an execution game with a factor, see :mod:`.execution.regressed_response`; in another game with noise,
    :mod:`.noise.reacting_response`. Otherwise the deviator's schedule is optimised; see
    :func:`.search.schedule_response`.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        policies: everyone's.
        agent: name of the deviator.
        steps: K; None: as in :func:`best_response`.
        iterations: of the search for a schedule, at most.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
        EquilibriumNotFound: an opponent's policy is an equilibrium's field that has no answer on its own path.
    """
    game, steps = profile_grid(game, policies, steps)
    agent_index(game, agent)
    check_names(game, policies)
    return kind_of(game, steps).response_to_policies(policies, agent, iterations)
