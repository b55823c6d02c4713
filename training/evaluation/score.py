"""``score``: how far from Nash are anybody's agents, in an environment of this package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...baselines import Equilibrium, solve_many
from ...baselines.reach import out_of_reach
from ...baselines.remembered import remembered
from ...envs import Policy, RandomMarkets
from ...envs.arrays import is_whole
from ...envs.market import Setting
from ...envs.observation import KINDS, Kind
from ...envs.parameters import check_count
from ..common.console import Console
from ..common.information import Information, check_information
from . import tables
from .draws import over_draws
from .foreign import Players, draw_actions, played_setting, players, uses_more
from .metrics import AgentMetrics
from .scoring import Evaluation, evaluate

if TYPE_CHECKING:  # matplotlib may be missing
    from matplotlib.figure import Figure

DRAWS = 64
"""markets that are drawn, where they are random"""
_NOMINAL = "note: scored from the game's initial inventories, without the environment's inventory_spread"
EPISODES = 2048
"""that are played with policies that draw their actions"""


class AgentScore(dict[str, float]):
    """One agent's numbers, in currency where they are payoffs; entries are attributes as well.

    ``learned`` (or ``payoff``), its ``equilibrium`` payoff, their difference ``gap``, ``exploitability``: the gain of
    its best response, the relative ``control_distance`` and ``inventory_distance`` to the equilibrium, and
    ``payoff_unit``, by which rewards in game units are to be multiplied to be currency. Where payoffs are means over
    simulated episodes, ``learned_se`` and ``exploitability_se`` are their standard errors.
    """

    def __getattr__(self, name: str) -> float:
        try:
            return self["learned" if name == "payoff" else name]
        except KeyError:
            raise AttributeError(f"expected one of {['payoff', *self]}, got {name!r}") from None


@dataclass(frozen=True)
class Score(Evaluation):
    """How far policies are from the equilibrium.

    ``print`` shows a table; :meth:`json` and :meth:`to_dict` have the numbers, :meth:`figure` the paths.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import execution_v0
        >>> from makertaker.training import score
        >>> env = execution_v0.parallel_env()
        >>> found = score(env, {agent: lambda seen: np.zeros((*seen.shape[:-1], 1)) for agent in env.possible_agents})
        >>> sorted(found.agents), found.exact
        (['trader_0', 'trader_1'], False)
        >>> sorted(found.to_dict())[:3]
        ['agents', 'baselines', 'collusion_index']
    """

    notes: tuple[str, ...]
    """what to know when reading it"""
    agents: dict[str, AgentScore]
    """by name"""
    draws: tuple[Score, ...] = ()
    """of the markets that were drawn, where they are random; the paths are those of the first"""

    @property
    def nash_conv(self) -> float:
        """Sum of all agents' exploitabilities, in currency."""
        return self.metrics["nash_conv"]

    @property
    def relative_nash_conv(self) -> float:
        """NashConv over the sum of the sizes of the equilibrium payoffs."""
        return self.metrics["relative_nash_conv"]

    @property
    def nash_conv_se(self) -> float | None:
        """Standard error of :attr:`nash_conv` over the markets that were drawn; None where none were."""
        return self.metrics.get("nash_conv_se")

    @property
    def relative_nash_conv_se(self) -> float | None:
        """The same of :attr:`relative_nash_conv`."""
        return self.metrics.get("relative_nash_conv_se")

    @property
    def exact(self) -> bool:
        """True if exploitability is exact, false if it is a lower bound."""
        return self.metrics["exploitability_against"].endswith("(exact)")

    @property
    def against(self) -> str:
        """The opponents that exploitability is against, and whether it is exact or a lower bound."""
        return self.metrics["exploitability_against"]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON: those of ``metrics.json``, with payoff units and notes."""
        agents = {name: dict(each) for name, each in self.agents.items()}
        return {**self.metrics, "agents": agents, "exact": self.exact, "notes": list(self.notes)}

    def json(self) -> str:
        """The same as one JSON document."""
        return json.dumps(self.to_dict(), indent=2)

    def table(self) -> str:
        """A table of the agents, and what all of them together could gain."""
        console = Console(width=120, no_color=True)
        with console.capture() as captured:
            for each in (tables.agents(self.metrics), *tables.feedback(self.metrics)):
                console.print_table(tables.aligned(each))
        share: str = tables.percent(self.relative_nash_conv)
        if self.relative_nash_conv_se is not None:
            share += f" +- {tables.percent(self.relative_nash_conv_se)}"
        lines = [f"NashConv {self.nash_conv:.4g}, {share} of the equilibrium payoffs, against {self.against}"]
        return "\n".join([captured.get().rstrip(), *lines, *self.notes])

    def __str__(self) -> str:
        return self.table()

    def figure(self) -> Figure:
        """Learned paths against the equilibrium's. Raises ImportError without matplotlib."""
        from ..common.extras import needed

        drawn: Figure = needed("evaluation.plots", "plots").comparison(self)
        return drawn


