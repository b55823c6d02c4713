"""Kinds of games: the one place that looks at a game's class.

A :class:`Kind` offers all that the public functions need: ``solve``, best responses, gains, gains against policies,
reference points, conditions, and the equations one step at a time. :func:`kind_of` finds it. The properties of a kind
stand in its ``capabilities``, as data, so that nothing else has to look at the class.

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
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar, cast

import numpy as np

from ..envs import Controls, ExecutionGame, Game, MakerTakerGame, Policy, Trajectory, simulate
from ..envs.arrays import Array
from ..envs.grid import agent_index, grid
from .budget import MOST_ITERATIONS, Budget
from .closed_loop.equilibrium import MarkovNash, MarkovOptions, solve_markov
from .closed_loop.response import LARGEST, better_of, fitted_response, looks_at_more
from .conditions.condition import Condition
from .conditions.execution import closing, execution_conditions
from .conditions.maker_taker import assumptions, field_condition, model_conditions, observations
from .conditions.noise import noise_conditions
from .equilibrium import Equilibrium
from .errors import EquilibriumNotFound
from .execution.equilibrium import ExecutionEquilibrium, noiseless_path, solve_execution
from .execution.linear_rule import LinearFeedback
from .execution.references import COOPERATIVE, execution_references, feedback_reference, twap_reference
from .execution.regressed_response import PATHS, sampled_responses
from .execution.response import AdaptedResponse, adapted_gains, as_rule, respond_to_schedules, schedule_gains
from .execution.signal import is_linear
from .execution.step_system import ExecutionSteps
from .heuristics import twap
from .maker_taker.equilibrium import solve_maker_taker
from .maker_taker.many import gains_together, shape_of, solve_together
from .maker_taker.references import COALITION, rules_of_thumb
from .maker_taker.response import exact_gains, respond_to_controls
from .maker_taker.step_system import MakerTakerSteps
from .noise.equilibrium import DecouplingEquilibrium, solve_noisy
from .noise.field import Field, FieldOptions
from .noise.reacting_response import reacting_gain
from .noise.response import ResponseOptions, noisy_gains
from .noise.scheme import NoiselessSolution
from .noise.step_system import StepSystem
from .profiles import FEEDBACK, BestResponse, Profile, Reference, as_schedules, replaced
from .search import schedule_response

G = TypeVar("G", bound=Game, covariant=True)
Policies = Mapping[str, Policy]
QUICK_PATHS = 512
_QUICK = ResponseOptions(degree=2, paths=QUICK_PATHS, scored=QUICK_PATHS)
_NOISELESS_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Capabilities:
    """The properties of a kind of game."""

    inventories_apart: bool
    """an agent's inventory depends on its own controls alone: a policy that sees no more than it does not react"""
    optimum: str
    """name of the reference profile of those who could collude: the makers, or the traders where there are none"""


class SolverOptions(NamedTuple):
    """Arguments of :func:`makertaker.baselines.solve`; a solver takes those that it has a use for."""

    throw: bool = True
    guess: Array | None = None
    tolerance: float = 1e-11
    field: FieldOptions | None = None
    iterations: int = MOST_ITERATIONS
    seconds: float | None = None

    def budget(self) -> Budget:
        """From now on."""
        return Budget(self.iterations, self.seconds)


class Gains(NamedTuple):
    """Everyone's gains from deviations, (n,) each."""

    gains: Array
    errors: Array | None = None
    """standard errors of the gains; None where they are exact"""
    payoffs: Array | None = None
    """before a deviation, where they are known"""
    bounds: Array | None = None
    """no deviation near the paths gains more, where that is known of all; see :mod:`.closed_loop.response`"""
    reacting: bool = False
    """the opponents may react to a deviation"""
    simulated: bool = False
    """means over simulated paths"""
    exact: bool = False
    """otherwise lower bounds"""

    def deviator(self, game: Game) -> str:
        """What the deviator may look at, in words."""
        if self.bounds is not None:
            return f"time{', the factor' if game.factor is not None else ''} and everyone's inventories"
        if not game.random and self.simulated:
            return "time: a schedule, whatever moves the market price"
        if not game.random:
            return "time: where nothing moves inventories but players, a schedule is as good as any reaction"
        return "time and everyone's undisturbed paths, which the noise moves"

    @property
    def against(self) -> str:
        """The opponents, in words."""
        opponents = f"{'reacting' if self.reacting else 'open-loop'} opponents"
        return f"{opponents}{' on simulated paths' * self.simulated} ({'exact' if self.exact else 'lower bound'})"


