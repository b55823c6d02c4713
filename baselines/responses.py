"""Best responses: to opponents that do not react, and to policies that do."""

from __future__ import annotations

from collections.abc import Mapping

from ..envs.described import MarketLike
from ..envs.grid import Policy, agent_index, check_names
from .closed_loop.credibility import Credibility, perturbed_gains
from .closed_loop.options import FitOptions
from .closed_loop.response import looks_at_more
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

    Examples:
        >>> from makertaker.baselines import best_response, solve
        >>> nash = solve("acas").controls
        >>> wider = nash._replace(ask=nash.ask + 0.2)
        >>> round(best_response("acas", wider, "maker_0").gain, 3)
        0.032
    """
    game, steps = profile_grid(game, controls, steps)
    agent_index(game, agent)
    return kind_of(game, steps).best_response(controls, agent)


def best_response_to_policies(
    game: MarketLike, policies: Mapping[str, Policy], agent: str, steps: int | None = None, *, iterations: int = 200
) -> BestResponse:
    """A lower bound on an agent's gain against policies that react to its behaviour.

    The better of two. A search: in an execution game with a factor, see :mod:`.execution.regressed_response`; in
    another game with noise, :mod:`.noise.reacting_response`; otherwise the deviator's schedule is optimised, see
    :func:`.search.schedule_response`, with JAX's gradients where it is long and the others' policies have a method
    ``traced(k, state)``, see :func:`.traced.traced_slopes`. And, where policies look at time, factor and inventories
    alone and there are at most five of the latter two, fitted backward induction, see :mod:`.closed_loop.response`:
    ``bound`` is then what no deviation near the paths gains more than. Policies that remember are asked in whole
    episodes alone, so that for them there is the search, and no bound.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        policies: everyone's.
        agent: name of the deviator.
        steps: K; None: as in :func:`best_response`.
        iterations: of the search for a schedule, at most.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
        EquilibriumNotFound: an opponent's policy is an equilibrium's field that has no answer on its own path.

    Examples:
        >>> from makertaker.baselines import best_response_to_policies, solve
        >>> policies = solve("execution-2").feedback()  # the open-loop equilibrium, played as if it reacted
        >>> found = best_response_to_policies("execution-2", policies, "trader_0")
        >>> bool(found.gain > 0)  # what the other one's reaction is worth
        True
    """
    game, steps = profile_grid(game, policies, steps)
    agent_index(game, agent)
    check_names(game, policies)
    return kind_of(game, steps).reaction(policies, agent, iterations)


def credibility(
    game: MarketLike, policies: Mapping[str, Policy], steps: int | None = None, *, reach: float = 0.02
) -> Credibility:
    """Everyone's gains from states beside the path, in the middle of the game.

    Reactions that are never called for may deter others, and be no best responses where they are. At a feedback
    equilibrium there are no such gains; at other Nash equilibria among players who react there may be.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        policies: everyone's, functions of time, factor and inventories.
        steps: K; None: as in :func:`best_response`.
        reach: how far beside, in each coordinate's characteristic size (see :class:`.MarkovOptions`); three times as
            far in the end.

    Raises:
        ValueError: a policy looks at more, or remembers; or the state has more than five dimensions.
        EquilibriumNotFound: an agent's best response was not found.

    Examples:
        >>> from makertaker.baselines import credibility, markov_nash, solve
        >>> bool(credibility("execution-2", markov_nash("execution-2").feedback()).worst.max() < 1e-6)
        True
        >>> bool(credibility("execution-2", solve("execution-2").open_loop()).worst.max() > 1e-4)
        True
    """
    game, steps = profile_grid(game, policies, steps)
    check_names(game, policies)
    if name := looks_at_more(game, policies, steps):
        raise ValueError(
            f"policies: expected functions of time, factor and inventories, got one of {name} that looks at more"
        )
    return perturbed_gains(kind_of(game, steps).step_system(), policies, FitOptions(reach=reach))
