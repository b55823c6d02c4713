"""The feedback equilibrium of a buyer and two makers with softmax shares, over the tree of a three-point noise.

Written again in JAX, without polynomials or tubes: the stage game of every node of the tree is solved by Newton's
method, and what comes after it is differentiated through the solutions, by the implicit function theorem. A node whose
value is wanted with m derivatives needs those after it with m + 1.
"""

import itertools

import numpy as np
from scipy.optimize import root

OWNER = np.array([0, 1, 2, 1, 2])
"""of the rate, the asks and the bids"""
POINTS, WEIGHTS = np.array([-np.sqrt(3), 0.0, np.sqrt(3)]), np.array([1, 4, 1]) / 6
"""Gauss-Hermite: exact for polynomials up to degree 5"""


def tree_equilibrium(game, steps, guess):
    """Payoffs (3,) and first controls (5,) of a game whose parameters are constants, in at most three steps."""
    import jax
    import jax.numpy as jnp

    dt, rate, beta = game.horizon / steps, game.competition.rate, game.impact.beta
    running = jnp.array([game.trader_running_penalty, *2 * [game.maker_running_penalty]])
    terminal = jnp.array([game.trader_terminal_penalty, *2 * [game.maker_terminal_penalty]])
    shocks, weights = np.zeros((1, 3)), np.ones(1)
    if game.inventory_noise:
        shocks = np.array(list(itertools.product(POINTS, repeat=3))) * game.inventory_noise * np.sqrt(dt)
        weights = np.array([np.prod(each) for each in itertools.product(WEIGHTS, repeat=3)])

    def stage(held, controls):
        speed, asks, bids = controls[0], controls[1:3], controls[3:]
        sold = (game.buy_flow + speed) * jax.nn.softmax(-rate * asks)
        bought = game.sell_flow * jax.nn.softmax(-rate * bids)
        after = held + dt * jnp.concatenate([speed[None], bought - sold])
        income = jnp.concatenate([-(asks.min() * speed + beta * speed**2)[None], asks * sold + bids * bought])
        return dt * income - running * dt / 3 * (held**2 + held * after + after**2), after

    def ending(held):
        return -terminal * held**2

    def jets(value):
        """The value at points (B, 3), and its first and second derivatives."""
        first = jax.jacfwd(value)
        return jax.jit(jax.vmap(lambda held: (value(held), first(held), jax.jacfwd(first)(held))))

    def last(held):
        """The value of the last step, which JAX differentiates through its solution."""

        def payoffs(controls, held):
            reward, after = stage(held, controls)
            return reward + weights @ ending(after + shocks)

        def conditions(controls):
            return jax.jacfwd(payoffs)(controls, held)[OWNER, np.arange(5)] / dt

        def newton(conditions, point):
            def better(_, x):
                return x - jnp.linalg.solve(jax.jacfwd(conditions)(x), conditions(x))

            return jax.lax.fori_loop(0, 8, better, point)

        def tangent(linear, right):
            return jnp.linalg.solve(jax.jacfwd(linear)(0 * right), right)

        return payoffs(jax.lax.custom_root(conditions, jnp.asarray(guess), newton, tangent), held)

    @jax.jit
    @jax.vmap
    def local(held, controls, value, slope, bend):
        """Payoffs, and their derivatives by controls and inventories, from an expansion of what comes after."""
        centre = stage(held, controls)[1]

        def payoffs(controls, held):
            reward, after = stage(held, controls)
            return reward + value + slope @ (after - centre) + 0.5 * (bend @ (after - centre)) @ (after - centre)

        def conditions(controls, held):
            return jax.jacfwd(payoffs)(controls, held)[OWNER, np.arange(5)]

        each = (conditions, payoffs)
        by_controls, by_held = ([jax.jacfwd(f, argnums=a)(controls, held) for f in each] for a in (0, 1))
        return conditions(controls, held), payoffs(controls, held), by_controls, by_held

    def expansion(ahead, held, controls):
        """Expected value, slope and bend behind states (B, 3), and what :func:`local` makes of them."""
        after = np.asarray(jax.vmap(stage)(held, controls)[1])
        behind = ahead((after[:, None] + shocks).reshape(-1, 3))
        parts = (np.reshape(each, (len(held), len(shocks), *each.shape[1:])) for each in behind)
        expected = (np.tensordot(each, weights, (1, 0)) for each in parts)
        return local(held, controls, *expected)

    def middle(ahead):
        """A step before one whose value has two derivatives: its value with one."""

        def found(held):
            controls = np.tile(guess, (len(held), 1))
            for _ in range(9):
                wrong, value, (slope, ours), (shift, direct) = expansion(ahead, held, controls)
                if np.abs(wrong).max() < 1e-12:
                    break
                controls = controls - np.linalg.solve(slope, np.asarray(wrong)[..., None])[..., 0]
            assert np.abs(wrong).max() < 1e-12
            answer = -np.linalg.solve(slope, shift)
            return value, direct + ours @ answer, np.zeros((len(held), 3, 3, 3))

        return found

    ahead = [jets(ending), jets(last), middle(jets(last))][steps - 1]
    start = np.asarray(game.start)[None]
    solved = root(lambda x: np.asarray(expansion(ahead, start, x[None])[0][0]) / dt, guess, tol=1e-12)
    assert solved.success, solved.message
    return np.asarray(expansion(ahead, start, solved.x[None])[1][0]), solved.x
