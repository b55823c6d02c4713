"""Exact gradients of what schedules earn against policies that JAX can follow, beside differences of rollouts."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from makertaker.baselines import open_loop_policies, search, solve, traced
from makertaker.baselines.kinds import kind_of
from makertaker.envs import BestQuote, CustomIntensity, acas_v0, load_scenario, rollout
from makertaker.training.common.actor import Actor, Gru, Layer
from makertaker.training.common.joint_market import LearnedPolicy, policy_of
from makertaker.training.evaluation.starts import random_starts

pytest.importorskip("jax")


def actor(rng, seen, space, activation="tanh", visible=None, **others):
    """One whose networks are drawn; it answers what it sees, within its range."""
    widths = [visible or seen, 16, space.shape[0]]
    layers = [
        Layer(rng.standard_normal((b, a)).astype("f4") / a**0.5, 0.3 * rng.standard_normal(b).astype("f4"))
        for a, b in pairwise(widths)
    ]
    return Actor(seen, widths[0], activation, activation == "relu", space.low, space.high, tuple(layers), **others)


def learned(scenario, steps, kind="full", seed=0, activation="tanh", **options):
    """The setting, and everyone's policy."""
    env = acas_v0.parallel_env(scenario=scenario, steps=steps, observation=kind, **options)
    rng = np.random.default_rng(seed)
    spaces = {name: (env.observation_space(name).shape[0], env.action_space(name)) for name in env.possible_agents}
    acts = {name: actor(rng, *each, activation).act for name, each in spaces.items()}
    return env.market, {name: LearnedPolicy(act, env.market, name) for name, act in acts.items()}


@pytest.mark.parametrize(
    ("scenario", "activation", "kind", "options"),
    [
        ("acas", "tanh", "full", {}),
        ("softmax-1x2", "elu", "market", {"units": "currency"}),
        ("execution-2", "leaky_relu", "own", {"identity": True}),
        ("acas", "silu", "full", {"trader_terminal_penalty": math.inf}),
        ("maker-taker-3x3", "relu", "full", {"normalize": True}),
    ],
)
def test_slopes_are_those_of_rollouts(scenario, activation, kind, options, monkeypatch):
    monkeypatch.setattr(traced, "TRACED_FROM", 0)
    market, policies = learned(scenario, 5, kind, activation=activation, **options)
    game, rng = market.game, np.random.default_rng(1)
    starts = game.admitted(game.start + 0.3 * rng.standard_normal((3, len(game.agents))))
    for agent in (game.agents[0], game.agents[-1]):
        width, unit = 1 if agent.startswith("trader") else 2, game.control_unit(agent)
        middle = policies[agent].market.scale.physical_action(agent, np.zeros(width))
        schedules = middle + 0.2 * unit * rng.standard_normal((3, 5, width))

        found = traced.traced_slopes(game, policies, agent, 5)(schedules, starts)

        def payoffs(schedules, agent=agent):
            played = rollout(game, {**policies, agent: lambda k, _: schedules[..., k, :]}, 5, inventories=starts)
            return played.payoffs[..., game.agents.index(agent)]

        size = 1e-3 * unit
        moves = size * np.eye(5 * width).reshape(-1, 1, 5, width)
        expected = [(payoffs(schedules + move) - payoffs(schedules - move)) / (2 * size) for move in moves]
        expected = np.stack(expected, axis=-1).reshape(found.shape)
        rounding = 1e-6 * game.payoff_unit(agent) / unit  # what is played is of single precision
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * np.abs(expected).max() + rounding)


def test_a_best_response_is_the_same_either_way(monkeypatch):
    market, policies = learned("acas", 8)
    kind = kind_of(market.game, 8)

    def gains(least):
        monkeypatch.setattr(traced, "TRACED_FROM", least)
        return [kind.response_to_policies(policies, agent).gain for agent in market.game.agents]

    np.testing.assert_allclose(gains(0), gains(10**9), rtol=1e-4)


def test_gains_over_random_starts_are_the_same_either_way(monkeypatch):
    market, policies = learned("softmax-1x2", 5)
    kind = kind_of(market.game, 5)

    def metrics(least):
        monkeypatch.setattr(traced, "TRACED_FROM", least)
        found = random_starts(kind, policies, 0.5, 1.0, None, reacting=True)
        return [found["agents"][agent]["exploitability"] for agent in market.game.agents]

    np.testing.assert_allclose(metrics(0), metrics(10**9), rtol=5e-3)


def test_schedules_are_followed_too(monkeypatch):
    monkeypatch.setattr(traced, "TRACED_FROM", 0)
    nash = solve("acas", 10)
    policies = open_loop_policies(nash.game, nash.controls)
    slopes = traced.traced_slopes(nash.game, policies, "maker_0", 10)
    own = np.stack([nash.controls.ask[:, 0], nash.controls.bid[:, 0]], axis=-1)
    assert np.abs(slopes(own[None], nash.game.start[None])).max() < 1e-8  # first-order conditions


ASKING = {
    "an array": lambda k, state: np.ones(2) * np.asarray(state.price),
    "a number": lambda k, state: np.ones(2) * float(state.price),
    "an index": lambda k, state: np.ones((160, 2))[k],
    "a range": lambda k, state: np.ones(2) * range(160)[k],
    "a branch": lambda k, state: np.ones(2) if k else np.zeros(2),
}
"""what JAX does not know while it traces"""


class Asks:
    """A policy that says that JAX can follow it."""

    def __init__(self, traced):
        self.traced = traced

    def __call__(self, k, state):
        return np.ones(2)


@pytest.mark.parametrize("what", ["short", "noise", "a function", "a memory", "no JAX", "an intensity", *ASKING])
def test_where_there_are_differences_alone(what, monkeypatch):
    steps = 10 if what == "short" else 160
    market, policies = learned("acas", steps)
    game = market.game
    if what == "noise":
        game = load_scenario("approximation")
        policies = dict.fromkeys(game.agents, policies["trader_0"])
    if what == "a function":
        policies["maker_0"] = lambda k, state: np.ones(2)
    if what == "a memory":
        rng = np.random.default_rng(0)
        seen = market.observation_space.shape[0]
        unit = Gru(*(rng.standard_normal(shape) for shape in ((12, seen), (12, 4), 12, 12)))
        remembering = actor(rng, seen, market.action_space("maker_0"), visible=4, gru=unit)
        policies["maker_0"] = policy_of(replace(remembering, visible=seen).acting, market, "maker_0")
    if what == "no JAX":
        monkeypatch.setattr(traced, "find_spec", lambda name: None)
    if what in ASKING:
        policies["maker_0"] = Asks(ASKING[what])
    if what == "an intensity":
        own = CustomIntensity(
            function=lambda x: expit(-x),
            first=lambda x: -expit(x) * expit(-x),
            second=lambda x: expit(x) * expit(-x) * (1 - 2 * expit(-x)),
        )
        game = replace(game, competition=BestQuote(own))
    assert traced.traced_slopes(game, policies, "trader_0", steps) is None


def test_long_schedules_are_searched_with_it(monkeypatch):
    market, policies = learned("acas", 160)
    asked = []
    monkeypatch.setattr(search, "by_differences", lambda *args: asked.append(args))
    assert kind_of(market.game, 160).response_to_policies(policies, "trader_0").gain > 0
    assert len(asked) == 1  # made, and not called: it is None
