"""What was learned, beside the equilibrium: payoffs, exploitability, distances, reference profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...baselines import (
    Equilibrium,
    EquilibriumNotFound,
    NoOptimum,
    best_response_to_policies,
    collusion_index,
    exploitability,
    heuristic_profiles,
    references,
    solve,
    twap,
)
from ...baselines.execution.regressed_response import sampled_responses
from ...baselines.execution.signal import is_linear
from ...baselines.gains import payoff_size
from ...baselines.maker_taker.coalition import coalition_optimum
from ...baselines.noise.response import ResponseOptions, noisy_gains
from ...baselines.reference_points import COOPERATIVE, OPEN_LOOP, TWAP
from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.game import Controls, Game
from ...envs.grid import Noise, Policy, Trajectory, grid, rollout, simulate
from ...envs.maker_taker_game import MakerTakerGame
from ...envs.noise import draw_noise
from ..common.information import Information
from .metrics import AgentMetrics, Metrics

COALITION = "makers' coalition"
_PATHS = 4096
_QUICK_PATHS = 512
_QUICK = ResponseOptions(degree=2, paths=_QUICK_PATHS, scored=_QUICK_PATHS)


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`."""

    learned: Trajectory
    """means over the factor's paths, in a game that has one"""
    equilibrium: Equilibrium
    metrics: Metrics
    """plain numbers, ready for JSON"""


@dataclass(frozen=True)
class _Gains:
    """What everyone can gain by deviating, (n,)."""

    values: Array
    errors: Array
    against: str


def evaluate(
    game: Game,
    policies: Mapping[str, Policy],
    steps: int,
    information: Information,
    equilibrium: Equilibrium | None = None,
) -> Evaluation:
    """Compare policies with the equilibrium.

    Exploitability is exact where opponents do not react: actors see time only, as in the paper, or, in the execution
    game, their own inventory, which others do not move. Where opponents react, the gain found against them is a lower
    bound; the exact gain against the *schedules* that the policies play on their common path stands beside it
    (``open_loop_...``). In a game with noise payoffs and gains are means over simulated paths, with standard errors,
    and gains are lower bounds: in the execution game by deviations linear in the factor and its integral, in others by
    a deviator's own decoupling field.

    Args:
        game: the game.
        policies: everyone's, without exploration.
        steps: K.
        information: what actors see.
        equilibrium: the game's, where it is solved already.

    Raises:
        EquilibriumNotFound: the game, or an agent's best response, was not solved.
    """
    equilibrium = solve(game, steps) if equilibrium is None else equilibrium
    noise = draw_noise(game, steps, _PATHS, seed=0)
    learned = rollout(game, policies, steps, noise)
    target = _along(equilibrium, noise)
    total = payoff_size(equilibrium.payoffs)
    payoffs, errors, total_error = _payoffs(equilibrium, learned, target)
    gains = _gains(game, policies, learned, steps, information)
    schedule = _open_loop_gains(game, policies, learned, steps, gains)
    control_distances = agent_distances(game, learned.controls, target)
    agents: dict[str, AgentMetrics] = {
        agent: {
            "learned": float(payoffs[i]),
            "equilibrium": float(equilibrium.payoffs[i]),
            "gap": float(payoffs[i] - equilibrium.payoffs[i]),
            "exploitability": float(gains.values[i]),
            "control_distance": control_distances[agent],
            "inventory_distance": relative_distance(learned.inventories[..., i], target.inventories[..., i]),
        }
        for i, agent in enumerate(game.agents)
    }
    if noise is not None:
        for i, each in enumerate(agents.values()):
            each["learned_se"], each["exploitability_se"] = float(errors[i]), float(gains.errors[i])
    compared = reference_profiles(game, steps, equilibrium)
    metrics: Metrics = {
        "steps": steps,
        "information": information,
        "exploitability_against": gains.against,
        "agents": agents,
        "nash_conv": float(gains.values.sum()),
        "relative_nash_conv": float(gains.values.sum()) / total,
        "open_loop_nash_conv": float(schedule.values.sum()),
        "open_loop_relative_nash_conv": float(schedule.values.sum()) / total,
        "control_distance": control_distance(learned.controls, target),
        "inventory_distance": relative_distance(learned.inventories, target.inventories),
        "collusion_index": _index(game, payoffs, equilibrium.payoffs, compared),
        "collusion_index_se": _index_error(game, total_error, equilibrium.payoffs, compared),
        "equilibrium": {"residual": equilibrium.residual, "message": equilibrium.message},
        "baselines": compared,
    }
    return Evaluation(_mean_path(learned), equilibrium, metrics)


