"""The algorithms in JAX beside PPO."""

import os
import subprocess
import sys

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")

from makertaker.baselines import exploitability, solve  # noqa: E402
from makertaker.envs import read_scenario, rollout  # noqa: E402
from makertaker.training import runs  # noqa: E402
from makertaker.training.common.jax_algorithms import ALGORITHMS, NPGSettings  # noqa: E402
from makertaker.training.jax.learners import JaxLearners  # noqa: E402
from support.arrays import jax_precision  # noqa: E402

STEPS, MARKETS = 5, 8
EPISODE = STEPS * MARKETS


def learners(algorithm, game="acas", widths=(8,), **changes):
    settings = ALGORITHMS[algorithm].changed({"net_arch": list(widths)}, algorithm)
    return JaxLearners(game, algorithm=settings, **{"steps": STEPS, "markets": MARKETS, "seed": 3} | changes)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "ppo"])
def test_learning_finds_the_equilibrium(name):
    """From tens of percent: everyone within one percent of what best responses could gain."""
    game, found = read_scenario("acas").game, []
    trained = learners(name, widths=(16, 16), markets=16)
    for steps in (None, 32_000):
        if steps:
            trained.learn(steps)
        controls = rollout(game, trained.policies(), STEPS).controls
        found.append(exploitability(game, controls, STEPS).relative)
    assert found[1] < 0.01 < 0.2 < found[0], found


