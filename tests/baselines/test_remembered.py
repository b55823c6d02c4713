"""Equilibria are kept for the next time, in bounds, and what takes long says so."""

import logging
import threading
import time
from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from makertaker.baselines import remembered as module
from makertaker.baselines import solve
from makertaker.baselines.noise.field import FieldOptions
from makertaker.baselines.remembered import remembered
from makertaker.envs import BestQuote, CustomImpact, Exponential, load_scenario
from support.episodes import same


@pytest.fixture
def solved(monkeypatch):
    """The games that are solved."""
    games = []

    def counted(game, *arguments, **keywords):
        games.append(game)
        return solve(game, *arguments, **keywords)

    module._solved.cache_clear()
    monkeypatch.setattr(module, "solve", counted)
    yield games
    module._solved.cache_clear()


def test_a_game_is_solved_once_for_each_grid_and_its_options(solved):
    game = load_scenario("acas")
    for _ in range(3):
        assert same(remembered(game, 5).controls, solve(game, 5).controls)
        remembered(replace(game), 5)
    assert len(solved) == 1
    remembered(game, 6)
    remembered(game, 5, FieldOptions(refine=False))
    remembered(replace(game, horizon=2.0), 5)
    assert len(solved) == 4


def test_four_markets_of_gymnasium_are_solved_once(solved):
    env = gymnasium.make_vec("makertaker/Acas-v0", num_envs=4, vectorization_mode="sync", steps=5)
    assert env.num_envs == 4
    assert len(solved) == 1


def test_what_is_changed_by_its_owner_stays_as_it_was(solved):
    game = load_scenario("acas")
    remembered(game, 5).controls.rate[:] = 0.0
    np.testing.assert_array_equal(remembered(game, 5).controls.rate, solve(game, 5).controls.rate)
    assert len(solved) == 1


def test_what_has_no_hash_is_solved_anew(solved):
    class Unhashable:
        __hash__ = None

        def __call__(self, rate):
            return rate**2

    square = CustomImpact(Unhashable(), lambda rate: 2 * rate, lambda rate: 2 * np.ones((*rate.shape, 1)))
    with pytest.raises(TypeError, match="unhashable"):
        hash(game := replace(load_scenario("acas"), impact=square))
    for _ in range(2):
        assert remembered(game, 3).converged
    assert len(solved) == 2


def test_what_may_be_equal_and_differ_is_solved_anew(solved):
    """A part of the user's own with a number that is no field, and a flow that changes between."""

    class Shifted(Exponential):
        def __call__(self, x):
            return super().__call__(x + self.shift)

    def shifted(by):
        intensity = Shifted(1.0)
        object.__setattr__(intensity, "shift", by)
        return replace(load_scenario("acas"), competition=BestQuote(intensity))

    assert shifted(0.0) == shifted(0.5)
    first, second = (remembered(shifted(by), 5).payoffs for by in (0.0, 0.5))
    assert not np.allclose(first, second)

    class Flow:
        level = 1.0

        def __init__(self):
            self.lock = threading.Lock()  # which no copy can be made of

        def __call__(self, t):
            return self.level + 0 * t

    game = replace(load_scenario("acas"), buy_flow=Flow())
    before = remembered(game, 5)
    assert before.game is game
    game.buy_flow.level = 5.0
    np.testing.assert_array_equal(remembered(game, 5).payoffs, solve(game, 5).payoffs)


def test_the_oldest_are_forgotten(solved):
    game = load_scenario("execution-2")
    for extra in range(module._KEPT + 1):
        remembered(replace(game, terminal_penalty=1.0 + extra), 3)
    before = len(solved)
    remembered(replace(game, terminal_penalty=1.0), 3)
    assert len(solved) == before + 1
    assert module._solved.cache_info().currsize == module._KEPT


def test_patience_is_asked_for_where_it_takes_long(caplog, monkeypatch):
    def slow(game, steps, *, field):
        time.sleep(0.2)
        return solve(game, steps, field=field)

    module._solved.cache_clear()
    monkeypatch.setattr(module, "solve", slow)
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    with caplog.at_level(logging.WARNING, "makertaker"):
        remembered(load_scenario("acas"), 4)
        remembered(load_scenario("acas"), 4)
    (line,) = caplog.messages
    assert line.startswith("solving the equilibrium of a game of 3 agents on 4 steps")
    module._solved.cache_clear()