def _along(equilibrium: Equilibrium, noise: Noise | None) -> Equilibrium:
    """The equilibrium's controls, inventories and payoffs along the paths of the noise."""
    if noise is None or isinstance(equilibrium.profile, Controls):
        return equilibrium
    played = equilibrium.profile.play(noise)
    return replace(equilibrium, controls=played.controls, inventories=played.inventories, payoffs=played.payoffs)


def _payoffs(equilibrium: Equilibrium, learned: Trajectory, target: Equilibrium) -> tuple[Array, Array, float]:
    """Learned payoffs (n,), their standard errors, and that of their sum.

    Over paths, the equilibrium's payoffs on the same paths serve as control variates: their means are known exactly,
    or, where the factor's diffusion depends on it, with a standard error of their own.
    """
    if learned.payoffs.ndim == 1:
        return learned.payoffs, np.zeros_like(learned.payoffs), 0.0
    differences = np.mean(np.split(learned.payoffs - target.payoffs, 2), axis=0)  # antithetic pairs
    root = np.sqrt(len(differences))
    known = np.zeros_like(equilibrium.payoffs) if equilibrium.payoffs_se is None else equilibrium.payoffs_se
    return (
        equilibrium.payoffs + differences.mean(axis=0),
        np.hypot(differences.std(axis=0, ddof=1) / root, known),
        float(np.hypot(differences.sum(axis=1).std(ddof=1) / root, known.sum())),
    )


def _mean_path(paths: Trajectory) -> Trajectory:
    """Inventories, controls and payoffs averaged over the batch, if there is one."""
    if paths.payoffs.ndim == 1:
        return paths
    return paths._replace(
        inventories=paths.inventories.mean(axis=0),
        payoffs=paths.payoffs.mean(axis=0),
        controls=Controls(*(each.mean(axis=0) for each in paths.controls)),
    )


def _open_loop_gains(
    game: Game, policies: Mapping[str, Policy], learned: Trajectory, steps: int, gains: _Gains
) -> _Gains:
    """Gains against opponents who do not react, whatever they look at."""
    if "reacting" not in gains.against or (isinstance(game, ExecutionGame) and game.factor is not None):
        return gains
    return _noisy_gains(game, policies, steps) if game.random else _schedule_gains(game, learned.controls, steps)


def _noisy_gains(
    game: Game, profile: Mapping[str, Policy] | Controls, steps: int, options: ResponseOptions | None = None
) -> _Gains:
    _, found = noisy_gains(game, profile, steps, options=options)
    return _Gains(
        np.array([each.gain for each in found]),
        np.array([each.gain_se for each in found]),
        "open-loop opponents on simulated paths (lower bound)",
    )


def _gains(
    game: Game, policies: Mapping[str, Policy], learned: Trajectory, steps: int, information: Information
) -> _Gains:
    reacts = information == "full" or (information == "own" and game.makers > 0)
    if game.random and not reacts and not isinstance(game, ExecutionGame):
        return _noisy_gains(game, policies, steps)
    if game.factor is None and not reacts:
        return _schedule_gains(game, learned.controls, steps)
    if isinstance(game, ExecutionGame) and game.factor is not None:
        sampled = sampled_responses(game, policies, game.agents, steps, react=reacts)
        against = f"{'reacting' if reacts else 'open-loop'} opponents on simulated paths (lower bound)"
        return _Gains(np.array([each.gain for each in sampled]), np.array([each.gain_se for each in sampled]), against)
    found = [best_response_to_policies(game, policies, agent, steps) for agent in game.agents]
    gains, errors = np.array([each.gain for each in found]), np.array([each.gain_se for each in found])
    return _Gains(gains, errors, "reacting opponents (lower bound)")


