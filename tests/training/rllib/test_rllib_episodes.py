"""RLlib: episodes of the batched runner are those of the market, and what is learned from is made of them."""

import numpy as np
import pytest

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.columns import Columns  # noqa: E402
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # noqa: E402
from ray.rllib.evaluation.postprocessing import Postprocessing  # noqa: E402
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets  # noqa: E402

from makertaker.envs import Controls, acas_v0, load_scenario, simulate  # noqa: E402
from makertaker.envs.market import Market  # noqa: E402
from makertaker.training.rllib.config import ppo_config  # noqa: E402
from makertaker.training.rllib.connector import WholeEpisodes  # noqa: E402
from makertaker.training.rllib.runner import MarketRunner, share  # noqa: E402
from support.learning import EPISODE, GAME, MARKETS, STEPS  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")


@pytest.mark.parametrize("name", ["acas", "maker-taker-3x3", "execution-2"])
def test_episodes_are_the_market_that_the_simulator_plays(name):
    game = load_scenario(name)
    runner = MarketRunner(config=ppo_config(game, steps=STEPS, markets=MARKETS), worker_index=0)
    episodes = runner.sample()
    assert len(episodes) == MARKETS
    market = Market(game, STEPS, batch=(MARKETS,))
    flat = []
    for agent in game.agents:
        actions = np.stack([each.agent_episodes[agent].get_actions() for each in episodes])
        flat.append(actions)
    each = [market.controls(np.concatenate([part[:, k] for part in flat], axis=-1)) for k in range(STEPS)]
    controls = Controls(*(np.stack(parts, axis=1) for parts in zip(*each, strict=True)))
    payoffs = simulate(game, controls, STEPS).payoffs
    for i, agent in enumerate(game.agents):
        returns = [each.agent_episodes[agent].get_return() for each in episodes]
        np.testing.assert_allclose(returns, payoffs[:, i] / game.payoff_unit(agent), rtol=1e-5, atol=1e-5)
    assert all(each.is_terminated and len(each) == STEPS for each in episodes)
    first, second = (runner.sample(explore=False)[0].agent_episodes[game.agents[0]] for _ in range(2))
    np.testing.assert_array_equal(first.get_actions(), second.get_actions())
    assert runner.get_metrics()["num_env_steps_sampled"].peek() == 3 * EPISODE


def test_stored_densities_are_those_of_the_stored_actions():
    config = ppo_config(GAME, steps=STEPS, markets=MARKETS)
    runner = MarketRunner(config=config, worker_index=0)
    for episode in runner.sample():
        for agent, each in episode.agent_episodes.items():
            logits = torch.as_tensor(each.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS))
            seen = torch.as_tensor(each.get_observations()[:-1])
            means = runner.module[agent].actor(seen)
            torch.testing.assert_close(logits[:, : means.shape[1]], means)
            kind = runner.module[agent].get_train_action_dist_cls()
            density = kind.from_logits(logits).logp(torch.as_tensor(each.get_actions()))
            stored = each.get_extra_model_outputs(Columns.ACTION_LOGP)
            np.testing.assert_allclose(density.numpy(), stored, rtol=1e-5)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 1.0), (0.97, 0.9)])
def test_advantages_are_those_of_rllib(gamma, gae_lambda):
    """RLlib's own function, with the extra step that it expects at the end of every episode."""
    runner = MarketRunner(config=ppo_config(GAME, steps=STEPS, markets=MARKETS), worker_index=0)
    episodes = runner.sample()
    rewards = np.stack([each.agent_episodes["maker_0"].get_rewards() for each in episodes])
    batch = WholeEpisodes(gamma=gamma, gae_lambda=gae_lambda)(
        rl_module=runner.module, batch={}, episodes=episodes, shared_data={}
    )["maker_0"]
    with torch.no_grad():
        values = runner.module["maker_0"].compute_values({Columns.OBS: batch[Columns.OBS]}).numpy()
    values = values.reshape(MARKETS, STEPS)
    ended = np.zeros((MARKETS, STEPS + 1), dtype=bool)
    ended[:, STEPS - 1] = True
    pad = lambda each: np.concatenate([each, np.zeros((MARKETS, 1))], axis=1).ravel()  # noqa: E731
    targets = compute_value_targets(
        values=pad(values),
        rewards=pad(rewards),
        terminateds=ended.ravel(),
        truncateds=np.zeros(ended.size, dtype=bool),
        gamma=gamma,
        lambda_=gae_lambda,
    ).reshape(MARKETS, STEPS + 1)[:, :STEPS]
    np.testing.assert_allclose(batch[Postprocessing.VALUE_TARGETS].numpy().reshape(MARKETS, STEPS), targets, rtol=1e-4)
    advantages = targets - values
    expected = (advantages - advantages.mean()) / advantages.std()
    np.testing.assert_allclose(
        batch[Postprocessing.ADVANTAGES].numpy().reshape(MARKETS, STEPS), expected, rtol=1e-3, atol=1e-4
    )


def test_shares_of_runners_add_up():
    assert [share(64, i, 5) for i in range(5)] == [13, 13, 13, 13, 12]
    assert share(64, 0, 0) == 64


def test_rllibs_own_runner_trains_on_the_pettingzoo_environment():
    """No code of ours but the environment: RLlib's wrapper, its networks, its runner."""
    from ray.tune.registry import register_env

    register_env("acas", lambda _: ParallelPettingZooEnv(acas_v0.parallel_env(steps=STEPS)))
    config = (
        PPOConfig()
        .environment("acas")
        .multi_agent(policies=set(GAME.agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .env_runners(num_env_runners=0)
        .training(train_batch_size_per_learner=40, minibatch_size=20, num_epochs=1)
    )
    algorithm = config.build_algo()
    result = algorithm.train()
    algorithm.stop()
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 40
    assert set(result["learners"]) >= set(GAME.agents)
