"""Kinds of games: the one place that looks at a game's class.

A :class:`~.kind.Kind` offers all that the public functions need: ``solve``, best responses, gains, gains against
policies, reference points, conditions, and the equations one step at a time. :func:`kind_of` finds it. The properties
of a kind stand in its ``capabilities``, as data, so that nothing else has to look at the class.

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

from collections.abc import Hashable, Mapping, Sequence
from typing import cast

from ..envs import Controls, ExecutionGame, Game, MakerTakerGame, Trajectory
from ..envs.arrays import Array
from ..envs.grid import agent_index, grid
from .conditions.condition import Condition
from .conditions.execution import closing, execution_conditions
from .conditions.maker_taker import assumptions, field_condition, model_conditions, observations
from .conditions.noise import noise_conditions
from .equilibrium import Equilibrium
from .execution.equilibrium import ExecutionEquilibrium, noiseless_path, solve_execution
from .execution.linear_rule import LinearFeedback
from .execution.references import COOPERATIVE, execution_references, feedback_reference, twap_reference
from .execution.regressed_response import PATHS, sampled_responses
from .execution.response import AdaptedResponse, adapted_gains, as_rule, respond_to_schedules, schedule_gains
from .execution.signal import is_linear
from .execution.step_system import ExecutionSteps
from .heuristics import twap
from .kind import QUICK_PATHS, Capabilities, Gains, Kind, Policies, SolverOptions, joined_gains
from .maker_taker.equilibrium import solve_maker_taker
from .maker_taker.many import gains_together, shape_of, solve_together
from .maker_taker.references import COALITION, coalition_reference, rules_of_thumb
from .maker_taker.response import exact_gains, respond_to_controls
from .maker_taker.step_system import MakerTakerSteps
from .noise.field import Field
from .noise.reacting_response import reacting_gain
from .noise.scheme import NoiselessSolution
from .noise.step_system import StepSystem
from .profiles import BestResponse, Profile, Reference, as_schedules, replaced

_NOISELESS_TOLERANCE = 1e-8


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
        return rules_of_thumb(self.game, self.steps, equilibrium, self._quick_gains)

    def optimum(self, equilibrium: Equilibrium) -> Reference:
        return coalition_reference(self.game, self.steps, equilibrium, self._quick_gains)

    def _quick_gains(self, controls: Controls) -> Array:
        """Everyone's gains (n,) from deviations from schedules, for a table of many profiles."""
        return self.gains(controls).gains

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

    def _quick_gains(self, controls: Controls) -> Array:
        return self.simulated_gains(controls, quick=True).gains

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
        return joined_gains(found, reacting=react, simulated=True)

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
