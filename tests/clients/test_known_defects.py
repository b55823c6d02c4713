"""Defects of other people's libraries that their page names. A test that fails tells that one is repaired."""

import importlib
import sys

import numpy as np
import pytest

from makertaker.envs import acas_v0

pytestmark = pytest.mark.clients


def padded(supersuit, **options):
    return supersuit.pad_action_space_v0(acas_v0.parallel_env(observation="time", **options))


def test_supersuits_vector_environment_takes_no_seed_of_stable_baselines3():
    supersuit = pytest.importorskip("supersuit")
    ppo = pytest.importorskip("stable_baselines3").PPO
    env = supersuit.pettingzoo_env_to_vec_env_v1(padded(supersuit))
    env = supersuit.concat_vec_envs_v1(env, 1, base_class="stable_baselines3")
    with pytest.raises(AttributeError, match="seed"):
        ppo("MlpPolicy", env, seed=0, device="cpu")


def test_supersuits_black_death_never_ends():
    """It waits for agents that are both terminated and truncated."""
    supersuit = pytest.importorskip("supersuit")
    env = supersuit.black_death_v3(acas_v0.parallel_env())
    env.reset(seed=0)
    for _ in range(env.unwrapped.options.steps):
        _, _, terminations, _, _ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert not env.unwrapped.agents
    assert env.agents
    assert not any(terminations.values())


@pytest.mark.parametrize(("pad", "independent"), [(False, False), (True, False), (False, True), (True, True)])
def test_agilerls_ippo_pairs_actions_with_their_probabilities_only_of_agents_alone_with_two_actions(pad, independent):
    """Before the first update new and old probabilities are the same, wherever actions are those that were taken."""
    ippo = pytest.importorskip("agilerl.algorithms.ippo")
    supersuit = pytest.importorskip("supersuit")
    from agilerl.networks.actors import StochasticActor
    from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy

    class Alone(ippo.IPPO):
        def get_group_id(self, agent_id):
            return agent_id

    env = acas_v0.parallel_env(observation="time", identity=True)
    env = supersuit.pad_action_space_v0(env) if pad else env
    spaces = [[space(agent) for agent in env.possible_agents] for space in (env.observation_space, env.action_space)]
    learner = (Alone if independent else ippo.IPPO)(*spaces, agent_ids=env.possible_agents, learn_step=200)
    drawn, apart = [], {}
    sampled, probability = ippo.get_experiences_samples, StochasticActor.action_log_prob

    def watched(indices, *experiences):
        drawn.append(sampled(indices, *experiences))
        return drawn[-1]

    def compared(actor, actions):
        found = probability(actor, actions)
        name = next(name for name, each in learner.actors.items() if each is actor)
        apart.setdefault(name, (found - drawn[-1][2].squeeze()).abs().max().item())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ippo, "get_experiences_samples", watched)
        patch.setattr(StochasticActor, "action_log_prob", compared)
        options = {"max_steps": 200, "evo_steps": 200, "eval_steps": 20, "sum_scores": False, "verbose": False}
        train_multi_agent_on_policy(env, "acas", "IPPO", [learner], **options)
    trader, makers = (max(each for name, each in apart.items() if name.startswith(role)) for role in ("tr", "ma"))
    assert (trader < 1e-3) == pad, "one action entry is lost with padding only"
    assert (makers < 1e-3) == independent, "agents of a group are mixed up in time"


def test_agilerls_ippo_is_not_told_that_an_episode_has_ended():
    ippo = pytest.importorskip("agilerl.algorithms").IPPO
    supersuit = pytest.importorskip("supersuit")
    from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy

    env = padded(supersuit, identity=True)
    spaces = [[space(agent) for agent in env.possible_agents] for space in (env.observation_space, env.action_space)]
    learner, given = ippo(*spaces, agent_ids=env.possible_agents, learn_step=200), []
    learner.learn = given.append
    options = {"max_steps": 200, "evo_steps": 200, "eval_steps": 20, "sum_scores": False, "verbose": False}
    train_multi_agent_on_policy(env, "acas", "IPPO", [learner], **options)
    states, _, _, _, ended, *_ = given[0]
    assert sum(np.ravel(each)[0] == 0 for each in states["maker_0"]) == 10, "ten episodes begin"
    assert not np.any(ended["maker_0"])


