"""Two sellers in ten periods, ``almgren-chriss-2``: recursions, conventions and equilibria computed apart.

In period k a seller of ``u`` shares beside one of ``v`` gets ``P - own u - others v`` a share, and the price falls by
``PERMANENT (u + v)`` thereafter. The published market has ``own = .002`` and ``others = 0``.
"""

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines import exploitability, feedback_nash, solve
from makertaker.envs import Controls, ExecutionGame, load_scenario, read_scenario, rollout, simulate
from makertaker.envs.noise import draw_noise

PERMANENT, STEPS, SHARES = 0.001, 10, 100.0
START, COIN, MIDDLE, END, BOTH = (0.002, 0.0), (0.002, 0.0005), (0.0025, 0.0005), (0.003, 0.001), (0.0025, 0.0025)
CONVENTIONS = [START, COIN, MIDDLE, END, BOTH]


def convention(own: float, others: float) -> ExecutionGame:
    """The game: its price moves linearly within a period, by half the permanent impact on average."""
    temporary = 2 * own - PERMANENT
    crowding = (2 * others - PERMANENT) / temporary
    return ExecutionGame((SHARES,) * 2, STEPS, 2 * PERMANENT, temporary, crowding, terminal_penalty=np.inf)


def shortfalls(sold: np.ndarray, own: float, others: float) -> np.ndarray:
    """(2,) of schedules (STEPS, 2), by the recursion."""
    total, price = np.zeros(2), 0.0
    for now in sold:
        total += now * (own * now + others * now[::-1] - price)
        price -= PERMANENT * now.sum()
    return total


def geometric(ratio: float) -> np.ndarray:
    """(STEPS, 2) sales that fall by a ratio from one period to the next."""
    falling = ratio ** np.arange(STEPS)
    return np.repeat(SHARES * falling[:, None] / falling.sum(), 2, axis=1)


def best_response(sold: np.ndarray, agent: int, own: float, others: float) -> tuple[np.ndarray, float]:
    """Schedule and shortfall, by a general optimiser over all periods but the last."""

    def played(free: np.ndarray) -> np.ndarray:
        changed = sold.copy()
        changed[:, agent] = np.append(free, SHARES - free.sum())
        return changed

    found = minimize(
        lambda free: shortfalls(played(free), own, others)[agent],
        sold[:-1, agent],
        method="BFGS",
        options={"gtol": 1e-9},
    )
    return played(found.x)[:, agent], float(found.fun)


@pytest.mark.parametrize(("own", "others"), CONVENTIONS)
def test_conventions_are_execution_games(own, others):
    sold = np.random.default_rng(0).dirichlet(np.ones(STEPS), 2).T * SHARES
    played = simulate(convention(own, others), Controls(-sold), STEPS)
    np.testing.assert_allclose(-played.payoffs, shortfalls(sold, own, others), rtol=1e-12)


def test_the_scenario_is_the_convention_at_the_start_price():
    scenario = read_scenario("almgren-chriss-2")
    expected, game = convention(*START), scenario.game
    assert scenario.steps == STEPS
    assert game.must_close
    assert (game.initial_inventory, game.horizon) == (expected.initial_inventory, expected.horizon)
    found, wanted = (
        (each.permanent_impact, each.temporary_impact, each.crowding, each.running_penalty) for each in (game, expected)
    )
    assert found == pytest.approx(wanted, rel=1e-15)


def test_the_price_that_is_seen():
    """``S_k = S_{k-1} - .001 (sales of both) + .001 xi``: what a period begins with, noise included."""
    game = load_scenario("almgren-chriss-2")
    noise = draw_noise(game, STEPS, 4, 0, price=True)
    prices = []

    def twap(k, state):
        prices.append(state.price)
        return np.full(4, -SHARES / STEPS)

    rollout(game, dict.fromkeys(game.agents, twap), STEPS, noise)
    walk = np.cumsum(0.001 * noise.price, axis=-1)[:, :-1].T - 0.02 * np.arange(1, STEPS)[:, None]
    np.testing.assert_allclose(prices[::2], np.vstack([np.full((1, 4), 10.0), 10 + walk]), rtol=1e-12)


