"""Rates of an execution game to rounding, however stiff its penalties are: iterative refinement.

With a large penalty a residual that is small beside ``A |q|`` says little about rates, and linear solvers lose digits.
What rates are off by solves the same linear equations with the residual as load; residuals are computed in extended
precision where the machine has it, so that the large terms cancel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...envs import ExecutionGame
from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients
from . import linear_system as linear
from .concavity import first_order

_ROUNDS = 8


class Checked(NamedTuple):
    """Rates, and how good they are."""

    rates: Array
    """(K, N)"""
    average: Array
    """(K, N) step-averaged adjoints less the noise flow's effect on the price"""
    residual: float
    """largest of the first-order condition, in currency"""
    error: float
    """estimate of the largest error of a rate, in parts of the largest rate"""


def checked(game: ExecutionGame, c: ExecutionCoefficients, dt: float, rates: Array, tolerance: float) -> Checked:
    """The rates, refined where the residual does not show that they are good to the tolerance.

    In the first-order condition (1) costs alone bound the error: ``beta/N`` times the game's ``least_cost`` times what
    rates are off by is at most the residual, where permanent impact does not take away from them. Where it may, a
    hundredth is asked for.

    Args:
        game: the game.
        c: its coefficients.
        dt: length of a step.
        rates: (K, N) of a solution.
        tolerance: on the error, in parts of the largest rate.
    """
    exact = np.asarray(rates, dtype=np.longdouble)
    coefficients = c.like(exact)
    average, defect = _first_order(game, coefficients, dt, exact)
    size = float(np.abs(exact).max(initial=0.0))
    stiffness = float(c.temporary_impact.min()) * game.least_cost / game.traders
    error = float(np.abs(defect).max(initial=0.0)) / stiffness
    bounded = float(c.permanent_impact.max()) * game.horizon <= float(c.temporary_impact.min()) * game.least_cost
    enough, rounds = tolerance * size * (1.0 if bounded else 0.01), 0
    while error > enough and rounds < _ROUNDS:
        move = _correction(game, c, dt, np.asarray(defect, dtype=float))
        if not np.isfinite(move).all() or (rounds and np.abs(move).max() > error / 2):
            break
        error, exact, rounds, enough = float(np.abs(move).max()), exact + move, rounds + 1, tolerance * size
        average, defect = _first_order(game, coefficients, dt, exact)
    residual = float(np.abs(defect).max(initial=0.0))
    relative = error / size if size > 0 else error
    return Checked(np.asarray(exact, dtype=float), np.asarray(average, dtype=float), residual, relative)


def _first_order(game: ExecutionGame, c: ExecutionCoefficients, dt: float, rates: Array) -> tuple[Array, Array]:
    start = game.start.astype(rates.dtype)[None]
    paths = np.concatenate([start, start + dt * np.cumsum(rates, axis=0)])
    total = rates.sum(axis=1, keepdims=True)
    return first_order(game, c, dt, paths, rates, total - rates, game.drift(c, total[:, 0])[:, None])


def _correction(game: ExecutionGame, c: ExecutionCoefficients, dt: float, defect: Array) -> Array:
    """(K, N) what rates with this residual are off by: the solution of the equations with the residual as load."""
    if not linear.homogeneous(c):
        system = linear.nash_system(c, game.crowding, dt)
        swept = linear.sweep(system)
        shift = linear.respond(system, swept, linear.plain(np.zeros_like(defect), -defect)).shift
        return linear.follow(swept.gain, shift, np.zeros(defect.shape[1]), dt)
    system = linear.mode_system(c, game.crowding, dt)
    swept = linear.sweep(system)
    mean = defect.mean(axis=1, keepdims=True)
    parts = []
    for mode, own in ((0, mean), (1, defect - mean)):
        alone = linear.Sweep(*(each[:, mode : mode + 1] for each in swept))
        load = linear.plain(np.zeros((*own.shape, 1)), -own[..., None])
        own_system = replace(system, terminal=system.terminal[mode : mode + 1])
        shift = linear.respond(own_system, alone, load).shift[..., 0]
        parts.append(linear.forward(alone.gain[..., 0, 0], shift, np.zeros(own.shape[1]), dt))
    return np.asarray(parts[0] + parts[1])