def _gains(found: Iterable[BestResponse], *, reacting: bool, simulated: bool, payoffs: Array | None = None) -> Gains:
    found = list(found)
    gains, errors = np.array([(each.gain, each.gain_se) for each in found]).T
    bounds = [each.bound for each in found]
    known = None if None in bounds else np.array(bounds, dtype=float)
    return Gains(gains, errors, payoffs, known, reacting, simulated)


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

    @property
    def shape(self) -> Hashable:
        """What a game has in common with those that :meth:`solve_together` takes beside it; None where it takes
        none."""
        return None

    def solve_together(self, games: Sequence[Game], options: SolverOptions) -> Sequence[Equilibrium | None]:
        """The equilibria of games of one shape on this grid; None for those that are to be solved alone."""
        return [None] * len(games)

    def gains_together(self, games: Sequence[Game], profiles: Sequence[Controls]) -> Sequence[Gains | None]:
        """The same of gains from deviations from one profile of schedules each."""
        return [None] * len(games)

    @abstractmethod
    def step_system(self) -> StepSystem:
        """The equations one step at a time, for a decoupling field."""

    @abstractmethod
    def without_noise(self) -> NoiselessSolution:
        """The solution without noise."""

    @abstractmethod
    def respond(self, controls: Controls, index: int) -> Controls:
        """The profile of schedules in which an agent plays its best response and the others stay; no factor."""

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        """See :func:`makertaker.baselines.best_response`."""
        game, index = self.game, agent_index(self.game, agent)
        controls = as_schedules(game, profile, self.steps)
        response = self.respond(controls, index)
        payoff, before = (float(simulate(game, each, self.steps).payoffs[index]) for each in (response, controls))
        return BestResponse(response, payoff, payoff - before)

    @abstractmethod
    def gains(self, profile: Profile) -> Gains:
        """See :func:`makertaker.baselines.exploitability`; with payoffs."""

    def response_to_policies(
        self, policies: Policies, agent: str, iterations: int = 200, *, price: bool = False
    ) -> BestResponse:
        """See :func:`makertaker.baselines.best_response_to_policies`."""
        return schedule_response(self.game, policies, agent, self.steps, self.respond, iterations, price=price)

    def reaction(self, policies: Policies, agent: str, iterations: int = 200, *, price: bool = False) -> BestResponse:
        """See :func:`makertaker.baselines.best_response_to_policies`: the better of what a search finds and, where
        policies look at inventories alone, of backward induction, whose bound is reported."""
        found = self.response_to_policies(policies, agent, iterations, price=price)
        return found if price else self._fitted(policies, [agent], [found])[0]

    def _fitted(
        self, policies: Policies, agents: Sequence[str], found: Sequence[BestResponse]
    ) -> Sequence[BestResponse]:
        """Best responses and those of backward induction, the better of the two for each agent; without a bound where
        policies look at more, or an agent's problem is not solved in the whole tube."""
        if self.dimensions > LARGEST or looks_at_more(self.game, policies, self.steps):
            return found
        system, result = self.step_system(), []
        for agent, known in zip(agents, found, strict=True):
            try:
                result.append(better_of(known, fitted_response(system, policies, agent)))
            except EquilibriumNotFound:  # what was searched stands, without a bound
                result.append(known)
        return result

    @property
    def dimensions(self) -> int:
        """Of the state: all inventories and the factor."""
        return len(self.game.start) + (0 if self.game.factor is None else self.game.factor.size)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> Gains:
        """Gains against policies that are taken for schedules, along ``played``: the paths that they lead to."""
        return self.gains(played.controls)

    def reacting_gains(self, policies: Policies, *, price: bool = False) -> Gains:
        """Gains against policies that may react; to the market price as well."""
        found = [self.response_to_policies(policies, agent, price=price) for agent in self.game.agents]
        if not price:
            found = list(self._fitted(policies, self.game.agents, found))
        return _gains(found, reacting=True, simulated=self.game.random or price)

    def open_loop_beside(self, found: Gains, policies: Policies, played: Trajectory) -> Gains:
        """The gains against opponents that do not react, to stand beside those against policies that may."""
        return self.open_loop_gains(policies, played) if found.reacting else found

    @abstractmethod
    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        """Profiles to compare with, by name; one that does not exist is there with a note that says why."""

    def feedback(self) -> Reference:
        """The feedback equilibrium, or the reason why there is none: what players who react are compared with."""
        if self.dimensions > LARGEST:
            return Reference(FEEDBACK, note=f"not computed for more than {LARGEST} state dimensions")
        try:
            found = self.markov_nash(None)
            gains = self.simulated_gains(found, quick=True) if self.game.random else self.gains(found)
        except EquilibriumNotFound as error:
            return Reference(FEEDBACK, note=str(error))
        return Reference(FEEDBACK, found, found.payoffs, None, float(gains.gains.sum()), found.message)

    @abstractmethod
    def conditions(self) -> list[Condition]:
        """See :func:`makertaker.baselines.check`."""

    def solve_noisy(self, options: SolverOptions) -> DecouplingEquilibrium:
        """The equilibrium by the decoupling field."""
        return solve_noisy(self.step_system(), self.without_noise(), throw=options.throw, options=options.field)

    def markov_nash(self, options: MarkovOptions | None, *, throw: bool = True) -> MarkovNash:
        """See :func:`makertaker.baselines.markov_nash`."""
        return solve_markov(self.step_system(), self.without_noise(), options, throw=throw)

    def simulated_response(self, profile: Profile, agent: str) -> BestResponse:
        """An agent's best response by its own decoupling field and simulation."""
        return noisy_gains(self.step_system(), profile, [agent])[1][0]

    def simulated_gains(self, profile: Profile, *, quick: bool = False) -> Gains:
        """The same for everyone's gains."""
        payoffs, found = noisy_gains(self.step_system(), profile, options=_QUICK if quick else None)
        return _gains(found, reacting=False, simulated=True, payoffs=payoffs)


