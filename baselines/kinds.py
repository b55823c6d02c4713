"""Kinds of games: the one place that asks what a game is.

A :class:`Kind` offers all that the public functions need: ``solve``, best responses, gains, gains against policies,
reference points, conditions, and the equations one step at a time. :func:`kind_of` finds it. What can be said of a kind
stands in its ``capabilities``, as data, so that nobody else has to ask for a game's class.

=========================  =====================================================  ======================================
kind                       games                                                  solved by
=========================  =====================================================  ======================================
:class:`MakerTaker`        makers and takers, nothing random                      Newton's method, exact
:class:`Execution`         takers alone; a factor, if any, enters linearly        linear equations, exact
:class:`NoisyMakerTaker`   makers and takers, random inventories or flows         the decoupling field, approximately
:class:`BentExecution`     takers alone; a factor that does not enter linearly    the decoupling field, approximately
=========================  =====================================================  ======================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from ..envs.arrays import Array
from ..envs.execution_game import ExecutionGame
from ..envs.game import Controls, Game
from ..envs.grid import Policy, Trajectory, agent_index, grid, simulate
from ..envs.maker_taker_game import MakerTakerGame
from .conditions.condition import Condition
from .conditions.execution import execution_conditions
from .conditions.maker_taker import assumptions, field_condition, model_conditions, observations
from .conditions.noise import noise_conditions
from .equilibrium import Equilibrium
from .execution.equilibrium import ExecutionEquilibrium, solve_execution, still_path
from .execution.linear_rule import LinearFeedback
from .execution.references import COOPERATIVE, execution_references, twap_reference
from .execution.regressed_response import sampled_responses
from .execution.response import AdaptedResponse, adapted_gains, as_rule, respond_to_schedules, schedule_gains, with_rate
from .execution.signal import is_linear, linear_signal
from .execution.step_system import ExecutionSteps
from .heuristics import twap
from .maker_taker.equilibrium import solve_maker_taker
from .maker_taker.references import COALITION, rules_of_thumb
from .maker_taker.response import respond_to_controls
from .maker_taker.step_system import MakerTakerSteps
from .noise.equilibrium import solve_noisy
from .noise.field import Field, FieldOptions
from .noise.reacting_response import reacting_gain
from .noise.response import ResponseOptions, noisy_gains
from .noise.scheme import Still
from .noise.step_system import StepSystem
from .profiles import BestResponse, Profile, Reference, as_schedules
from .search import schedule_response

G = TypeVar("G", bound=Game)
Policies = Mapping[str, Policy]
QUICK_PATHS = 512
_QUICK = ResponseOptions(degree=2, paths=QUICK_PATHS, scored=QUICK_PATHS)
_STILL_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Capabilities:
    """What can be said of a kind of game."""

    exact: bool
    """payoffs, and gains against opponents that do not react, have no error but rounding"""
    inventories_apart: bool
    """an agent's inventory depends on its own controls alone: who sees no more than it does not react"""
    optimum: str
    """name of the reference profile of those who could collude: the makers, or the traders where there are none"""


class SolverOptions(NamedTuple):
    """Arguments of :func:`makertaker.baselines.solve`."""

    throw: bool = True
    guess: Array | None = None
    tolerance: float = 1e-11
    field: FieldOptions | None = None


class Gains(NamedTuple):
    """Everyone's gains from best responses to a profile, (n,) each."""

    payoffs: Array
    """in the profile"""
    gains: Array
    errors: Array | None = None
    """standard errors of the gains; None where they are exact"""