def _schedule_gains(game: Game, controls: Controls, steps: int) -> _Gains:
    gains = exploitability(game, controls, steps).gains
    return _Gains(gains, np.zeros_like(gains), "open-loop opponents (exact)")


def open_loop_nash_conv(game: Game, policies: Mapping[str, Policy], steps: int) -> float:
    """NashConv of what policies play on their common path; with a factor a lower bound from few simulated paths.

    Raises:
        EquilibriumNotFound: an agent's best response was not solved.
    """
    if isinstance(game, ExecutionGame) and game.factor is not None:
        found = sampled_responses(game, policies, game.agents, steps, react=False, paths=_QUICK_PATHS)
        return sum(each.gain for each in found)
    if game.random:
        return float(_noisy_gains(game, policies, steps, _QUICK).values.sum())
    return exploitability(game, rollout(game, policies, steps).controls, steps).nash_conv


def reference_profiles(game: Game, steps: int, equilibrium: Equilibrium) -> dict[str, Any]:
    """Payoffs, NashConv and distance of rules of thumb and reference points, by name.

    A best response that is not found, and a reference point that does not exist, leave null; ``note`` says why.
    """
    if isinstance(game, ExecutionGame):
        return _execution_references(game, steps, equilibrium)
    if isinstance(game, MakerTakerGame):
        return _rules_of_thumb(game, steps, equilibrium)
    raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got {game!r}")


def _rules_of_thumb(game: MakerTakerGame, steps: int, equilibrium: Equilibrium) -> dict[str, Any]:
    total = payoff_size(equilibrium.payoffs)
    noise = draw_noise(game, steps, _PATHS, seed=0)
    profiles: dict[str, Controls | None] = dict(heuristic_profiles(game, steps))
    notes: dict[str, str] = {}
    try:
        coalition = coalition_optimum(game, steps)
        profiles[COALITION], notes[COALITION] = coalition.controls, coalition.message
    except NoOptimum as error:
        profiles[COALITION], notes[COALITION] = None, str(error)
    result: dict[str, Any] = {}
    for name, controls in profiles.items():
        if controls is None:
            empty = dict.fromkeys(("payoffs", "relative_nash_conv", "control_distance", "collusion_index"))
            result[name] = {**empty, "note": notes[name]}
            continue
        try:
            relative: float | None = _schedules_nash_conv(game, controls, steps) / total
        except EquilibriumNotFound:
            relative = None
        payoffs = simulate(game, controls, steps, noise).payoffs
        payoffs = payoffs if payoffs.ndim == 1 else payoffs.mean(axis=0)
        result[name] = {
            "payoffs": dict(zip(game.agents, payoffs.tolist(), strict=True)),
            "relative_nash_conv": relative,
            "control_distance": control_distance(controls, equilibrium),
            "note": notes.get(name, ""),
        }
    for each in result.values():
        if each["payoffs"] is not None:
            payoffs = np.array(list(each["payoffs"].values()))
            each["collusion_index"] = _index(game, payoffs, equilibrium.payoffs, result)
    return result


def _schedules_nash_conv(game: Game, controls: Controls, steps: int) -> float:
    if game.random:
        return float(_noisy_gains(game, controls, steps, _QUICK).values.sum())
    return exploitability(game, controls, steps).nash_conv


def _execution_references(game: ExecutionGame, steps: int, equilibrium: Equilibrium) -> dict[str, Any]:
    total = payoff_size(equilibrium.payoffs)
    noise = draw_noise(game, steps, _QUICK_PATHS, seed=0)
    if game.factor is not None and not is_linear(game, grid(game, steps)):
        return _bent_references(game, steps, equilibrium)
    target = _along(equilibrium, noise)
    result: dict[str, Any] = {}
    for name, each in references(game, steps).items():
        if name == OPEN_LOOP:
            continue
        payoffs, rule = each.payoffs, each.rule
        result[name] = {
            "payoffs": None if payoffs is None else dict(zip(game.agents, payoffs.tolist(), strict=True)),
            "relative_nash_conv": None if each.nash_conv is None else each.nash_conv / total,
            "control_distance": None if rule is None else control_distance(rule.play(noise).controls, target),
            "collusion_index": each.collusion_index,
            "note": each.note,
        }
    return result


