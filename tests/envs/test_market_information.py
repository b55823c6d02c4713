"""What agents see of the market: best quotes, the price with its martingale part, volumes; by hand, in every library.

One path of a market with makers and one of a market without, from their definitions in plain arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import random_controls
from makertaker.envs import (
    Controls,
    ExecutionGame,
    Game,
    Noise,
    draw_noise,
    load_scenario,
    rollout,
    scenario_names,
    simulate,
)
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.roles import RoleView
from support.arrays import jax_precision
from support.controls import at_step
from support.drawing import drawn
from support.env_markets import EXECUTION, FACTOR_SCALE, KINDS, MEAN, REVERSION, SHAKE, SIGNAL
from support.env_markets import START as FACTOR_START
from support.episodes import draw_actions
from support.noisy_market import DT, HORIZON, STEPS, TERMINAL, VOLATILITY, by_hand, drift, noisy_game

LIBRARIES = ["numpy", *(name for name in ("jax", "torchrl") if find_spec(name))]
PROBES = 256
"""steps by which units are found from a game's parameters"""


class Story(NamedTuple):
    """One path of a market, with everything that is shown of it, in physical units."""

    game: Game
    controls: Controls
    noise: Noise
    inventories: np.ndarray
    """(K+1, n)"""
    factor: np.ndarray
    """(K+1, d) in units of its scale"""
    price: np.ndarray
    """(K+1,) since the start, in its unit"""
    volumes: np.ndarray
    """(K+1, 2) bought and sold in the step before, in their unit"""
    quotes: np.ndarray
    """(K+1, 2, M) of the step before, in the middle of the range 0 and at its ends -1 and 1"""
    terminal: tuple[float, ...]
    """everybody's terminal penalty"""

    def expected(self, agent: int, k: int) -> np.ndarray:
        """What an agent sees of it after ``k`` steps."""
        stock = self.inventories[k] / np.abs(self.inventories[0]).max()
        best = self.quotes[k].min(axis=-1) if self.game.makers else []
        shown = [*best, self.price[k], *self.volumes[k]]
        others = [*np.delete(stock, agent), *self.quotes[k].ravel()]
        return np.array([k / (len(self.price) - 1), *self.factor[k], stock[agent], *shown, *others])

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the kinds of observations."""
        d, market = self.factor.shape[-1], 5 if self.game.makers else 3
        return 1 + d, 2 + d, 2 + d + market, 2 + d + market + len(self.game.agents) - 1 + 2 * self.game.makers


def with_makers() -> Story:
    """A buyer, a seller and three makers, with a factor of two components and noise in inventories."""
    game = noisy_game("softmax")
    controls, drawn_noise = random_controls(game, STEPS, seed=1), draw_noise(game, STEPS, 2, seed=2, price=True)
    noise = Noise(*(each[0] for each in drawn_noise))
    hand = by_hand("softmax", controls, noise)
    low, high = (np.stack(each[1:]) for each in game.action_range())
    quotes = (2 * np.stack(controls[1:], axis=1) - low - high) / (high - low)
    # 8 shares of the traders, and what noise traders trade on the factor's undisturbed path
    still, bought, width = np.array([0.5, -1.0]), 0.0, HORIZON / PROBES
    largest = np.abs(still)
    for k in range(PROBES):
        bought += width * (3 + k * width + math.tanh(still[0]) - 0.3 * still[1])
        still = still + width * drift(k * width, still)
        largest = np.maximum(largest, np.abs(still))
    sold = HORIZON * (1.0 + 2.5) / 2
    unit = (8 + bought + sold) / 2 / STEPS
    scale = game.factor.scale(HORIZON)  # the largest value, and the diffusion along the path
    assert (scale > largest).all()
    return Story(
        game,
        controls,
        noise,
        np.array(hand.inventories),
        np.array(hand.factor) / scale,
        (np.array(hand.mid) - 100) / (VOLATILITY * math.sqrt(HORIZON)),
        np.concatenate([np.zeros((1, 2)), DT * np.array(hand.volumes) / unit]),
        np.concatenate([np.zeros((1, 2, 3)), quotes]),
        TERMINAL,
    )


def without_makers(parameters: dict[str, Any], noisy_factor: bool) -> Story:
    """Three traders who move the price, as do noise traders, for good."""
    game, steps, dt = ExecutionGame(**parameters), 5, 2.0 / 5
    rng = np.random.default_rng(3)
    rate, jumps, shakes = rng.uniform(-4, 4, (steps, 3)), rng.standard_normal(steps), rng.standard_normal((steps, 2))
    stock, price, factor = [np.array([-5.0, 3.0, 0.0])], [0.0], [FACTOR_START]
    volumes, probe = [[0.0, 0.0]], (np.arange(64) + 0.5) / 32
    for k in range(steps):
        middle = (k + 0.5) * dt
        alpha, buys = 0.5 + 0.5 * middle, 1 + middle  # means over the step, both being linear
        if noisy_factor:
            buys = 4 + factor[k][0] + 2 * factor[k][1]
        bought, sold = (sum(max(side * float(v), 0.0) for v in rate[k]) for side in (1, -1))
        volumes.append([dt * (buys + bought), dt * (1.5 + sold)])
        moved = dt * (alpha / 3 * float(rate[k].sum()) + alpha * (buys - 1.5))
        price.append(price[k] + moved + 2.0 * math.sqrt(dt) * float(jumps[k]))
        stock.append(stock[k] + dt * rate[k])
        factor.append(factor[k] + dt * REVERSION * (MEAN - factor[k]) + SHAKE * math.sqrt(dt) * shakes[k])
    if noisy_factor:
        unit, traded = game.price_unit, game.volume_unit
    else:  # everybody closes the larger of its own inventory and the average one, and a signal is worth 0.9 shares
        push = np.abs(0.5 * (1 + probe) * (probe - 0.5)).mean()
        unit = math.hypot(2.0 * math.sqrt(2.0), 2.0 * ((5 + 3 + 8 / 3) / 2 / 3 + push))
        traded = (8 + 2.0 * (2.0 + 1.5)) / 2
    none = np.zeros((steps + 1, 2, 0))
    return Story(
        game,
        Controls(rate, none[1:, 0], none[1:, 0]),
        Noise(jumps, shakes if noisy_factor else None),
        np.array(stock),
        np.array(factor) / FACTOR_SCALE if noisy_factor else np.zeros((steps + 1, 0)),
        np.array(price) / unit,
        np.array(volumes) / (traded / steps),
        none,
        parameters["terminal_penalty"],
    )


STORIES = {
    "makers": with_makers(),
    "takers": without_makers(EXECUTION, False),
    "takers, factor": without_makers(SIGNAL, True),
}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest) -> Story:
    return STORIES[request.param]


Played: TypeAlias = tuple[list[np.ndarray], list[np.ndarray]]
"""everybody's observations (n, size) of a path, after 0, ..., K steps; and rewards (n,) of K steps"""


