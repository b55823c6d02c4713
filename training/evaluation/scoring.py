"""The comparison of policies with the equilibrium: payoffs, exploitability, distances, reference profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...baselines import Equilibrium
from ...baselines.gains import payoff_size
from ...baselines.kind import Gains, Kind, SolverOptions
from ...baselines.kinds import kind_of
from ...baselines.profiles import PATHS, mean_controls
from ...baselines.remembered import remembered_feedback
from ...baselines.sampling import pair_mean
from ...envs import Game, Noise, PayoffParts, Policy, Trajectory, draw_noise, payoff_parts, rollout, simulate
from ...envs.arrays import Array
from ...envs.described import MarketLike, environment_setting, game_and_steps
from ...envs.observation import Kind as Seen
from ...envs.options import as_spread
from ...envs.packing import agent_controls
from ..common.information import Information, check_information
from ..common.memory import remembering
from .distances import agent_distances, along, control_distance, relative_distance
from .metrics import AgentMetrics, Metrics
from .reacting import feedback_metrics
from .reference_table import index_error, index_of, profile_entry, reference_profiles
from .sampled import sampled_gains
from .starts import random_starts

MEMORY = (
    "policies remember what they saw, so that a deviation is answered later as well and inventories do not say how: "
    "gains are lower bounds, by deviations that are searched in whole episodes, without a bound from above"
)
"""said of gains against policies with a memory"""
_SAME = 1e-6
"""control units by which controls may differ by rounding"""


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.training import evaluate
        >>> found = evaluate("acas", solve("acas").open_loop())
        >>> found.learned.payoffs.shape, found.equilibrium.payoffs.shape
        ((3,), (3,))
    """

    learned: Trajectory
    """means over the paths, where anything is random"""
    equilibrium: Equilibrium
    metrics: Metrics
    """plain numbers, ready for JSON"""
    parts: dict[str, PayoffParts] = field(default_factory=dict, kw_only=True)
    """of everyone's payoffs, ``"learned"`` and ``"equilibrium"``; means over the same paths where anything is random"""