def _bent_references(game: ExecutionGame, steps: int, equilibrium: Equilibrium) -> dict[str, Any]:
    """TWAP alone: the other reference points are linear in the factor, and this game is not."""
    controls = Controls(twap(game, steps))
    payoffs = simulate(game, controls, steps, draw_noise(game, steps, _PATHS, seed=0)).payoffs.mean(axis=0)
    rest = dict.fromkeys(("payoffs", "relative_nash_conv", "control_distance", "collusion_index"))
    return {
        TWAP: {
            "payoffs": dict(zip(game.agents, payoffs.tolist(), strict=True)),
            "relative_nash_conv": float(_noisy_gains(game, controls, steps, _QUICK).values.sum())
            / payoff_size(equilibrium.payoffs),
            "control_distance": control_distance(game.complete(controls), equilibrium),
            "collusion_index": None,
            "note": "",
        },
        COOPERATIVE: {**rest, "note": "computed only where the factor enters linearly"},
    }


def _colluders(game: Game, payoffs: Array) -> float:
    """Total payoff of those who could collude: the makers, or the traders where there are none."""
    return float(payoffs[..., game.traders if game.makers else 0 :].sum())


def _best_total(game: Game, compared: Mapping[str, Any]) -> float | None:
    best = compared.get(COALITION if game.makers else COOPERATIVE, {}).get("payoffs")
    return None if best is None else _colluders(game, np.array(list(best.values())))


def _index(game: Game, payoffs: Array, nash: Array, compared: Mapping[str, Any]) -> float | None:
    """The collusion index of the colluders' total payoff; None where there is no optimum to collude on."""
    best = _best_total(game, compared)
    return None if best is None else collusion_index(_colluders(game, payoffs), _colluders(game, nash), best)


def _index_error(game: Game, error: float, nash: Array, compared: Mapping[str, Any]) -> float | None:
    """Standard error of the collusion index from that of the total payoff."""
    best = _best_total(game, compared)
    if best is None or _index(game, nash, nash, compared) is None:
        return None
    return error / (best - _colluders(game, nash))


def relative_distance(values: Array, reference: Array) -> float:
    """``|values - reference| / |reference|`` in L2 over everything; the bare distance where the reference is zero."""
    size = float(np.linalg.norm(np.ravel(reference)))
    return float(np.linalg.norm(np.ravel(values - reference))) / (size if size > 0 else 1.0)


def relevant(controls: Controls, equilibrium: Equilibrium) -> tuple[Array, Array]:
    """Asks and bids with those that matter to nobody set to zero: their side of the market has no volume."""
    matter = equilibrium.quotes_matter
    return controls.ask * matter[:, :1], controls.bid * matter[:, 1:]


def control_distance(controls: Controls, equilibrium: Equilibrium) -> float:
    """Relative L2 distance of a profile to the equilibrium, over all rates and the quotes that matter."""
    sides = [
        np.concatenate([each.rate, *relevant(each, equilibrium)], axis=-1) for each in (controls, equilibrium.controls)
    ]
    return relative_distance(*sides)


def agent_distances(game: Game, controls: Controls, equilibrium: Equilibrium) -> dict[str, float]:
    """The same for every agent's own controls."""
    (ask, bid), (best_ask, best_bid) = relevant(controls, equilibrium), relevant(equilibrium.controls, equilibrium)
    result = {}
    for i, agent in enumerate(game.agents):
        if i < game.traders:
            result[agent] = relative_distance(controls.rate[..., i], equilibrium.controls.rate[..., i])
        else:
            j = i - game.traders
            result[agent] = relative_distance(
                np.stack([ask[:, j], bid[:, j]]), np.stack([best_ask[:, j], best_bid[:, j]])
            )
    return result