def played_in(library: str, story: Story, **options: Any) -> Played:
    """The path in an environment."""
    steps = len(story.price) - 1
    play = {"numpy": in_numpy, "jax": in_jax, "torchrl": in_torch}[library]
    return play(story, steps, {"steps": steps, "normalize": False} | options)


def seen_in(library: str, story: Story, **options: Any) -> list[np.ndarray]:
    return played_in(library, story, **options)[0]


def in_numpy(story: Story, steps: int, options: dict[str, Any]) -> Played:
    env = GameParallelEnv(story.game, **options)
    rows = iter(range(steps))
    env.market.draw = lambda rng: at(story.noise, next(rows))
    played = [env.reset(), *(env.play(at_step(story.controls, k)) for k in range(steps))]
    seen, rewards = ([np.stack(list(each[i].values())) for each in played[i:]] for i in (0, 1))
    return seen, rewards


def at(noise: Noise, k: int) -> Noise:
    """The increments of one step."""
    return Noise(*(None if each is None else each[k] for each in noise))


def in_jax(story: Story, steps: int, options: dict[str, Any]) -> Played:
    import jax

    from makertaker.envs.jax_env import JaxMarket, JaxNoise

    with jax_precision():
        env = JaxMarket(story.game, **options)
        _, state = env.reset(jax.random.key(0))
        states, rewards = [state], []
        for k in range(steps):
            price, factor, inventory = at(story.noise, k)
            n = len(story.game.agents)
            noise = JaxNoise(price, *(np.zeros(n) if each is None else each for each in (factor, inventory)))
            state, reward, _ = env.advance(state, at_step(story.controls, k), noise, env.default_params)
            states.append(state)
            rewards.append(np.asarray(reward))
        seen = [env.observe(state) for state in states]
        return [np.concatenate([np.asarray(each[role]) for role in env.roles]) for each in seen], rewards