@pytest.mark.parametrize("information", ["time", "full"])
def test_natural_steps_solve_the_fisher_informations_equations(information):
    """Against matrices: every sample's Jacobian by differences in double precision, one agent at a time."""
    trained = learners("npg", information=information)
    trainer, actor, deviation = trained.trainer, trained.state.networks.actor, 0.7
    samples = jax.jit(trainer.rollouts.samples)(trained.state.networks, jax.random.key(5), deviation)
    ways = jax.jit(trainer.updates.natural)(actor, samples, deviation)
    seen = np.asarray(samples.observations, dtype=float)[..., : trainer.actors.visible]
    for i, size in enumerate(trainer.markets.sizes):
        layers = [[np.asarray(each[i], dtype=float) for each in layer] for layer in actor]
        shapes = [each.shape for layer in layers for each in layer]
        start = np.concatenate([each.ravel() for layer in layers for each in layer])

        def mean(numbers, shapes=shapes, i=i, size=size):
            parts = np.split(numbers, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
            first, bias, last, end = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
            return (np.tanh(seen[i] @ first + bias) @ last + end)[:, :size]

        units = 1e-6 * np.eye(len(start))
        jacobian = np.stack([(mean(start + unit) - mean(start - unit)) / 2e-6 for unit in units], axis=-1)
        advantages = np.asarray(samples.advantages[i], dtype=float)
        advantages = (advantages - advantages.mean()) / advantages.std(ddof=1)
        noise = np.asarray(samples.noise[i], dtype=float)[:, :size]
        gradient = np.einsum("s,sm,smp->p", advantages, noise, jacobian) / len(seen[i]) / deviation
        fisher = np.einsum("smp,smq->pq", jacobian, jacobian) / len(seen[i]) / deviation**2
        damping = ALGORITHMS["npg"].damping / deviation**2
        expected = np.linalg.solve(fisher + damping * np.eye(len(start)), gradient)
        found = np.concatenate([np.asarray(each[i]).ravel() for layer in ways for each in layer])
        np.testing.assert_allclose(found, expected, atol=2e-3 * abs(expected).max())


def test_agents_of_a_role_share_their_critic_which_sees_who_asks():
    trained = learners("mappo", "maker-taker-3x3")
    trained.learn(3 * EPISODE)
    for weight, bias in trained.state.networks.critic:
        for each in (weight, bias):
            for role in (each[:3], each[3:]):
                np.testing.assert_array_equal(role, np.broadcast_to(role[:1], role.shape))
    first = trained.state.networks.critic[0].weight
    assert (first[0] != first[3]).any()  # roles have their own
    assert first.shape[1] == trained.trainer.markets.env.observation_size + 6
    assert (first[0, -6:] != 0).any()
    actors = trained.state.networks.actor[0].weight
    assert (actors[0] != actors[1]).any()


def test_critics_of_a_role_learn_from_all_its_agents():
    """The shared gradient is the mean of those that each would have alone."""
    trained = learners("mappo")
    trainer, state = trained.trainer, trained.state
    samples = jax.jit(trainer.rollouts.samples)(state.networks, jax.random.key(5), 0.7)
    batch = jax.numpy.arange(EPISODE // 2)
    shared = jax.jit(trainer.updates.gradients)(state.networks, samples, batch, 0.7).critic
    trainer.updates.rule = trainer.rule._replace(shared=False)
    alone = jax.jit(trainer.updates.gradients)(state.networks, samples, batch, 0.7).critic
    for both, each in zip(jax.tree.leaves(shared), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(both[0], each[0], rtol=1e-5, atol=1e-7)
        for maker in (1, 2):
            np.testing.assert_allclose(both[maker], (each[1] + each[2]) / 2, rtol=1e-4, atol=1e-6)


def test_a_magnet_follows_at_its_rate_and_belongs_to_a_checkpoint(tmp_path):
    trained, resumed = learners("magnet"), learners("magnet", seed=4)
    before = trained.state.networks.actor
    trained.learn(4 * EPISODE, until=EPISODE)
    for old, magnet, new in zip(
        *(jax.tree.leaves(each) for each in (before, trained.state.magnet, trained.state.networks.actor)), strict=True
    ):
        np.testing.assert_allclose(magnet, (old + new) / 2, atol=1e-7)
    trained.save_checkpoint(tmp_path / "checkpoint")
    resumed.load_checkpoint(tmp_path / "checkpoint")
    for each in (trained, resumed):
        each.learn(4 * EPISODE)
    for mine, theirs in zip(jax.tree.leaves(trained.state), jax.tree.leaves(resumed.state), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_strong_magnet_holds_actors_where_they_began():
    free, held = learners("ppo"), learners("magnet")
    held.trainer.updates.rule = held.trainer.rule._replace(magnet=1e3, magnet_rate=0.0)
    held.trainer.rule = held.trainer.updates.rule
    moved = []
    for each in (free, held):
        before = each.trainer.schedules(each.state.networks.actor)
        each.learn(10 * EPISODE)
        moved.append(float(abs(each.trainer.schedules(each.state.networks.actor) - before).max()))
    assert moved[1] < 0.2 * moved[0], moved


def test_reinforce_has_no_critic_and_weighs_actions_against_other_markets():
    trained = learners("reinforce")
    assert trained.state.networks.critic == ()
    samples = jax.jit(trained.trainer.rollouts.samples)(trained.state.networks, jax.random.key(0), 0.5)
    np.testing.assert_allclose(samples.advantages.reshape(3, STEPS, MARKETS).mean(axis=-1), 0.0, atol=1e-5)


def test_learners_who_remember_take_whole_episodes_into_minibatches():
    trained = learners("ppo", information="own", memory="gru")
    updates = trained.trainer.updates
    batches = np.asarray(updates._batches(jax.random.key(0)))
    assert batches.shape == (10, STEPS * MARKETS // 2)
    for each in batches:
        markets = each.reshape(STEPS, -1) - MARKETS * np.arange(STEPS)[:, None]
        assert (markets == markets[0]).all()
    for first, second in batches.reshape(5, 2, -1):  # a pass has every sample once
        assert sorted([*first, *second]) == list(range(EPISODE))
    before = trained.state.networks.actor
    trained.learn(2 * EPISODE)
    for name, mine, theirs in zip(before.gru._fields, before.gru, trained.state.networks.actor.gru, strict=True):
        assert (mine != theirs).any(), name
    with pytest.raises(ValueError, match="markets: the algorithm needs at least 2 markets, got 1"):
        learners("ppo", information="own", memory="gru", markets=1)


@pytest.mark.parametrize(("history", "memory"), [(1, "gru"), (3, "none")])
def test_gradients_of_what_was_seen_are_those_of_what_was_played(history, memory):
    """Means that learners recompute are the means of the episode: ratios are 1 before anything has moved."""
    trained = learners("ppo", "execution-signal", information="own", history=history, memory=memory)
    trainer, actor = trained.trainer, trained.state.networks.actor
    episode, _ = jax.jit(trainer.rollouts.play)(actor, jax.random.key(1), 0.5)
    samples = jax.jit(trainer.rollouts.samples)(trained.state.networks, jax.random.key(1), 0.5)
    means = jax.vmap(trainer.actors.means)(actor, samples.seen)
    expected = np.moveaxis(np.asarray(episode.means), 2, 0).reshape(means.shape)
    np.testing.assert_allclose(means, expected, atol=1e-5)
    assert expected.std() > 0
    np.testing.assert_allclose(samples.actions, means + 0.5 * samples.noise, atol=1e-5)


def test_algorithms_are_found_by_their_names_and_one_is_everybodys():
    given = read_scenario("acas")
    config = runs.RunConfig.of(given, "npg", STEPS, "jax", hyperparameters={"npg": {"natural_step": 0.5}})
    assert config.settings()["maker_0"] == NPGSettings(natural_step=(0.5, 0.5))
    with pytest.raises(ValueError, match=r"natural_step: expected a number > 0"):
        runs.RunConfig.of(given, "npg", STEPS, "jax", hyperparameters={"npg": {"natural_step": 0}})
    with pytest.raises(ValueError, match=r"expected one for all, got \['npg', 'ppo'\]"):
        runs.RunConfig.of(given, "trader_0=npg", STEPS, "jax")


@pytest.mark.parametrize("name", ["acas", "execution-2", "makers-only", "almgren-chriss-2"])
def test_scores_in_compiled_programs_are_those_of_exploitability(name):
    from makertaker.envs.game import Controls
    from makertaker.training.jax.scores import scorer

    scenario = read_scenario(name)
    nash, rng = solve(name, STEPS), np.random.default_rng(0)
    profiles = [nash.controls, *(Controls(*(x * rng.uniform(0.8, 1.2) for x in nash.controls)) for _ in range(3))]
    if scenario.game.must_close:  # schedules have to end at no shares
        profiles = [nash.controls, solve(read_scenario(name, ["running_penalty=0.01"]).game, STEPS).controls]
    with jax_precision(double=True):
        score = scorer(name, STEPS)

        def step(total, controls):
            return total + 1, score(controls)

        stacked = Controls(*(jax.numpy.stack(each) for each in zip(*profiles, strict=True)))
        _, in_a_loop = jax.jit(lambda given: jax.lax.scan(step, 0, given))(stacked)
        together = jax.jit(jax.vmap(score))(stacked)
        expected = [exploitability(scenario.game, each, STEPS) for each in profiles]
        for found in (in_a_loop, together):
            np.testing.assert_allclose(found.gains, [each.gains for each in expected], atol=1e-9)
            np.testing.assert_allclose(found.relative, [each.relative for each in expected], atol=1e-9)
            np.testing.assert_allclose(found.nash_conv, [each.nash_conv for each in expected], atol=1e-9)
        assert abs(together.relative[0]) < 1e-9 < 1e-6 < together.relative[1]
    with pytest.raises(ValueError, match=r"controls: expected schedules of shapes \(\(4, "):
        scorer(name, 4)(nash.controls)
    with pytest.raises(ValueError, match="game: expected one without noise and factor"):
        scorer("approximation")


ON_DEVICES = """
import jax
from makertaker.training.common.jax_algorithms import find
from makertaker.training.jax import learners
from makertaker.training.jax.learners import JaxLearners
settings = find("reinforce").changed({"net_arch": [8]}, "reinforce")
first = JaxLearners("execution-2", algorithm=settings, steps=5, markets=8, seed=3)
second = first.with_seed(3)
for each in (first, second):
    each.learn(120)
assert len({next(iter(each.state.key.devices())) for each in (first, second)}) == 2
mine, theirs = (jax.device_get(each.state.networks.actor) for each in (first, second))
assert all((a == b).all() for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True))
learners.is_accelerator = lambda device: True  # as on two GPUs: an axis of seeds on each
apart = [first.with_seed(seed) for seed in range(4)]
together = [first.with_seed(seed) for seed in range(4)]
for each in apart:
    each.learn(120)
assert together[0].learn_together(together, 120, [120] * 4) == [None] * 4
for one, other in zip(apart, together, strict=True):
    mine, theirs = (jax.tree.leaves(jax.device_get(each.state.networks.actor)) for each in (one, other))
    assert all(abs(a - b).max() < 1e-4 for a, b in zip(mine, theirs, strict=True))
"""


def test_seeds_are_spread_over_devices():
    """Their number is fixed when JAX starts, hence another process; the same seed is the same on both."""
    two = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    flags = os.environ | {"XLA_FLAGS": two, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", ON_DEVICES], env=flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
