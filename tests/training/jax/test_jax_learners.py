"""Independent PPO in JAX: rollouts, gradients, learning, checkpoints."""

from functools import cache as cache_of_programs
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")
torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import exploitability, solve  # noqa: E402
from makertaker.envs import Options, load_scenario, read_scenario, rollout  # noqa: E402
from makertaker.envs.market import Market  # noqa: E402
from makertaker.envs.noise import Noise  # noqa: E402
from makertaker.training.common.jax_algorithms import ALGORITHMS, JAX_PPO  # noqa: E402
from makertaker.training.jax import cache  # noqa: E402
from makertaker.training.jax.learners import JaxLearners  # noqa: E402
from makertaker.training.jax.markets import Markets  # noqa: E402
from support.arrays import jax_precision  # noqa: E402

STEPS, MARKETS = 5, 8
EPISODE = STEPS * MARKETS
SMALL_ALL = {name: each.changed({"net_arch": [8, 8]}, name) for name, each in ALGORITHMS.items()}
SMALL = SMALL_ALL["ppo"]
SCENARIOS = ["acas", "execution-2", "execution-signal", "approximation", "makers-only", "maker-taker-3x3"]


def test_learners_are_of_single_precision_whatever_jax_is_configured_for():
    """In a market that has everything: makers, a factor, random inventories."""

    def trained():
        learners = JaxLearners("approximation", algorithm=SMALL, steps=3, markets=4)
        learners.learn(24)
        return [layer.weight for actor in learners.numbers().values() for layer in actor.layers]

    single = trained()
    with jax_precision(double=True):
        double = trained()
    assert all(map(np.array_equal, single, double))


@cache_of_programs
def _compiled(game, arguments):
    return JaxLearners(game, **{"algorithm": SMALL, "steps": STEPS, "markets": MARKETS, **dict(arguments)})


def learners(game="acas", seed=3, **changes):
    """Fresh ones; those of equal arguments share their compiled programs."""
    return _compiled(game, tuple(changes.items())).with_seed(seed)


def assert_same(first, second):
    first, second = (each._arrays() for each in (first, second))
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def as_numpy(noise, k):
    return Noise(*(None if each is None else np.asarray(each[k], dtype=float) for each in noise))


@pytest.mark.parametrize(
    ("scenario", "spread"), [*((each, 0.0) for each in SCENARIOS), ("acas", 0.7), ("dealers", 0.7)]
)
def test_an_episode_is_what_the_numpy_market_plays(scenario, spread):
    """Observations and rewards of the same actions, noise and starts, in single precision."""
    game = load_scenario(scenario)
    options = Options(steps=STEPS, inventory_spread=spread)
    markets = Markets(game, options, MARKETS, game.agents, {})
    draws = markets.draw(jax.random.key(1))
    means = np.random.default_rng(0).normal(size=(STEPS, len(game.agents), markets.padded)).astype(np.float32)
    episode = jax.jit(markets.play)(draws, 0.4, means)
    market = Market(game, options, batch=(MARKETS,))
    if spread:

        class Fixed:
            standard_normal = staticmethod(lambda shape: np.asarray(draws.start, dtype=float))

        market.reset(Fixed())
        assert (market.inventories.std(axis=0) > 0).all()
    actions = means[:, None] + np.float32(0.4) * np.asarray(draws.actions)
    for k in range(STEPS):
        np.testing.assert_allclose(episode.observations[k], market.observations(), rtol=1e-4, atol=1e-5)
        flat = np.concatenate([actions[k][:, i, :size] for i, size in enumerate(markets.sizes)], axis=-1)
        noise = as_numpy((draws.price, draws.factor, draws.inventory), k)
        rewards = market.advance(market.controls(flat.astype(float)), noise)
        np.testing.assert_allclose(episode.rewards[k], rewards, rtol=1e-4, atol=1e-5)