def in_torch(story: Story, steps: int, options: dict[str, Any]) -> Played:
    import torch

    from makertaker.envs.torchrl_env import TorchMarket

    env = TorchMarket(story.game, 2, dtype=torch.float64, **options)
    price, factor, inventory = story.noise
    order = [each for k in range(steps) for each in at(Noise(inventory, price, factor), k) if each is not None]
    draws = iter(order)
    env._draw = lambda like: torch.as_tensor(next(draws), dtype=like.dtype).expand(like.shape)

    def entries(state: Any, name: str) -> np.ndarray:
        return torch.cat([state[role, name] for role in env.view.names], dim=1)[1].numpy()

    scale = RoleView(story.game, **options).scale
    state = env.reset()
    seen, rewards = [entries(state, "observation")], []
    for k in range(steps):
        rate, ask, bid = scale.actions(at_step(story.controls, k))
        taken = {"trader": rate[:, None], "maker": np.stack([ask, bid], axis=-1)}
        for role in env.view.names:
            state[role, "action"] = torch.as_tensor(taken[role]).expand(2, -1, -1)
        state = env.step(state)["next"]
        seen.append(entries(state, "observation"))
        rewards.append(entries(state, "reward")[:, 0])
    assert next(draws, None) is None
    return seen, rewards


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_seen_is_the_market_by_hand(story: Story, library: str) -> None:
    """Observations are float32, TorchRL's in the precision that is asked for."""
    close = {"rtol": 1e-10, "atol": 1e-10} if library == "torchrl" else {"rtol": 1e-6, "atol": 1e-6}
    for k, seen in enumerate(seen_in(library, story)):
        wanted = np.stack([story.expected(agent, k) for agent in range(len(story.game.agents))])
        assert np.abs(wanted).max() < 10, "nothing is clipped"
        np.testing.assert_allclose(seen, wanted, **close, err_msg=str(k))


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_terminal_penalty_is_charged_as_it_changes_in_the_game_s_units(
    story: Story, library: str, reward: str
) -> None:
    """In currency it is charged when it falls due."""
    game, steps = story.game, len(story.price) - 1
    found = simulate(game, story.controls, steps, story.noise)
    jumps = game.volatility * (game.horizon / steps) ** 0.5 * story.noise.price
    wanted = found.rewards + (reward == "wealth") * found.inventories[1:] * jumps[:, None]
    rewards = played_in(library, story, reward=reward)[1]
    np.testing.assert_allclose(rewards, wanted, rtol=1e-10, atol=1e-10)
    charged = story.terminal * found.inventories[1:] ** 2
    wanted[-1] += charged[-1]
    wanted -= np.diff(charged, axis=0, prepend=0.0)
    units = [game.payoff_unit(agent) for agent in game.agents]
    rewards = played_in(library, story, normalize=None, reward=reward)[1]
    np.testing.assert_allclose(rewards, wanted / units, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("library", LIBRARIES)
def test_observations_are_nested_prefixes(story: Story, library: str) -> None:
    full = seen_in(library, story)
    for kind, width in zip(KINDS, story.widths, strict=True):
        for seen, whole in zip(seen_in(library, story, observation=kind), full, strict=True):
            assert seen.shape == (len(story.game.agents), width)
            np.testing.assert_array_equal(seen, whole[:, :width])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_identity_puts_a_one_hot_behind_it(story: Story, library: str, kind: str) -> None:
    n = len(story.game.agents)
    found = seen_in(library, story, observation=kind, identity=True)
    for seen, plain in zip(found, seen_in(library, story, observation=kind), strict=True):
        np.testing.assert_array_equal(seen[:, :-n], plain)
        np.testing.assert_array_equal(seen[:, -n:], np.eye(n))


def test_spaces_have_room_for_a_one_hot(story: Story) -> None:
    n = len(story.game.agents)
    for kind in KINDS:
        plain, named = (Market(story.game, observation=kind, identity=each).observation_space for each in (False, True))
        np.testing.assert_array_equal(named.low, [*plain.low, *np.zeros(n)])
        np.testing.assert_array_equal(named.high, [*plain.high, *np.ones(n)])


def test_policies_see_what_the_environment_does(story: Story) -> None:
    """A rollout's states have the price, with its martingale part, and the volumes of the step before."""
    game, steps, states = story.game, len(story.price) - 1, []

    def of(agent: int) -> Any:
        def play(k: int, state: Any) -> np.ndarray:
            if agent == 0:
                states.append(state)
            rate, ask, bid = at_step(story.controls, k)
            maker = agent - game.traders
            return rate[[agent]] if maker < 0 else np.array([ask[maker], bid[maker]])

        return play

    rollout(game, {name: of(i) for i, name in enumerate(game.agents)}, steps, story.noise)
    observer = Market(game, steps).observer
    for k, state in enumerate(states):
        wanted = np.stack([story.expected(agent, k) for agent in range(len(game.agents))])
        np.testing.assert_allclose(observer.all(state), wanted, rtol=1e-6, atol=1e-6)


def test_a_rollout_has_the_axes_of_the_price_s_noise_everywhere() -> None:
    """Whether anything else depends on it or not: policies may look at it."""
    game = load_scenario("acas")
    still = {name: (lambda k, state, width=1 if name == "trader_0" else 2: np.ones(width)) for name in game.agents}
    noise = draw_noise(game, 4, 6, seed=0, price=True)
    assert noise.factor is None
    found = rollout(game, still, 4, noise)
    assert found.inventories.shape == (6, 5, 3)
    assert found.payoffs.shape == found.wealth.shape == (6, 3)
    assert found.controls.ask.shape == (6, 4, 2)
    assert found.mid.shape == (6, 5)
    np.testing.assert_allclose(np.diff(found.mid), 0.5 * noise.price, rtol=1e-12)
    np.testing.assert_array_equal(found.payoffs, np.tile(found.payoffs[0], (6, 1)))


@pytest.mark.parametrize("normalize", [True, False, None])
def test_payoff_rewards_do_not_depend_on_the_price_s_noise(story: Story, normalize: bool | None) -> None:
    def rewards(scale: float) -> np.ndarray:
        env = GameParallelEnv(story.game, steps=len(story.price) - 1, normalize=normalize)
        rows = iter(range(env.market.steps))
        noise = story.noise._replace(price=scale * story.noise.price)
        env.market.draw = lambda rng: at(noise, next(rows))
        env.reset()
        controls = (at_step(story.controls, k) for k in range(env.market.steps))
        return np.array([list(env.step(env.actions_from(each))[1].values()) for each in controls])

    np.testing.assert_array_equal(rewards(1.0), rewards(-30.0))


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("name", scenario_names())
def test_the_price_is_drawn_whatever_the_reward(name: str, normalize: bool | None, reward: Any) -> None:
    """Price, factor and inventories have the same noise for both rewards, from the same seed."""
    env = GameParallelEnv(load_scenario(name), steps=4, normalize=normalize, reward=reward)
    rng, game = np.random.default_rng(3), env.game
    env.reset(seed=3)
    for actions in draw_actions(env):
        before, factor = env.market.price, env.market.factor
        env.step(actions)
        drifted = 0.0 if env.market.activity.drift is None else env.market.activity.drift * env.market.dt
        jump = game.volatility * env.market.dt**0.5 * rng.standard_normal()
        assert env.market.price == pytest.approx(before + drifted + jump, rel=1e-12)
        if game.factor is not None:
            moved = game.factor.move(env.market.times[env.market.k - 1], factor, env.market.dt, rng.standard_normal(1))
            np.testing.assert_allclose(env.market.factor, moved, rtol=1e-12)
        if game.inventory_noise:
            shaken = game.inventory_noise * env.market.dt**0.5 * rng.standard_normal(len(game.agents))
            np.testing.assert_allclose(env.market.shock, shaken, rtol=1e-12)


def played(env: GameParallelEnv, size: float, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Everybody's observations in an episode of random actions."""
    rng = np.random.default_rng(seed)
    yield env.reset(seed=seed)[0]
    while env.agents:
        shapes = {agent: env.action_space(agent).shape for agent in env.agents}
        yield env.step({agent: size * rng.standard_normal(shape) for agent, shape in shapes.items()})[0]


@drawn(60)
@given(
    name=st.sampled_from(scenario_names()),
    kind=st.sampled_from(KINDS),
    normalize=st.sampled_from([True, False, None]),
    identity=st.booleans(),
    size=st.sampled_from([1.0, 3.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_observations_stay_in_their_spaces(
    name: str, kind: Any, normalize: bool | None, identity: bool, size: float, seed: int
) -> None:
    """Actions of the range, or beyond; physical ones are held by the game's constraints alone, which are far away."""
    env = GameParallelEnv(load_scenario(name), steps=4, observation=kind, normalize=normalize, identity=identity)
    for observations in played(env, 1.0 if normalize is False else size, seed):
        for agent, seen in observations.items():
            assert env.observation_space(agent).contains(seen)


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("name", scenario_names())
def test_the_state_stays_in_its_space(name: str, identity: bool) -> None:
    env = GameParallelEnv(load_scenario(name), steps=4, identity=identity)
    for seed, size in enumerate((1.0, 3.0, 1e3)):
        for _ in played(env, size, seed):
            assert env.state_space.contains(env.state())