@pytest.mark.parametrize(("own", "others"), CONVENTIONS)
def test_open_loop_nash_three_ways(own, others):
    """The first-order conditions of two periods differ by ``(m - permanent) v' = (m - 2 permanent) v``,
    ``m = 2 own + others``; nobody's best response, by brute force, is anything else; the solver finds the same."""
    margin = 2 * own + others
    expected = geometric((margin - 2 * PERMANENT) / (margin - PERMANENT))
    schedule, cost = best_response(expected, 0, own, others)
    np.testing.assert_allclose(schedule, expected[:, 0], atol=1e-4)
    assert cost == pytest.approx(shortfalls(expected, own, others)[0], abs=1e-9)
    np.testing.assert_allclose(-solve(convention(own, others), STEPS).controls.rate, expected, rtol=1e-11)


def test_feedback_nash_by_backward_induction():
    """Over inventories (x_1, x_2) values are quadratic; sales v of a period solve two linear equations."""
    own, others = START
    values = []
    for agent, other in ((0, 1), (1, 0)):  # the last period sells what is left
        form = np.zeros((2, 2))
        form[agent, agent], form[agent, other] = own, others
        values.append(form)
    rules = [np.eye(2)]
    keep = np.hstack([np.eye(2), -np.eye(2)])  # inventories afterwards, of (x, v)
    for _ in range(STEPS - 1):
        forms = []
        for agent, other in ((0, 1), (1, 0)):
            form = keep.T @ values[agent] @ keep
            form[2 + agent, 2 + agent] += own
            form[2 + agent, 2 + other] += others
            form[2:, :] += PERMANENT * keep[agent]  # what this period's sales cost the shares that are left
            forms.append(form + form.T)
        left, right = (
            np.array([form[2 + i, part] for i, form in enumerate(forms)]) for part in (slice(2, 4), slice(2))
        )
        rule = np.linalg.solve(left, -right)
        stacked = np.vstack([np.eye(2), rule])
        values = [stacked.T @ form @ stacked / 2 for form in forms]
        rules.append(rule)
    start = np.full(2, SHARES)
    found = feedback_nash(load_scenario("almgren-chriss-2"), STEPS).play()
    np.testing.assert_allclose(-found.payoffs, [start @ each @ start for each in values], rtol=1e-10)
    left, sold = start, []
    for rule in reversed(rules):
        sold.append(rule @ left)
        left = left - sold[-1]
    np.testing.assert_allclose(-found.controls.rate, sold, rtol=1e-9)
    np.testing.assert_allclose(shortfalls(np.array(sold), own, others), 12.3082, atol=5e-5)


def test_costs_of_schedules():
    """``100^2 (permanent + (own + others - permanent) sum of squared parts)``: TWAP 11, geometric with ratio r
    ``10 + 10 (1 - r)/(1 + r) (1 + r^10)/(1 - r^10)``."""
    game = load_scenario("almgren-chriss-2")
    for ratio, expected in ((1.0, 11.0), (2 / 3, 12.0706), (np.exp(-1 / 6), 11.2186)):
        found = -simulate(game, Controls(-geometric(ratio)), STEPS).payoffs
        np.testing.assert_allclose(found, expected, atol=5e-5)
        if ratio < 1:
            fractions = (1 - ratio) / (1 + ratio) * (1 + ratio**STEPS) / (1 - ratio**STEPS)
            np.testing.assert_allclose(found, 10 + 10 * fractions, rtol=1e-12)


@pytest.mark.parametrize(("own", "others", "expected"), [(*START, 0.450), (*BOTH, 0.0)])
def test_the_equilibrium_in_continuous_time_is_that_of_another_convention(own, others, expected):
    """Sales of a period from ``e^{-t/6}``: nobody gains more than 1e-5 where both pay both sellers' temporary impact as
    the price moves; where each pays its own against the price at the start, a deviation gains .450."""
    sold = geometric(np.exp(-1 / 6))
    gain = shortfalls(sold, own, others)[0] - best_response(sold, 0, own, others)[1]
    exact = exploitability(convention(own, others), Controls(-sold), STEPS).gains
    np.testing.assert_allclose(exact, gain, atol=1e-8)
    assert gain == pytest.approx(expected, abs=5e-4 if expected else 1e-5)