def test_agilerls_ippo_loses_the_axis_of_observations_of_one_entry():
    ippo = pytest.importorskip("agilerl.algorithms").IPPO
    from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy

    env = acas_v0.parallel_env(observation="time")
    learner = ippo(env.observation_spaces, env.action_spaces, agent_ids=env.possible_agents, learn_step=200)
    options = {"max_steps": 200, "evo_steps": 200, "eval_steps": 20, "sum_scores": False, "verbose": False}
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train_multi_agent_on_policy(env, "acas", "IPPO", [learner], **options)


def test_agilerl_takes_a_standard_deviation_for_its_logarithm():
    ippo = pytest.importorskip("agilerl.algorithms").IPPO
    env = acas_v0.parallel_env()
    learner = ippo(env.observation_spaces, env.action_spaces, agent_ids=env.possible_agents, action_std_init=0.6)
    assert learner.actors["maker"].head_net.log_std.detach().numpy() == pytest.approx(0.6)


def test_skrls_defaults_are_those_of_no_agent():
    """Of the configuration: it asks for an entry of every agent where its own defaults have none."""
    configuration = pytest.importorskip("skrl.multi_agents.torch.ippo").IPPO_CFG()
    with pytest.raises(ValueError, match="do not match possible agents"):
        configuration.expand(possible_agents=["trader_0", "maker_0"])


def test_tianshou_pays_the_last_agent_of_a_step_only():
    """What an agent of a parallel game earns stands beside the action of the last one, not beside its own."""
    wrap = pytest.importorskip("tianshou.env").PettingZooEnv
    supersuit = pytest.importorskip("supersuit")
    env = wrap(supersuit.pad_action_space_v0(acas_v0.env(observation="time")))
    seen, _ = env.reset(seed=0)
    earned = dict.fromkeys(env.agents, 0.0)
    for _ in range(30):
        agent = seen["agent_id"]
        seen, rewards, *_ = env.step(np.zeros(2, dtype=np.float32))
        earned[agent] += abs(rewards[env.agent_idx[agent]])
    assert earned["trader_0"] == earned["maker_0"] == 0 < earned["maker_1"]


def test_tianshou_collects_no_continuous_actions_of_many_agents():
    """Batches that actions are asked for have no next observation, which it looks for where there is no mask."""
    tianshou = pytest.importorskip("tianshou.env")
    supersuit = pytest.importorskip("supersuit")
    from tianshou.algorithm.algorithm_base import RandomActionPolicy
    from tianshou.algorithm.multiagent.marl import MultiAgentPolicy
    from tianshou.data import Collector, VectorReplayBuffer

    def make():
        return tianshou.PettingZooEnv(supersuit.pad_action_space_v0(acas_v0.env(observation="time")))

    env = make()
    policy = MultiAgentPolicy({agent: RandomActionPolicy(action_space=env.action_space) for agent in env.agents})
    collector = Collector(policy, tianshou.DummyVectorEnv([make]), VectorReplayBuffer(100, 1))
    with pytest.raises(AttributeError, match="obs_next"):
        collector.collect(n_step=30, reset_before_collect=True)


def test_wandb_draws_figures_only_after_somebody_imported_pyplot(monkeypatch):
    wandb = pytest.importorskip("wandb")
    matplotlib = pytest.importorskip("matplotlib")
    figure = importlib.import_module("matplotlib.figure").Figure()
    for name in [each for each in sys.modules if each == "matplotlib.pyplot"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    with pytest.raises(AttributeError, match="pyplot"):
        wandb.Image(figure)