class PolicyGains(NamedTuple):
    """Everyone's gains from deviations against policies."""

    responses: tuple[BestResponse, ...]
    reacting: bool
    """the opponents may react to a deviation"""
    simulated: bool
    """means over simulated paths"""
    exact: bool = False
    """otherwise lower bounds"""

    @property
    def gains(self) -> Array:
        """(n,)"""
        return np.array([each.gain for each in self.responses])

    @property
    def errors(self) -> Array:
        """(n,) standard errors."""
        return np.array([each.gain_se for each in self.responses])

    @property
    def against(self) -> str:
        """The opponents, in words."""
        opponents = f"{'reacting' if self.reacting else 'open-loop'} opponents"
        return f"{opponents}{' on simulated paths' * self.simulated} ({'exact' if self.exact else 'lower bound'})"


class Kind(ABC, Generic[G]):
    """A game on a grid, and all that depends on which kind of game it is.

    Args:
        game: the game.
        steps: number K of steps.
    """

    capabilities: ClassVar[Capabilities]

    def __init__(self, game: G, steps: int) -> None:
        self.game, self.steps, self.times = game, steps, grid(game, steps)

    @abstractmethod
    def solve(self, options: SolverOptions) -> Equilibrium:
        """See :func:`makertaker.baselines.solve`."""

    @abstractmethod
    def step_system(self) -> StepSystem:
        """The equations one step at a time, for a decoupling field."""

    @abstractmethod
    def still(self) -> Still:
        """The solution without noise."""

    @abstractmethod
    def best_responses(self, controls: Controls) -> list[Controls]:
        """For every agent, the profile in which it plays its best response to schedules and the others stay."""

    @abstractmethod
    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        """See :func:`makertaker.baselines.best_response`."""

    @abstractmethod
    def gains(self, profile: Profile) -> Gains:
        """See :func:`makertaker.baselines.exploitability`."""

    @abstractmethod
    def response_to_policies(self, policies: Policies, agent: str, iterations: int) -> BestResponse:
        """See :func:`makertaker.baselines.best_response_to_policies`."""

    @abstractmethod
    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> PolicyGains:
        """Gains against policies that are taken for schedules, along ``played``: the paths that they lead to."""

    def reacting_gains(self, policies: Policies, played: Trajectory) -> PolicyGains:
        """Gains against policies that may react."""
        found = (self.response_to_policies(policies, agent, 200) for agent in self.game.agents)
        return PolicyGains(tuple(found), reacting=True, simulated=self.game.random)

    def beside(self, found: PolicyGains, policies: Policies, played: Trajectory) -> PolicyGains:
        """The gains against opponents that do not react, to stand beside those against policies that may."""
        return self.open_loop_gains(policies, played) if found.reacting else found

    @abstractmethod
    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        """Profiles to compare with, by name; one that does not exist is there with a note that says why."""

    def require_references(self) -> None:
        """Raises ValueError where :func:`makertaker.baselines.references` has no table."""
        raise ValueError(f"references: expected an ExecutionGame, got a {type(self.game).__name__}")

    @abstractmethod
    def conditions(self) -> list[Condition]:
        """See :func:`makertaker.baselines.check`."""

    def by_simulation(self, profile: Profile, quick: bool = False) -> tuple[Array, PolicyGains]:
        """Mean payoffs (n,), and everyone's gains by the deviators' own decoupling fields."""
        payoffs, found = noisy_gains(self.step_system(), profile, options=_QUICK if quick else None)
        return payoffs, PolicyGains(tuple(found), reacting=False, simulated=True)

    def simulated_response(self, profile: Profile, agent: str) -> BestResponse:
        """An agent's best response by simulation."""
        return noisy_gains(self.step_system(), profile, [agent])[1][0]

    def simulated_gains(self, profile: Profile) -> Gains:
        """Everyone's gains by simulation."""
        payoffs, found = self.by_simulation(profile)
        return Gains(payoffs, found.gains, found.errors)


