"""Random markets: every market of a batch is a game of its own, in NumPy, PyTorch and JAX."""

import numpy as np
import pytest

from makertaker.envs import (
    Controls,
    Noise,
    simulate,
)
from makertaker.envs.market import Market
from makertaker.envs.random_markets import drawable
from support.arrays import jax_precision
from support.random_markets import NAMES, STEPS, markets, unequal


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_different_games_pay_what_each_pays_alone(name):
    """To rounding; noise included."""
    random, count = markets(name), 1000
    market = Market(random.game, STEPS, random, batch=(count,), normalize=True)
    rng = np.random.default_rng(0)
    market.reset(rng)
    games, taken, noises, total = market.games(), [], [], 0.0
    assert set(random.distributions) == {each for each in drawable(random.game) if each in random.distributions}
    for _ in range(STEPS):
        width = random.game.traders + 2 * random.game.makers
        taken.append(market.controls(rng.uniform(-1, 1, (count, width))))
        noises.append(market.draw(rng))
        total = total + market.advance(taken[-1], noises[-1])
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    units = 1.0 + np.abs(total).max()
    for i, game in enumerate(games):
        own = Controls(*(each[i] for each in played))
        noise = None
        if game.inventory_noise:
            noise = Noise(inventory=np.stack([each.inventory[i] for each in noises]))
        expected = simulate(game, own, STEPS, noise)
        np.testing.assert_allclose(total[i], expected.payoffs, rtol=1e-9, atol=1e-12 * units)
        np.testing.assert_allclose(market.inventories[i], expected.inventories[-1], rtol=1e-9, atol=1e-12)
    assert unequal([game.start for game in games])


@pytest.mark.parametrize("name", NAMES)
def test_torch_plays_the_same_games(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from makertaker.envs.torchrl_env import TorchMarket

    random, count = markets(name), 100
    env = TorchMarket(random, count, dtype=torch.float64, seed=0, units="currency", normalize=True)
    env._played, game = None, random.game
    start = env.reset()
    rows = random.drawn(env._drawn.uniform.numpy()).uniform
    games = [random.game_of(random.drawn(each)) for each in rows]
    rng, taken, total = np.random.default_rng(1), [], 0.0
    noise_free = dict.fromkeys(env.group_map)
    for _ in range(STEPS):
        for group in noise_free:
            shape = env.full_action_spec[group, "action"].shape
            start.set((group, "action"), torch.as_tensor(rng.uniform(-1, 1, shape)))
        taken.append([each.numpy() for each in env.controls(start)])
        start = env.step(start)["next"]
        total = total + np.concatenate([start[group, "reward"][..., 0].numpy() for group in noise_free], axis=-1)
        start = start.exclude(*[(group, "reward") for group in noise_free])
    if game.inventory_noise:
        return  # its draws are the generator's own
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    for i, each in enumerate(games):
        own = Controls(*(part[i] for part in played))
        np.testing.assert_allclose(total[i], simulate(each, own, STEPS).payoffs, rtol=1e-9)
    for key, shown in start["drawn"].items():
        np.testing.assert_allclose(shown.numpy(), [random.drawn(each).values[key] for each in rows])
    assert not torch.equal(env.reset()["drawn"][key], shown), "every episode draws anew"


@pytest.mark.parametrize("name", NAMES)
def test_jax_plays_the_same_games(name):
    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket, JaxNoise

    random, count = markets(name), 20
    with jax_precision():
        env = JaxMarket(random, units="currency", normalize=True)
        params = jax.vmap(env.draw_params)(jax.random.split(jax.random.key(0), count))
        _, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), count))
        np.testing.assert_array_equal(state.context, params.context)
        games = [game_of(random, jax.tree.map(lambda each, i=i: each[i], params)) for i in range(count)]
        assert unequal(params.initial)
        rng, taken, total = np.random.default_rng(1), [], 0.0
        n, d = len(random.game.agents), 0
        still = JaxNoise(np.zeros(count), np.zeros((count, d)), np.zeros((count, n)))
        advance, usual = jax.jit(jax.vmap(env.advance, in_axes=(0, 0, 0, None))), env.default_params
        for _ in range(STEPS):
            sizes = {"trader": (random.game.traders, 1), "maker": (random.game.makers, 2)}
            acted = {role: rng.uniform(-1, 1, (count, *sizes[role])) for role in env.roles}
            taken.append(jax.vmap(env.controls)(acted))
            state, reward, _ = advance(state, taken[-1], still, usual)
            total = total + np.asarray(reward)
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    for i, game in enumerate(games):
        own = Controls(*(each[i] for each in played))
        np.testing.assert_allclose(total[i], simulate(game, own, STEPS).payoffs, rtol=1e-9)


def game_of(random, params):
    """The game of a market's context: everything here is uniform in it, or a choice."""
    return random.game_of(random.drawn(np.clip((np.asarray(params.context) + 1) / 2, 0.0, 1 - 1e-12)))


def test_jax_draws_anew_at_every_start_and_says_what():
    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    env = JaxMarket(markets("best quote"), context=True, observation="time")  # in either precision
    key = jax.random.key(0)
    seen, state = env.reset(key)
    first = state.context
    np.testing.assert_allclose(seen["maker"][0, 1:], first, rtol=1e-6)
    still, told = {"trader": np.zeros((2, 1)), "maker": np.zeros((3, 2))}, []
    for k in range(STEPS):
        seen, state, _, done, info = env.step(jax.random.key(k + 1), state, still)
        np.testing.assert_allclose(seen["maker"][0, 1:], state.context if k + 1 == STEPS else first, rtol=1e-6)
        told.append(info["drawn"]["competition.gamma"])
    assert done["__all__"]
    assert len(np.unique(told)) == 1
    assert not np.allclose(state.context, first)
    with pytest.raises(ValueError, match="params: expected in all of an episode, reset included, or nowhere"):
        env.step(key, state, still, env.default_params)
    params = env.draw_params(key)
    _, state = env.reset(key, params)
    for _ in range(STEPS):
        seen, state, _, done, _ = env.step(key, state, still, params)
        np.testing.assert_allclose(seen["maker"][0, 1:], params.context, rtol=1e-6)
    assert done["__all__"]
    with pytest.raises(ValueError, match="draw_params: expected random markets, got a game"):
        JaxMarket("acas").draw_params(key)
