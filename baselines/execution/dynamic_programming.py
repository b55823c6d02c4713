"""Dynamic programming in the execution game: values of linear policies, best responses to them, feedback Nash.

With ``x = (Q, L, 1)`` the state, every agent's reward of a step is a quadratic form in ``(x, v)`` and the state moves
linearly. The forms are read off the environment's own step: a quadratic function is known from its values at a few
points. Values are quadratic, ``V_k^i = x' P_k^i x`` (with the effect of the factor's noise in the constant).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...envs import Controls, ExecutionGame
from ...envs.arrays import Array
from ...envs.grid import agent_index, grid, step, terminal_reward
from ..errors import EquilibriumNotFound
from .linear_rule import LinearFeedback, require_closing
from .signal import additive, linear_signal


class Stage(NamedTuple):
    """One step as a linear-quadratic problem in ``(x, v)``, ``x = (Q, L, 1)``."""

    reward: Array
    """(N, s + N, s + N) symmetric forms, ``s = N + d + 1``"""
    state: Array
    """(s, s) ``E[x'] = state x + action v``"""
    action: Array
    """(s, N)"""
    noise: Array
    """(s, s) covariance of ``x'``"""


_LEAST = 1e-120
"""size of what is as good as nothing"""


class LinearQuadraticGame:
    """The grid game's stages and final reward.

    Raises:
        ValueError: the factor does not enter linearly, or its diffusion depends on it.
    """

    def __init__(self, game: ExecutionGame, steps: int) -> None:
        self.game, self.steps = game, steps
        self.times, self.dt = grid(game, steps), game.horizon / steps
        if game.factor is not None and not additive(game.factor, self.times):
            raise ValueError("factor.diffusion: values of policies need one that does not depend on the factor")
        self._c = game.coefficients(self.times)
        self._signal = linear_signal(game, self._c, self.times)
        self.size = game.traders + self._signal.slope.shape[1] + 1

    def stage(self, k: int) -> Stage:
        """The step ``k``."""
        game, count, size, dt = self.game, self.game.traders, self.size, self.dt
        state, action = np.eye(size), np.zeros((size, count))
        action[:count] = dt * np.eye(count)
        noise = np.zeros((size, size))
        factor = game.factor
        if factor is not None:
            state[count:-1, count:-1], state[count:-1, -1] = self._signal.transition[k], self._signal.constant[k]
            start = np.array(factor.initial)
            root = np.stack([factor.shake(self.times[k], start, unit) for unit in np.eye(factor.size)], axis=-1)
            noise[count:-1, count:-1] = dt * root @ root.T
        return Stage(self._forms(k), state, action, noise)

    def _forms(self, k: int) -> Array:
        count, size = self.game.traders, self.size
        width = size - 1 + count  # everything but the constant
        sizes = self._sizes
        units = np.diag(sizes)
        first, second = np.triu_indices(width, 1)
        points = np.concatenate([np.zeros((1, width)), units, -units, units[first] + units[second]])
        values = self._rewards(k, points)
        base, plus, minus, pairs = np.split(values, [1, 1 + width, 1 + 2 * width])
        slope, square = (plus - minus) / 2 / sizes[:, None], ((plus + minus) / 2 - base) / sizes[:, None] ** 2
        forms = np.zeros((count, width + 1, width + 1))
        one = size - 1  # (Q, L, 1, v)
        where = np.delete(np.arange(width + 1), one)
        forms[:, one, one] = base[0]
        forms[:, where, one] = forms[:, one, where] = slope.T / 2
        forms[:, where, where] = square.T
        cross = (pairs - plus[first] - plus[second] + base).T / 2 / (sizes[first] * sizes[second])
        forms[:, where[first], where[second]] = forms[:, where[second], where[first]] = cross
        return forms

    @cached_property
    def _sizes(self) -> Array:
        """(s - 1 + N,) of inventories, factors and rates: where they differ as in the game, no form drowns in the
        rounding of another. Their squares are numbers."""
        game = self.game
        rates = np.array([game.control_unit(agent) for agent in game.agents])
        scale = np.zeros(0) if game.factor is None else game.factor.scale(game.horizon)
        return np.maximum(np.concatenate([game.horizon * rates, scale, rates]), _LEAST)

    def _rewards(self, k: int, points: Array) -> Array:
        """Rewards (points, N) of step ``k`` at inventories, factors and rates side by side."""
        game, count = self.game, self.game.traders
        inventories, factors, rates = np.split(points, [count, self.size - 1], axis=-1)
        c = game.with_factor(self._c.at(k), self.times[k], factors)
        return np.asarray(step(game, c, self.dt, inventories, game.complete(Controls(rates))).reward)

    def final(self) -> Array:
        """(N, s, s) forms of the terminal reward."""
        agents = np.arange(self.game.traders)
        forms = np.zeros((len(agents), self.size, self.size))
        forms[agents, agents, agents] = terminal_reward(self._c, np.ones(len(agents)))
        return forms

    @property
    def closing_conditions(self) -> Array:
        """(N, s + N) rows ``Q + dt v`` in ``(x, v)``, which are 0 in the last step of those who must liquidate."""
        identity, none = np.eye(self.game.traders), np.zeros((self.game.traders, self.size - self.game.traders))
        return np.concatenate([identity, none, self.dt * identity], axis=-1)

    @property
    def start(self) -> Array:
        """(s,) the state at time 0."""
        factor = () if self.game.factor is None else self.game.factor.initial
        return np.array([*self.game.start, *factor, 1.0])


def _rows(rule: LinearFeedback, k: int) -> Array:
    """(N, s): rates as a linear function of ``x``."""
    return np.concatenate([rule.gain[k], rule.signal[k], rule.shift[k][:, None]], axis=-1)


def _rule(game: ExecutionGame, rows: Array) -> LinearFeedback:
    count = game.traders
    return LinearFeedback(game, rows[..., :count], rows[..., -1], rows[..., count:-1])


def _value(stage: Stage, ahead: Array, rows: Array) -> Array:
    """Values (..., s, s) before a stage in which all follow ``rows``, from those after it."""
    size = stage.state.shape[0]
    joint = np.concatenate([np.eye(size), rows])
    move = stage.state + stage.action @ rows
    value = joint.T @ stage.reward @ joint + move.T @ ahead @ move
    value[..., -1, -1] += (ahead * stage.noise).sum(axis=(-2, -1))
    return value


def values(rule: LinearFeedback) -> Array:
    """Expected payoffs (N,) if all follow a rule, by dynamic programming."""
    problem = LinearQuadraticGame(rule.game, rule.steps)
    require_closing(rule)
    ahead = problem.final()
    for k in reversed(range(rule.steps)):
        ahead = _value(problem.stage(k), ahead, _rows(rule, k))
    return np.asarray(np.einsum("i,nij,j->n", problem.start, ahead, problem.start))


def feedback_nash(game: ExecutionGame, steps: int) -> LinearFeedback:
    """The feedback (closed-loop, subgame perfect) Nash equilibrium of the grid game, by the coupled Riccati recursion
    of Basar and Olsder, *Dynamic Noncooperative Game Theory*, Section 6.2.

    Raises:
        EquilibriumNotFound: at some step an agent's problem is not concave, or the agents' conditions are singular.
        ValueError: the factor does not enter linearly.

    Examples:
        >>> from makertaker.baselines import feedback_gains, feedback_nash
        >>> from makertaker.envs import load_scenario
        >>> payoffs, gains = feedback_gains(feedback_nash(load_scenario("execution-2"), 20))
        >>> bool(abs(gains).max() < 1e-9)
        True
    """
    problem = LinearQuadraticGame(game, steps)
    count, size = game.traders, problem.size
    agents = np.arange(count)
    ahead, rows = problem.final(), np.empty((steps, count, size))
    for k in reversed(range(steps)):
        stage = problem.stage(k)
        # gradient in v^i of stage reward and value, in (x, v)
        move = np.concatenate([stage.state, stage.action], axis=1)
        forms = stage.reward + move.T @ ahead @ move
        gradient = forms[agents, size + agents]
        curvature = forms[agents, size + agents, size + agents]
        if k + 1 == steps and game.must_close:
            curvature = np.where(game.closing, -np.inf, curvature)
            gradient[game.closing] = problem.closing_conditions[game.closing]
        if curvature.max() >= 0:
            raise EquilibriumNotFound(
                f"feedback Nash: at step {k} the payoff of trader_{int(curvature.argmax())} is not concave in its rate"
            )
        try:
            rows[k] = np.linalg.solve(gradient[:, size:], -gradient[:, :size])
        except np.linalg.LinAlgError as error:
            raise EquilibriumNotFound(f"feedback Nash: the conditions at step {k} are singular") from error
        ahead = _value(stage, ahead, rows[k])
    return _rule(game, rows)


class FeedbackResponse(NamedTuple):
    """An agent's best response to opponents that react."""

    rule: LinearFeedback
    """everyone's rule with the agent's part replaced"""
    payoff: float
    """of the agent, expected, in currency"""
    gain: float
    """over its payoff if it does not deviate"""


def best_response_to_feedback(rule: LinearFeedback, agent: str) -> FeedbackResponse:
    """One agent's best response to opponents that follow a rule and react: exact, by dynamic programming.

    Args:
        rule: everyone's.
        agent: name of the deviator.

    Raises:
        ValueError: an unknown agent.
        EquilibriumNotFound: the deviator's problem has no maximum.
        ValueError: the factor does not enter linearly.

    Examples:
        >>> from makertaker.baselines import best_response_to_feedback, feedback_nash
        >>> from makertaker.envs import load_scenario
        >>> found = best_response_to_feedback(feedback_nash(load_scenario("execution-2"), 20), "trader_0")
        >>> bool(abs(found.gain) < 1e-9)
        True
    """
    index = agent_index(rule.game, agent)
    replaced, payoff = _respond(rule, index)
    return FeedbackResponse(replaced, payoff, payoff - float(values(rule)[index]))


def _respond(rule: LinearFeedback, index: int) -> tuple[LinearFeedback, float]:
    problem = LinearQuadraticGame(rule.game, rule.steps)
    size = problem.size
    ahead, replaced = problem.final()[index : index + 1], []
    for k in reversed(range(rule.steps)):
        stage = problem.stage(k)
        rows = _rows(rule, k)
        rows[index] = 0
        # all but the deviator follow the rule: a problem in (x, v^i)
        joint = np.zeros((size + len(rows), size + 1))
        joint[:size, :size], joint[size:, :size], joint[size + index, size] = np.eye(size), rows, 1.0
        move = np.concatenate([stage.state, stage.action], axis=1) @ joint
        form = joint.T @ stage.reward[index] @ joint + move.T @ ahead[0] @ move
        if k + 1 == rule.steps and rule.game.closing[index]:
            rows[index] = -problem.closing_conditions[index, :size] / problem.dt
        elif form[size, size] >= 0:
            raise EquilibriumNotFound(
                f"the payoff of trader_{index} against opponents who react is not concave in its rate at step {k}"
            )
        else:
            rows[index] = -form[size, :size] / form[size, size]
        replaced.append(rows)
        ahead = _value(stage._replace(reward=stage.reward[index : index + 1]), ahead, rows)
    payoff = float(problem.start @ ahead[0] @ problem.start)
    return _rule(rule.game, np.stack(replaced[::-1])), payoff


def feedback_gains(rule: LinearFeedback) -> tuple[Array, Array]:
    """Payoffs (N,) of a rule played as feedback, and everyone's gain from its best response, exactly.

    Examples:
        >>> from makertaker.baselines import cooperative_optimum, feedback_gains
        >>> from makertaker.envs import load_scenario
        >>> payoffs, gains = feedback_gains(cooperative_optimum(load_scenario("execution-2"), 20))
        >>> bool((gains > 0).all())  # everyone would leave the cartel
        True
    """
    payoffs = values(rule)
    best = np.array([_respond(rule, i)[1] for i in range(rule.game.traders)])
    return payoffs, best - payoffs