class MakerTaker(Kind[MakerTakerGame]):
    """Makers and takers, nothing random: all is exact."""

    capabilities = Capabilities(exact=True, inventories_apart=False, optimum=COALITION)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return solve_maker_taker(
            self.game, self.times, throw=options.throw, guess=options.guess, tolerance=options.tolerance
        )

    def step_system(self) -> StepSystem:
        return MakerTakerSteps(self.game, self.steps)

    def still(self) -> Still:
        found = solve_maker_taker(self.game, self.times, tolerance=_STILL_TOLERANCE)
        return Still(found.inventories, found.adjoints)

    def best_responses(self, controls: Controls) -> list[Controls]:
        return respond_to_controls(self.game, controls, self.steps)

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        index, controls = agent_index(self.game, agent), as_schedules(self.game, profile, self.steps)
        response = self.best_responses(controls)[index]
        payoff, before = (float(simulate(self.game, each, self.steps).payoffs[index]) for each in (response, controls))
        return BestResponse(response, payoff, payoff - before)

    def gains(self, profile: Profile) -> Gains:
        controls = as_schedules(self.game, profile, self.steps)
        payoffs = simulate(self.game, controls, self.steps).payoffs
        responses = self.best_responses(controls)
        best = [simulate(self.game, each, self.steps).payoffs[i] for i, each in enumerate(responses)]
        return Gains(payoffs, np.array(best) - payoffs)

    def response_to_policies(self, policies: Policies, agent: str, iterations: int) -> BestResponse:
        return schedule_response(self.game, policies, agent, self.steps, self.best_responses, iterations)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> PolicyGains:
        return _exact(self.gains(played.controls), played)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        return rules_of_thumb(self.game, self.steps, equilibrium, self._nash_conv)

    def _nash_conv(self, controls: Controls) -> float:
        return float(self.gains(controls).gains.sum())

    def conditions(self) -> list[Condition]:
        game, steps = self.game, self.steps
        return [*assumptions(game), *model_conditions(game, steps), *observations(game, steps)]


class NoisyMakerTaker(MakerTaker):
    """Makers and takers, random inventories or flows: by the decoupling field and by simulation."""

    capabilities = Capabilities(exact=False, inventories_apart=False, optimum=COALITION)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return solve_noisy(self.step_system(), self.still(), throw=options.throw, options=options.field)

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        agent_index(self.game, agent)
        return self.simulated_response(profile, agent)

    def gains(self, profile: Profile) -> Gains:
        return self.simulated_gains(profile)

    def response_to_policies(self, policies: Policies, agent: str, iterations: int) -> BestResponse:
        return reacting_gain(self.step_system(), policies, agent)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> PolicyGains:
        return self.by_simulation(policies, quick)[1]

    def _nash_conv(self, controls: Controls) -> float:
        return float(self.by_simulation(controls, quick=True)[1].gains.sum())

    def conditions(self) -> list[Condition]:
        observed = field_condition(lambda: solve_noisy(self.step_system(), self.still(), throw=True), self.steps)
        return [*assumptions(self.game), *noise_conditions(self.game), observed]