class MakerTaker(Kind[MakerTakerGame]):
    """Makers and takers; where nothing is random, all is exact."""

    capabilities = Capabilities(inventories_apart=False, optimum=COALITION)

    def solve(self, options: SolverOptions) -> Equilibrium:
        throw, guess, tolerance, *_ = options
        budget = options.budget()
        return solve_maker_taker(self.game, self.times, throw=throw, guess=guess, tolerance=tolerance, budget=budget)

    @property
    def shape(self) -> Hashable:
        return None if self.game.random or self.game.factor is not None else shape_of(self.game)

    def solve_together(self, games: Sequence[Game], options: SolverOptions) -> Sequence[Equilibrium | None]:
        return solve_together(cast(Sequence[MakerTakerGame], games), self.times, options.tolerance)

    def gains_together(self, games: Sequence[Game], profiles: Sequence[Controls]) -> Sequence[Gains | None]:
        found = gains_together(cast(Sequence[MakerTakerGame], games), self.times, profiles)
        return [None if each is None else Gains(each[1], payoffs=each[0], exact=True) for each in found]

    def step_system(self) -> StepSystem:
        return MakerTakerSteps(self.game, self.steps)

    def without_noise(self) -> NoiselessSolution:
        found = solve_maker_taker(self.game, self.times, tolerance=_NOISELESS_TOLERANCE)
        return NoiselessSolution(found.inventories, found.adjoints)

    def respond(self, controls: Controls, index: int) -> Controls:
        (found,) = respond_to_controls(self.game, controls, self.steps, [index])
        return found

    def gains(self, profile: Profile) -> Gains:
        controls = as_schedules(self.game, profile, self.steps)
        payoffs, gains = exact_gains(self.game, controls, self.steps)
        return Gains(gains, payoffs=payoffs, exact=True)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        return rules_of_thumb(self.game, self.steps, equilibrium, lambda controls: self.gains(controls).gains)

    def conditions(self) -> list[Condition]:
        model = [*closing(self.game), *model_conditions(self.game, self.steps)]
        return [*assumptions(self.game), *model, *observations(self.game, self.steps)]


class NoisyMakerTaker(MakerTaker):
    """Makers and takers, random inventories or flows: by the decoupling field and by simulation."""

    capabilities = Capabilities(inventories_apart=False, optimum=COALITION)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return self.solve_noisy(options)

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        return self.simulated_response(profile, agent)

    def gains(self, profile: Profile) -> Gains:
        return self.simulated_gains(profile)

    def response_to_policies(
        self, policies: Policies, agent: str, iterations: int = 200, *, price: bool = False
    ) -> BestResponse:
        return reacting_gain(self.step_system(), policies, agent, price=price)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> Gains:
        return self.simulated_gains(policies, quick=quick)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        return rules_of_thumb(
            self.game, self.steps, equilibrium, lambda controls: self.simulated_gains(controls, quick=True).gains
        )

    def conditions(self) -> list[Condition]:
        observed = field_condition(lambda: self.solve_noisy(SolverOptions()), self.steps)
        return [*assumptions(self.game), *closing(self.game), *noise_conditions(self.game), observed]


