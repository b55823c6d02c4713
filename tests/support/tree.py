"""The feedback equilibrium of a buyer and two makers with softmax shares, over the tree of a three-point noise.

Written again in JAX, without polynomials or tubes: a step's stage game is solved at every node of the tree by Newton's
method, and what comes after it is differentiated through the solutions.
"""

import itertools

import numpy as np

OWNER = np.array([0, 1, 2, 1, 2])
"""of the rate, the asks and the bids"""
POINTS, WEIGHTS = np.array([-np.sqrt(3), 0.0, np.sqrt(3)]), np.array([1, 4, 1]) / 6
"""Gauss-Hermite: exact for polynomials up to degree 5"""


def tree_equilibrium(game, steps, guess):
    """Payoffs (3,) and first controls (5,) of a game whose parameters are constants."""
    import jax
    import jax.numpy as jnp

    dt, rate, beta = game.horizon / steps, game.competition.rate, game.impact.beta
    running = jnp.array([game.trader_running_penalty, *2 * [game.maker_running_penalty]])
    terminal = jnp.array([game.trader_terminal_penalty, *2 * [game.maker_terminal_penalty]])
    shocks, weights = jnp.zeros((1, 3)), jnp.ones(1)
    if game.inventory_noise:
        shocks = jnp.array(list(itertools.product(POINTS, repeat=3))) * game.inventory_noise * np.sqrt(dt)
        weights = jnp.array([np.prod(each) for each in itertools.product(WEIGHTS, repeat=3)])

    def stage(held, controls):
        speed, asks, bids = controls[0], controls[1:3], controls[3:]
        sold = (game.buy_flow + speed) * jax.nn.softmax(-rate * asks)
        bought = game.sell_flow * jax.nn.softmax(-rate * bids)
        after = held + dt * jnp.concatenate([speed[None], bought - sold])
        income = jnp.concatenate([-(asks.min() * speed + beta * speed**2)[None], asks * sold + bids * bought])
        return dt * income - running * dt / 3 * (held**2 + held * after + after**2), after

    def newton(conditions, point):
        def better(_, x):
            return x - jnp.linalg.solve(jax.jacfwd(conditions)(x), conditions(x))

        return jax.lax.fori_loop(0, 6, better, point)

    def node(k):
        if k == steps:
            return lambda held: -terminal * held**2
        ahead = node(k + 1)

        def payoffs(controls, held):
            reward, after = stage(held, controls)
            return reward + weights @ jax.vmap(lambda shock: ahead(after + shock))(shocks)

        def solution(held):
            def conditions(controls):
                return jax.jacfwd(payoffs)(controls, held)[OWNER, np.arange(5)] / dt

            def tangent(linear, right):
                return jnp.linalg.solve(jax.jacfwd(linear)(0 * right), right)

            return jax.lax.custom_root(conditions, jnp.asarray(guess), newton, tangent)

        def value(held):
            return payoffs(solution(held), held)

        value.solution, value.payoffs = solution, payoffs
        return value

    first = node(0)

    def found(held):  # one program: what is compiled is long
        controls = first.solution(held)
        return first.payoffs(controls, held), controls

    return tuple(map(np.asarray, jax.jit(found)(jnp.asarray(game.start))))