class Execution(Kind[ExecutionGame]):
    """Takers alone; a factor, if there is one, enters linearly: all is exact."""

    capabilities = Capabilities(exact=True, inventories_apart=True, optimum=COOPERATIVE)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return solve_execution(self.game, self.times, throw=options.throw, tolerance=options.tolerance)

    def step_system(self) -> StepSystem:
        return ExecutionSteps(self.game, self.steps)

    def still(self) -> Still:
        return still_path(self.game, self.times)

    def best_responses(self, controls: Controls) -> list[Controls]:
        rates = respond_to_schedules(self.game, controls.rate)
        return [with_rate(controls, i, rates[:, i]) for i in range(self.game.traders)]

    def _adapts(self, profile: Profile) -> bool:
        """Deviators, or their opponents, use the factor: the best response is a function of its path."""
        return self.game.factor is not None or isinstance(profile, LinearFeedback)

    def _is_nonlinear(self, profile: Profile) -> bool:
        return self.game.factor is not None and isinstance(profile, Field | Mapping)

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        game, index = self.game, agent_index(self.game, agent)
        if self._is_nonlinear(profile):
            return self.simulated_response(profile, agent)
        if self._adapts(profile):
            return AdaptedResponse(as_rule(game, profile, self.steps), index).best()
        controls = as_schedules(game, profile, self.steps)
        response = with_rate(controls, index, respond_to_schedules(game, controls.rate)[:, index])
        payoff, before = (float(simulate(game, each, self.steps).payoffs[index]) for each in (response, controls))
        return BestResponse(response, payoff, payoff - before)

    def gains(self, profile: Profile) -> Gains:
        if self._is_nonlinear(profile):
            return self.simulated_gains(profile)
        if self._adapts(profile):
            payoffs, gains, errors = adapted_gains(as_rule(self.game, profile, self.steps))
            return Gains(payoffs, gains, errors if errors.any() else None)
        return Gains(*schedule_gains(self.game, as_schedules(self.game, profile, self.steps).rate))

    def response_to_policies(self, policies: Policies, agent: str, iterations: int) -> BestResponse:
        if self.game.factor is not None:
            return sampled_responses(self.game, policies, [agent], self.steps)[0]
        return schedule_response(self.game, policies, agent, self.steps, self.best_responses, iterations)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> PolicyGains:
        if self.game.factor is None:
            return _exact(self.gains(played.controls), played)
        return self._sampled(policies, react=False, paths=QUICK_PATHS if quick else 2048)

    def reacting_gains(self, policies: Policies, played: Trajectory) -> PolicyGains:
        if self.game.factor is None:
            return super().reacting_gains(policies, played)
        return self._sampled(policies, react=True)

    def beside(self, found: PolicyGains, policies: Policies, played: Trajectory) -> PolicyGains:
        """With a factor there is one lower bound, of both."""
        return super().beside(found, policies, played) if self.game.factor is None else found

    def _sampled(self, policies: Policies, *, react: bool, paths: int = 2048) -> PolicyGains:
        found = sampled_responses(self.game, policies, self.game.agents, self.steps, react=react, paths=paths)
        return PolicyGains(tuple(found), reacting=react, simulated=True)

    def require_references(self) -> None:
        linear_signal(self.game, self.game.coefficients(self.times), self.times)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        if not isinstance(equilibrium, ExecutionEquilibrium):
            raise TypeError(f"expected an ExecutionEquilibrium, got a {type(equilibrium).__name__}")
        return execution_references(self.game, self.steps, equilibrium)

    def conditions(self) -> list[Condition]:
        return execution_conditions(self.game, self.steps)


class BentExecution(Execution):
    """Takers alone; a factor that does not enter linearly: by the decoupling field and by simulation."""

    capabilities = Capabilities(exact=False, inventories_apart=True, optimum=COOPERATIVE)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return solve_noisy(self.step_system(), self.still(), throw=options.throw, options=options.field)

    def _is_nonlinear(self, profile: Profile) -> bool:
        return True

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        schedule = Controls(twap(self.game, self.steps))
        nash_conv = float(self.by_simulation(schedule, quick=True)[1].gains.sum())
        return twap_reference(self.game, schedule, nash_conv)


def kind_of(game: Game, steps: int) -> Kind[Any]:
    """The kind of a game, on a grid of K steps.

    Raises:
        ValueError: not a game of the paper, or ``steps`` is not a positive whole number.
    """
    if isinstance(game, MakerTakerGame):
        return (NoisyMakerTaker if game.random else MakerTaker)(game, steps)
    if isinstance(game, ExecutionGame):
        return (Execution if is_linear(game, grid(game, steps)) else BentExecution)(game, steps)
    raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got a {type(game).__name__}")


def _exact(gains: Gains, played: Trajectory) -> PolicyGains:
    """Exact gains of the schedules that policies play."""
    responses = (BestResponse(played.controls, p + g, g) for p, g in zip(gains.payoffs, gains.gains, strict=True))
    return PolicyGains(tuple(responses), reacting=False, simulated=False, exact=True)
