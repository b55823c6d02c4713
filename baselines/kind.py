"""A kind of game: all that depends on which kind it is, and what its methods give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from ..envs import Controls, Game, Policy, Trajectory, simulate
from ..envs.arrays import Array
from ..envs.grid import agent_index, grid
from .budget import MOST_ITERATIONS, Budget
from .closed_loop.equilibrium import MarkovNash, MarkovOptions, solve_markov
from .closed_loop.response import LARGEST, better_of, fitted_response, looks_at_more
from .conditions.condition import Condition
from .equilibrium import Equilibrium
from .errors import EquilibriumNotFound
from .noise.equilibrium import DecouplingEquilibrium, solve_noisy
from .noise.field import FieldOptions
from .noise.response import ResponseOptions, noisy_gains
from .noise.scheme import NoiselessSolution
from .noise.step_system import StepSystem
from .profiles import FEEDBACK, BestResponse, Profile, Reference, as_schedules
from .search import schedule_response

G = TypeVar("G", bound=Game, covariant=True)
Policies = Mapping[str, Policy]
QUICK_PATHS = 512
_QUICK = ResponseOptions(degree=2, paths=QUICK_PATHS, scored=QUICK_PATHS)


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


def joined_gains(
    found: Iterable[BestResponse], *, reacting: bool, simulated: bool, payoffs: Array | None = None
) -> Gains:
    """Everyone's gains from everyone's best responses."""
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

    def responses(self, policies: Policies, played: Trajectory) -> list[BestResponse]:
        """Everyone's best responses against policies that are taken for schedules, along ``played``: to be looked at,
        so that under noise few paths will do."""
        if self.game.random:
            return noisy_gains(self.step_system(), policies, options=_QUICK)[1]
        return [self.best_response(played.controls, agent) for agent in self.game.agents]

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
        return joined_gains(found, reacting=True, simulated=self.game.random or price)

    def open_loop_beside(self, found: Gains, policies: Policies, played: Trajectory) -> Gains:
        """The gains against opponents that do not react, to stand beside those against policies that may."""
        return self.open_loop_gains(policies, played) if found.reacting else found

    @abstractmethod
    def references(self, equilibrium: Equilibrium) -> dict[str, Reference]:
        """Profiles to compare with, by name; one that does not exist is there with a note that says why."""

    def optimum(self, equilibrium: Equilibrium) -> Reference:
        """The one of :meth:`references` that is best for those who could collude."""
        return self.references(equilibrium)[self.capabilities.optimum]

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
        return joined_gains(found, reacting=False, simulated=True, payoffs=payoffs)