def test_a_function_of_observations_plays_as_its_schedule_does():
    trainer = learners().trainer
    state = trainer.init(0)
    draws = trainer.markets.draw(jax.random.key(1))
    schedule = trainer.schedules(state.networks.actor)
    first = trainer.markets.play(draws, 0.5, schedule.swapaxes(0, 1))
    actors = trainer.actors
    second = trainer.markets.play(
        draws, 0.5, lambda *now: actors.act(state.networks.actor, *now), actors.start(3, MARKETS)
    )
    assert first.means.shape == (STEPS, 1, 3, 2)
    np.testing.assert_allclose(first.rewards, second.rewards, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.broadcast_to(first.means, second.means.shape), second.means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("algorithm", "information"),
    [("ppo", "time"), ("ppo", "full"), ("magnet", "time"), ("magnet", "full"), ("a2c", "full")],
)
def test_gradients_are_those_of_the_loss_in_torch(algorithm, information):
    """Losses written again after stable-baselines3's ``PPO.train`` and ``A2C.train``, with torch's distributions."""
    own = learners(information=information, algorithm=SMALL_ALL[algorithm])
    trainer, state = own.trainer, own.state
    deviation = 0.6
    samples = jax.jit(trainer.rollouts.samples)(state.networks, jax.random.key(2), deviation)
    moved = jax.tree.map(lambda each: each + 0.05, state.networks)  # so that ratios differ from 1
    batch = np.array([3, 17, 0, 29, 8, 11, 39, 25])
    if algorithm == "a2c":  # takes all samples, before anything has moved
        moved, batch = state.networks, np.arange(EPISODE)
    magnet = state.networks.actor if algorithm == "magnet" else None
    found = jax.jit(trainer.updates.gradients)(moved, samples, jax.numpy.asarray(batch), deviation, magnet)
    for i in range(3):
        size = trainer.markets.sizes[i]
        layers = {
            part: [
                [torch.tensor(np.asarray(each[i]), dtype=torch.float64, requires_grad=True) for each in layer]
                for layer in getattr(moved, part)
            ]
            for part in ("actor", "critic")
        }
        seen, actions, advantages, returns = (
            torch.tensor(np.asarray(each[i, batch]), dtype=torch.float64)
            for each in (samples.observations, samples.actions, samples.advantages, samples.returns)
        )

        def through(network, x):
            for weight, bias in network[:-1]:
                x = torch.tanh(x @ weight + bias)
            return x @ network[-1][0] + network[-1][1]

        old = [
            [torch.tensor(np.asarray(each[i]), dtype=torch.float64) for each in layer] for layer in state.networks[0]
        ]
        inputs, actions = seen[:, : trainer.actors.visible], actions[:, :size]
        now, before = (
            torch.distributions.Normal(through(each, inputs)[:, :size], deviation) for each in (layers["actor"], old)
        )
        ratio = torch.exp((now.log_prob(actions) - before.log_prob(actions)).sum(-1))
        normal = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy = -torch.min(normal * ratio, normal * torch.clamp(ratio, 0.8, 1.2)).mean()
        if algorithm == "a2c":
            policy = -(normal * now.log_prob(actions).sum(-1)).mean()
        if algorithm == "magnet":
            policy = policy + 0.2 * torch.distributions.kl_divergence(now, before).sum(-1).mean()
        value = torch.nn.functional.mse_loss(returns, through(layers["critic"], seen)[:, 0])
        (policy + 0.5 * value).backward()
        for part, network in layers.items():
            for layer, ours in zip(network, getattr(found, part), strict=True):
                for theirs, mine in zip(layer, ours, strict=True):
                    np.testing.assert_allclose(mine[i], theirs.grad.numpy(), rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 1.0), (0.9, 0.8)])
def test_advantages_are_those_of_stable_baselines3(gamma, gae_lambda):
    from gymnasium.spaces import Box
    from stable_baselines3.common.buffers import RolloutBuffer

    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, STEPS, MARKETS)).astype(np.float32)
    buffer = RolloutBuffer(STEPS, Box(-1, 1, (1,)), Box(-1, 1, (1,)), "cpu", gae_lambda, gamma, MARKETS)
    buffer.rewards, buffer.values, buffer.episode_starts = rewards, values, np.zeros((STEPS, MARKETS))
    buffer.compute_returns_and_advantage(torch.ones(MARKETS), np.ones(MARKETS, dtype=bool))
    settings = SMALL.changed({"gamma": gamma, "gae_lambda": gae_lambda}, "ppo")
    own = learners(algorithm=settings).trainer
    np.testing.assert_allclose(own.rollouts.estimates(rewards[None], values[None])[0], buffer.advantages, atol=1e-5)