def evaluate(
    game: MarketLike,
    policies: Mapping[str, Policy],
    steps: int | None = None,
    information: Information | None = None,
    equilibrium: Equilibrium | None = None,
    *,
    episodes: int | None = None,
    inventory_spread: float | None = None,
    feedback: bool = True,
) -> Evaluation:
    """Compare policies with the equilibrium.

    Exploitability is exact where opponents do not react: actors see time only, as in the paper, or, in the execution
    game, their own inventory, which others do not move. Where opponents react, the gain found against them is a lower
    bound, where policies look at inventories alone with an upper one beside it; the exact gain against the *schedules*
    that the policies play on their common path stands beside it (``open_loop_...``), and so does the comparison with
    the feedback equilibrium, which is the one to compare with where actors see all inventories. In a game with noise
    payoffs and gains are means over simulated paths, with standard errors, and gains are lower bounds: in the execution
    game by deviations linear in the factor and its integral, in others by a deviator's own decoupling field. So they
    are where policies look at the market price, whose martingale part is random, or draw their actions; schedules and
    distances are then those of mean controls. Against policies that react and remember earlier observations, deviations
    are searched in whole episodes alone, and there is no upper bound; ``memory`` in the metrics says so.

    Args:
        game: the game; or a scenario, its name, the path of its file, a mapping of its contents; or an environment.
        policies: everyone's, without exploration.
        steps: K; None: the environment's or the scenario's, 20 where only a game is given.
        information: of the actors; None: all that the environment shows, where one is given, otherwise ``"time"``.
        equilibrium: the game's, where it is solved already.
        episodes: even number of episodes that are played with policies that draw their actions; None: they draw none.
        inventory_spread: standard deviation, in shares, of normal noise on initial inventories: with one the metrics
            have ``random_starts`` as well, where policies draw no actions; None: the environment's, where one is given,
            otherwise 0.
        feedback: False: actors who react are not compared with the feedback equilibrium, whose solution takes seconds.

    Raises:
        ValueError: an argument does not fit.
        EquilibriumNotFound: the game, or an agent's best response, was not solved.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.training import evaluate
        >>> metrics = evaluate("acas", solve("acas").open_loop()).metrics
        >>> bool(metrics["relative_nash_conv"] < 1e-9)
        True
    """
    setting = environment_setting(game)
    game, steps = game_and_steps(game, steps)
    information = check_information(information or ("time" if setting is None else setting.options.kind))
    if inventory_spread is None:
        inventory_spread = 0.0 if setting is None else setting.options.inventory_spread
    kind, spread = kind_of(game, steps), as_spread(inventory_spread)
    equilibrium = kind.solve(SolverOptions()) if equilibrium is None else equilibrium
    price = information in ("market", "full") and _look_at_the_price(game, policies, steps)
    noise = draw_noise(game, steps, PATHS if episodes is None else episodes, seed=0, price=price)
    learned, target = _played(game, policies, steps, noise, episodes), along(equilibrium, noise)
    total = payoff_size(equilibrium.payoffs)
    payoffs, errors, total_error = mean_payoffs(equilibrium, learned, target)
    mean = mean_path(learned)
    shown = comparable(learned, target)
    if episodes is None:
        gains = _gains(kind, policies, learned, information, price=price)
        schedule = kind.open_loop_beside(gains, policies, mean if price and not game.random else learned)
    else:
        gains = sampled_gains(kind, policies, learned, noise, reacting=_reacts(kind, information))
        schedule = kind.gains(mean.controls)
    nash_conv, schedule_nash_conv = (float(each.gains.sum()) for each in (gains, schedule))
    agents = _by_agent(equilibrium, target, shown, payoffs, gains)
    if learned.payoffs.ndim > 1:
        for i, each in enumerate(agents.values()):
            each["learned_se"] = float(errors[i])
            each["exploitability_se"] = 0.0 if gains.errors is None else float(gains.errors[i])
    compared = reference_profiles(equilibrium)
    reference = remembered_feedback(game, steps) if feedback and _reacts(kind, information) else None
    if reference is not None:
        compared[reference.name] = profile_entry(kind, reference, equilibrium, compared)
    metrics: Metrics = {
        "steps": steps,
        "information": information,
        "exploitability_against": gains.against,
        "deviator": gains.deviator(game),
        "agents": agents,
        "nash_conv": nash_conv,
        "relative_nash_conv": nash_conv / total,
        "open_loop_nash_conv": schedule_nash_conv,
        "open_loop_relative_nash_conv": schedule_nash_conv / total,
        "control_distance": control_distance(shown.controls, target),
        "inventory_distance": relative_distance(shown.inventories, target.inventories),
        "collusion_index": index_of(kind, payoffs, equilibrium.payoffs, compared),
        "collusion_index_se": index_error(kind, total_error, equilibrium.payoffs, compared),
        "equilibrium": {
            "residual": equilibrium.residual,
            "message": equilibrium.message,
            "notes": list(equilibrium.notes),
        },
        "baselines": compared,
    }
    if _reacts(kind, information) and remembering(policies):
        metrics["memory"] = MEMORY
    if gains.bounds is not None:
        metrics["exploitability_bounds"] = dict(zip(game.agents, gains.bounds.tolist(), strict=True))
    if reference is not None:
        metrics["feedback"] = feedback_metrics(
            kind, policies, information, reference, equilibrium, shown, payoffs, noise, compared
        )
    if spread and episodes is None:
        metrics["random_starts"] = random_starts(
            kind, policies, spread, total, reference, reacting=_reacts(kind, information), price=price
        )
    return Evaluation(mean, equilibrium, metrics, parts=parts_of([learned], target, noise))


def parts_of(learned: Sequence[Trajectory], target: Equilibrium, noise: Noise | None) -> dict[str, PayoffParts]:
    """Everyone's payoffs in parts, ``"learned"`` and ``"equilibrium"``: means over trainings, and over paths.

    Args:
        learned: of each training.
        target: the equilibrium along the paths of the noise.
        noise: of those paths; None: nothing is random.
    """
    game = target.game
    exact = simulate(game, target.controls, target.steps, noise)
    found = {"learned": [payoff_parts(game, each) for each in learned], "equilibrium": [payoff_parts(game, exact)]}
    return {
        name: PayoffParts(
            *(np.stack(each).reshape(-1, len(game.agents)).mean(axis=0) for each in zip(*parts, strict=True))
        )
        for name, parts in found.items()
    }