class Execution(Kind[ExecutionGame]):
    """Takers alone; a factor, if there is one, enters linearly: all is exact."""

    capabilities = Capabilities(inventories_apart=True, optimum=COOPERATIVE)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return solve_execution(self.game, self.times, throw=options.throw, tolerance=options.tolerance)

    def step_system(self) -> StepSystem:
        return ExecutionSteps(self.game, self.steps)

    def without_noise(self) -> NoiselessSolution:
        return noiseless_path(self.game, self.times)

    def respond(self, controls: Controls, index: int) -> Controls:
        own = controls._replace(rate=respond_to_schedules(self.game, controls.rate))
        return replaced(self.game, controls, own, index)

    def _rule(self, profile: Profile) -> LinearFeedback | None:
        """A profile as an affine rule, where deviators or their opponents use the factor."""
        adapts = self.game.random or isinstance(profile, LinearFeedback)
        return as_rule(self.game, profile, self.steps) if adapts else None

    def _nonlinear(self, profile: Profile) -> bool:
        """True if deviators need a decoupling field: the profile is no affine function of the noise."""
        return self.game.random and isinstance(profile, Field | Mapping)

    def best_response(self, profile: Profile, agent: str) -> BestResponse:
        if self._nonlinear(profile):
            return self.simulated_response(profile, agent)
        rule = self._rule(profile)
        if rule is None:
            return super().best_response(profile, agent)
        return AdaptedResponse(rule, agent_index(self.game, agent)).best()

    def gains(self, profile: Profile) -> Gains:
        if self._nonlinear(profile):
            return self.simulated_gains(profile)
        rule = self._rule(profile)
        if rule is None:
            payoffs, gains = schedule_gains(self.game, as_schedules(self.game, profile, self.steps).rate)
            return Gains(gains, payoffs=payoffs, exact=True)
        payoffs, gains, errors = adapted_gains(rule)
        return Gains(gains, errors if errors.any() else None, payoffs, exact=not errors.any())

    def response_to_policies(
        self, policies: Policies, agent: str, iterations: int = 200, *, price: bool = False
    ) -> BestResponse:
        if self.game.random:
            return sampled_responses(self.game, policies, [agent], self.steps, price=price)[0]
        return super().response_to_policies(policies, agent, iterations, price=price)

    def _sampled(self, policies: Policies, *, react: bool, paths: int = PATHS, price: bool = False) -> Gains:
        given = policies, self.game.agents, self.steps
        found = sampled_responses(self.game, *given, react=react, paths=paths, price=price)
        if react and not price:
            found = list(self._fitted(policies, self.game.agents, found))
        return _gains(found, reacting=react, simulated=True)

    def open_loop_gains(self, policies: Policies, played: Trajectory, *, quick: bool = False) -> Gains:
        if not self.game.random:
            return super().open_loop_gains(policies, played)
        return self._sampled(policies, react=False, paths=QUICK_PATHS if quick else PATHS)

    def reacting_gains(self, policies: Policies, *, price: bool = False) -> Gains:
        if self.game.random:
            return self._sampled(policies, react=True, price=price)
        return super().reacting_gains(policies, price=price)

    def open_loop_beside(self, found: Gains, policies: Policies, played: Trajectory) -> Gains:
        """With noise there is one lower bound, of both."""
        return found if self.game.random else super().open_loop_beside(found, policies, played)

    def feedback(self) -> Reference:
        return feedback_reference(self.game, self.steps)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        if not isinstance(equilibrium, ExecutionEquilibrium):
            raise TypeError(f"expected an ExecutionEquilibrium, got a {type(equilibrium).__name__}")
        return execution_references(self.game, self.steps, equilibrium)

    def conditions(self) -> list[Condition]:
        return execution_conditions(self.game, self.steps)


class BentExecution(Execution):
    """Takers alone; a factor that does not enter linearly: by the decoupling field and by simulation."""

    capabilities = Capabilities(inventories_apart=True, optimum=COOPERATIVE)

    def solve(self, options: SolverOptions) -> Equilibrium:
        return self.solve_noisy(options)

    def _nonlinear(self, profile: Profile) -> bool:
        return self.game.random

    def feedback(self) -> Reference:
        return Kind.feedback(self)

    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        schedule = Controls(twap(self.game, self.steps))
        found = self.simulated_gains(schedule, quick=True) if self.game.random else self.gains(schedule)
        return twap_reference(self.game, schedule, float(found.gains.sum()))


def kind_of(game: Game, steps: int) -> Kind[Game]:
    """The kind of a game, on a grid of K steps.

    Raises:
        ValueError: not a game of the paper; or ``steps`` is not a positive whole number, or so small that a factor
            overshoots its mean ever further.
    """
    if isinstance(game, MakerTakerGame):
        return (NoisyMakerTaker if game.random else MakerTaker)(game, steps)
    if isinstance(game, ExecutionGame):
        return (Execution if is_linear(game, grid(game, steps)) else BentExecution)(game, steps)
    raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got a {type(game).__name__}")