def test_the_optimiser_is_torchs_adam_behind_its_clipping():
    from makertaker.training.jax.networks import optimiser

    rng = np.random.default_rng(0)
    weights = torch.nn.Parameter(torch.zeros(7))
    theirs, ours = torch.optim.Adam([weights], lr=0.01, eps=1e-5), optimiser(0.5)
    mine, moments = np.zeros(7), ours.init(np.zeros(7, dtype=np.float32))
    for size in (0.01, 1.0, 10.0, 0.1):
        gradient = size * rng.normal(size=7)
        weights.grad = torch.tensor(gradient, dtype=torch.float32)
        torch.nn.utils.clip_grad_norm_([weights], 0.5)
        theirs.step()
        way, moments = ours.update(gradient.astype(np.float32), moments)
        mine = mine + 0.01 * np.asarray(way)
        np.testing.assert_allclose(mine, weights.detach().numpy(), rtol=1e-4, atol=1e-7)


def test_networks_begin_as_stable_baselines3s_do():
    """Orthogonal rows or columns of norms sqrt(2), and 0.01 and 1 in the last layers; biases of 0."""
    state = learners(algorithm=JAX_PPO).state
    gains = {"actor": [2**0.5, 2**0.5, 0.01], "critic": [2**0.5, 2**0.5, 1.0]}
    for part, expected in gains.items():
        for (weight, bias), gain in zip(getattr(state.networks, part), expected, strict=True):
            assert not bias.any()
            for i, each in enumerate(np.asarray(weight, dtype=float)):
                size = np.linalg.svd(each, compute_uv=False)
                size = size[:1] if part == "actor" and i == 0 else size  # the trader's second action fills up
                np.testing.assert_allclose(size, gain, rtol=1e-5)
    assert not state.networks.actor[-1].weight[0, :, 1].any()


@pytest.mark.parametrize("information", ["time", "full"])
def test_a_training_is_deterministic_under_its_seed(information):
    results = []
    for seed in (3, 3, 4):
        trained = learners(information=information, seed=seed)
        trained.learn(3 * EPISODE)
        assert trained.steps_done == 3 * EPISODE
        results.append(trained)
    assert_same(results[0], results[1])
    assert (results[0].state.networks.actor[0].weight != results[2].state.networks.actor[0].weight).any()


@pytest.mark.parametrize(
    ("scenario", "information"),
    [("execution-signal", "time"), ("maker-taker-3x3", "own"), ("approximation", "market"), ("makers-only", "full")],
)
def test_every_kind_of_game_and_information_is_learned_with(scenario, information):
    trained = learners(scenario, information=information)
    before = trained._arrays()
    trained.learn(2 * EPISODE)
    after = trained._arrays()
    for name, value in after.items():
        assert np.isfinite(value).all(), name
        if name.endswith("weight") and name.startswith("networks"):
            assert (value != before[name]).any(), name


@pytest.mark.parametrize(
    "given",
    [
        {"information": "time"},
        {"information": "full"},
        {"information": "own", "history": 3},
        {"information": "market", "memory": "gru"},
        {"information": "time", "memory": "gru", "scenario": "execution-signal"},
    ],
    ids=str,
)
def test_saved_actors_act_as_the_networks_do(given, tmp_path):
    from makertaker.training.common import actor_file

    trained = learners(
        given.get("scenario", "acas"), **{name: each for name, each in given.items() if name != "scenario"}
    )
    trained.learn(3 * EPISODE)
    trained.save_models(tmp_path)
    trainer = trained.trainer
    episode, _ = jax.jit(trainer.rollouts.play)(trained.state.networks.actor, jax.random.key(0), 0.0)
    for i, agent in enumerate(trained.agents):
        actor = actor_file.load(trained.market, agent, tmp_path / f"{agent}.safetensors")
        space, memory = trained.market.action_space(agent), actor.start(MARKETS)
        for k in range(STEPS):
            action, memory = actor.step(np.asarray(episode.observations[k, :, i]), memory)
            expected = np.asarray(episode.means[k, :, i, : trainer.markets.sizes[i]])
            expected = np.broadcast_to(np.clip(expected, space.low, space.high), action.shape)
            np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


def test_it_makes_no_difference_where_a_training_is_cut_into_calls(tmp_path):
    whole, cut, resumed = learners(), learners(), learners(seed=5)
    whole.learn(6 * EPISODE)
    seen = []
    cut.learn(6 * EPISODE, until=2 * EPISODE, on_episode=seen.append)
    assert seen == [EPISODE, 2 * EPISODE]
    cut.save_checkpoint(tmp_path / "checkpoint", {"note": [1, 2.5]})
    assert {each.suffix for each in (tmp_path / "checkpoint").iterdir()} == {".safetensors", ".json"}
    assert resumed.load_checkpoint(tmp_path / "checkpoint") == {"note": [1, 2.5]}
    resumed.learn(6 * EPISODE, on_episode=seen.append)
    assert_same(whole, resumed)