def _by_agent(
    equilibrium: Equilibrium, target: Equilibrium, shown: Trajectory, payoffs: Array, gains: Gains
) -> dict[str, AgentMetrics]:
    """Every agent's numbers, without standard errors; distances are to ``target``, the equilibrium on the same
    paths."""
    game = equilibrium.game
    distances = agent_distances(game, shown.controls, target)
    return {
        agent: {
            "learned": float(payoffs[i]),
            "equilibrium": float(equilibrium.payoffs[i]),
            "gap": float(payoffs[i] - equilibrium.payoffs[i]),
            "exploitability": float(gains.gains[i]),
            "control_distance": distances[agent],
            "inventory_distance": relative_distance(shown.inventories[..., i], target.inventories[..., i]),
        }
        for i, agent in enumerate(game.agents)
    }


def _look_at_the_price(game: Game, policies: Mapping[str, Policy], steps: int) -> bool:
    """True if policies act otherwise where the market price moves otherwise and nothing else does."""
    noise = draw_noise(game, steps, 2, seed=1, price=True)
    assert noise is not None
    same = (None if each is None else each[:1].repeat(2, axis=0) for each in noise[1:])
    played = rollout(game, policies, steps, Noise(noise.price, *same)).controls
    units = {agent: game.control_unit(agent) for agent in game.agents}
    return any(np.ptp(agent_controls(game, played, name), axis=0).max() > _SAME * unit for name, unit in units.items())


def _played(
    game: Game, policies: Mapping[str, Policy], steps: int, noise: Noise | None, episodes: int | None
) -> Trajectory:
    """The policies' paths; a batch where anything is random."""
    start = game.start if episodes is None else np.broadcast_to(game.start, (episodes, len(game.agents)))
    return rollout(game, policies, steps, noise, inventories=start)


def mean_payoffs(equilibrium: Equilibrium, learned: Trajectory, target: Equilibrium) -> tuple[Array, Array, float]:
    """Learned payoffs (n,), their standard errors, and that of their sum.

    Over paths, the equilibrium's payoffs on the same paths serve as control variates: their means are known exactly,
    or, where the factor's diffusion depends on it, with a standard error of their own.
    """
    if learned.payoffs.ndim == 1:
        return learned.payoffs, np.zeros_like(learned.payoffs), 0.0
    differences = learned.payoffs - target.payoffs
    each, total = pair_mean(differences), pair_mean(differences.sum(axis=1))
    known = np.zeros_like(equilibrium.payoffs) if equilibrium.payoffs_se is None else equilibrium.payoffs_se
    payoffs = equilibrium.payoffs + each.value
    return payoffs, np.hypot(each.error, known), float(np.hypot(total.error, known.sum()))


def mean_path(paths: Trajectory) -> Trajectory:
    """Inventories, controls and payoffs averaged over the batch, if there is one."""
    if paths.payoffs.ndim == 1:
        return paths
    inventories, payoffs = paths.inventories.mean(axis=0), paths.payoffs.mean(axis=0)
    return paths._replace(inventories=inventories, payoffs=payoffs, controls=mean_controls(paths))


def comparable(learned: Trajectory, target: Equilibrium) -> Trajectory:
    """What is compared with the equilibrium ``target``: the paths where it has paths as well, otherwise their means."""
    return learned if target.controls.rate.ndim == learned.controls.rate.ndim else mean_path(learned)


def _reacts(kind: Kind[Game], information: Seen) -> bool:
    """True if actors of this information may react to somebody's deviation."""
    return information in ("market", "full") or (information == "own" and not kind.capabilities.inventories_apart)


def _gains(
    kind: Kind[Game], policies: Mapping[str, Policy], learned: Trajectory, information: Seen, *, price: bool
) -> Gains:
    if _reacts(kind, information):
        return kind.reacting_gains(policies, price=price)
    return kind.open_loop_gains(policies, learned)