def score(
    env: object,
    policies: object,
    *,
    information: Information | None = None,
    deterministic: bool = True,
    episodes: int = EPISODES,
    equilibrium: Equilibrium | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Score:
    """Compare agents with the equilibrium of the game that an environment plays.

    The environment says what agents see and what their actions mean, with its options; it is not stepped. Policies
    are, by agent, any of

    - a function from the environment's observations to its actions, of one observation or of a batch;
    - an object with ``predict``, such as a model of stable-baselines3;
    - a torch module; where it returns a distribution, its mean is played;
    - a policy ``(k, state) -> physical controls`` of this package, such as those of ``solve(env).open_loop()``.

    In a Gymnasium environment, or a batch of markets with one learner, the learner's policy is enough: the others'
    are the environment's.

    Policies are functions of what is observed, or draw their actions given that: they keep no memory. Those of a run
    whose actors remember (:func:`~makertaker.training.runs.load_policies`) may; gains against them are lower bounds.

    In an environment with an ``inventory_spread`` the score is that from the game's own initial inventories, and
    ``metrics["random_starts"]`` has the means over random ones; not where policies draw their actions, or markets are
    drawn.

    Exploitability is what an agent's best response gains while the others stay as they are. Against policies that see
    the time alone it is exact; against those that may react, that draw their actions or in a random game it is a lower
    bound. The score says which.

    Args:
        env: a PettingZoo environment (parallel or AEC), a Gymnasium environment, a vector environment; wrapped or not,
            as long as wrappers only pad.
        policies: by agent, or the learner's.
        information: that policies really use, where it is less than what they see: ``"time"``, ``"own"``,
            ``"market"`` or ``"full"``; it is tried whether they do. None: all that the environment shows, and all that
            there is for policies ``(k, state)``, but for those of ``open_loop()``.
        deterministic: True: policies without exploration, where they know the difference; False: as they explore.
        episodes: even number of episodes that are played where policies draw their actions.
        equilibrium: of the game, where it is solved already.
        draws: number of markets that are drawn, where they are random: the score is the mean over them, with standard
            errors. Each has its own equilibrium.
        seed: of these draws.

    Raises:
        ValueError: an environment of another package, or with wrappers that do more than to pad; a policy that is
            missing, made for another number of steps or for other units, that has a memory, whose actions have a wrong
            shape or are NaN, or that uses more than ``information``.
        EquilibriumNotFound: the game, or an agent's best response, was not solved.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import acas_v0
        >>> from makertaker.training import score
        >>> env = acas_v0.parallel_env(observation="time")
        >>> print(f"{abs(score(env, solve(env).open_loop()).nash_conv):.3f}")
        0.000
    """
    if not is_whole(episodes) or episodes < 2 or episodes % 2:
        raise ValueError(f"episodes: expected a positive even number, got {episodes!r}")
    setting = played_setting(env)
    given = None if information is None else check_information(information)
    # in random markets every one that is drawn would be scored over starts
    spread = setting.options.inventory_spread if setting.random is None else 0.0

    def one(setting: Setting, nash: Equilibrium, opponents: Mapping[str, Policy] | None) -> Score:
        playing = players(env, setting, policies, deterministic=deterministic, opponents=opponents)
        return _score(playing, nash, given, episodes, spread)

    if setting.random is not None:
        if equilibrium is not None:
            raise ValueError("equilibrium: every market that is drawn has its own, expected None")
        check_count("draws", draws, least=2)
        uniform = np.random.default_rng(seed).random((draws, setting.random.width))
        return _mean(_drawn(setting, setting.random, uniform, one))
    game, steps = setting.game, setting.steps
    if equilibrium is not None and (equilibrium.game != game or equilibrium.steps != steps):
        raise ValueError(f"equilibrium: expected that of the environment's game and {steps} steps, got another's")
    return one(setting, remembered(game, steps) if equilibrium is None else equilibrium, None)


def _drawn(
    setting: Setting,
    random: RandomMarkets,
    uniform: np.ndarray,
    one: Callable[[Setting, Equilibrium, Mapping[str, Policy]], Score],
) -> list[Score]:
    """The score in every market that is drawn."""
    markets = [setting.of(random.drawn(each)) for each in uniform]
    found = solve_many([each.game for each in markets], setting.steps)
    return [one(market, nash, nash.open_loop()) for market, nash in zip(markets, found, strict=True)]


def _mean(scores: Sequence[Score]) -> Score:
    """The mean over markets that were drawn, with standard errors."""
    metrics = over_draws([each.metrics for each in scores])
    agents: Any = {
        name: AgentScore(**numbers, payoff_unit=scores[0].agents[name].payoff_unit)
        for name, numbers in metrics["agents"].items()
    }
    notes = dict.fromkeys(
        note for each in scores for note in each.notes if note.startswith(("policies draw", _NOMINAL))
    )
    remarks = tables.remarks(metrics["equilibrium"].get("notes", ()))
    said = (*tables.market_remarks(metrics), *notes, *remarks)
    return Score(scores[0].learned, scores[0].equilibrium, metrics, said, agents, tuple(scores))


def _score(playing: Players, nash: Equilibrium, given: Kind | None, episodes: int, spread: float) -> Score:
    """The score in one market, from the game's initial inventories and, with a spread, over random ones."""
    setting, played = playing.setting, playing.policies
    game, steps = setting.game, setting.steps
    used = playing.sees if given is None else given
    drawn = episodes if draw_actions(game, played, steps) else None
    if drawn is None and KINDS.index(used) < KINDS.index(playing.sees):
        agent = uses_more(setting, played, used)
        if agent is not None:
            raise ValueError(f"information: {agent}'s policy acts on more than {used!r} shows")
    found = evaluate(game, played, steps, used, nash, episodes=drawn, inventory_spread=spread)
    notes = _notes(playing, found, nash, drawn)
    agents = {name: _agent(setting, name, each) for name, each in found.metrics["agents"].items()}
    return Score(found.learned, found.equilibrium, found.metrics, notes, agents)


def _agent(setting: Setting, name: str, metrics: AgentMetrics) -> AgentScore:
    numbers: Any = metrics
    return AgentScore(**numbers, payoff_unit=setting.game.payoff_unit(name))


def _notes(playing: Players, result: Evaluation, equilibrium: Equilibrium, episodes: int | None) -> tuple[str, ...]:
    setting, found = playing.setting, []
    if playing.learner is not None:
        own = result.metrics["agents"][playing.learner]
        share = (
            tables.percent(own["exploitability"] / abs(own["equilibrium"])) if own["equilibrium"] else tables.MISSING
        )
        gain = f"{playing.learner} alone could gain {own['exploitability']:.4g}"
        found.append(f"{gain}, {share} of its equilibrium payoff")
    if episodes is not None:
        found.append(f"policies draw their actions: means over {episodes} episodes, with standard errors")
    if "random_starts" in result.metrics:
        found += tables.random_start_remarks(result.metrics)
    elif setting.options.inventory_spread:
        found.append(_NOMINAL)
    found += [*tables.feedback_remarks(result.metrics), *tables.remarks(equilibrium.notes)]
    outside = out_of_reach(setting, equilibrium)
    if outside is not None:
        found.append(f"note: {outside}")
    return tuple(found)


__all__ = ["AgentScore", "Score", "score"]