def test_seeds_on_an_axis_of_arrays_are_the_same_trainings_up_to_rounding():
    """Products of batches are added up in another order: to the bit, trainings are equal only in separate calls."""
    trainer = learners().trainer
    states = [trainer.init(seed) for seed in (3, 4)]
    together = trainer.run_seeds(jax.tree.map(lambda *each: jax.numpy.stack(each), *states), 1, 6)
    for i, state in enumerate(states):
        alone = trainer.run(state, 1, 6)
        for mine, theirs in zip(jax.tree.leaves(together.networks), jax.tree.leaves(alone.networks), strict=True):
            np.testing.assert_allclose(mine[i], theirs, atol=1e-5)


def test_programs_are_kept_in_the_users_cache_unless_another_folder_was_chosen(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder().parent == Path("/somewhere/makertaker/jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder().parent == Path.home() / ".cache" / "makertaker" / "jax"
    chosen = jax.config.values["jax_compilation_cache_dir"]
    assert chosen is not None
    cache.use()
    assert jax.config.values["jax_compilation_cache_dir"] == chosen


def test_a_checkpoint_of_other_learners_or_a_damaged_one_is_refused(tmp_path):
    learners().save_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=r"other learners: networks\.actor\.0\.weight: expected"):
        learners(algorithm=JAX_PPO).load_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="corrupt or belongs to other learners"):
        learners().load_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="checkpoint: there is none"):
        learners().load_checkpoint(tmp_path / "nothing")


def test_agents_that_follow_the_equilibrium_are_not_learned():
    given = read_scenario("acas")
    equilibrium = solve(given.game, STEPS)
    policies = equilibrium.open_loop()
    trained = JaxLearners(
        given.game, algorithm=SMALL, steps=STEPS, markets=MARKETS, fixed={"maker_0": policies["maker_0"]}
    )
    assert trained.agents == ["trader_0", "maker_1"]
    trained.learn(2 * EPISODE)
    played = rollout(given.game, trained.policies(), STEPS).controls
    np.testing.assert_array_equal(played.ask[:, 0], equilibrium.controls.ask[:, 0])
    # the market of the compiled program: everybody's best play at the equilibrium's own actions gives its payoffs
    markets = trained.trainer.markets
    actions = markets.env.view.scale.actions(equilibrium.controls)
    means = np.zeros((STEPS, 2, 2), dtype=np.float32)
    means[:, 0, 0] = actions.rate[:, 0]
    means[:, 1] = np.stack([actions.ask[:, 1], actions.bid[:, 1]], axis=-1)
    rewards = np.asarray(markets.play(markets.draw(jax.random.key(0)), 0.0, means).rewards).sum(axis=0)
    units = [given.game.payoff_unit(agent) for agent in trained.agents]
    np.testing.assert_allclose(rewards[0] * units, equilibrium.payoffs[[0, 2]], rtol=1e-4)


def test_what_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match="fixed: maker_0 follows no schedule"):
        JaxLearners("acas", fixed={"maker_0": lambda k, state: np.zeros(2)})
    with pytest.raises(ValueError, match="the algorithm needs at least 4 steps in all markets of an episode, got 3"):
        learners(steps=3, markets=1)


def test_learning_that_diverges_is_said_with_the_agent():
    trained = learners()
    bad = trained.state.networks.critic[0].bias.at[1, 0].set(np.nan)
    critic = (trained.state.networks.critic[0]._replace(bias=bad), *trained.state.networks.critic[1:])
    trained.state = trained.state._replace(networks=trained.state.networks._replace(critic=critic))
    with pytest.raises(FloatingPointError, match="maker_0's network is not finite"):
        trained.learn(EPISODE)


def test_learning_finds_the_equilibrium():
    """A twentieth of the usual training: relative NashConv falls below 5 percent, from hundreds of percent."""
    given = read_scenario("acas")
    trained = JaxLearners(given.game, steps=STEPS, markets=16, algorithm=JAX_PPO.changed({"net_arch": [16, 16]}, "ppo"))
    before, after = [], []
    for found in (before, after):
        controls = rollout(given.game, trained.policies(), STEPS).controls
        found.append(exploitability(given.game, controls, STEPS).relative)
        trained.learn(8_000)
    controls = rollout(given.game, trained.policies(), STEPS).controls
    assert exploitability(given.game, controls, STEPS).relative < 0.05 < before[0]
