"""RLlib's configuration of independent PPO in a batch of markets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.policy import PolicySpec

from ...envs import Options, Policy
from ...envs.described import Described
from ...envs.options import STEPS, Fields
from ...envs.parameters import check_count
from ..common.hyperparameters import PPO, PPOSettings
from ..common.information import Information, visible
from ..common.learners import learned_market, learning
from .algorithm import PatientPPO
from .learner import ShrinkingPPOLearner
from .module import PrefixPPOModule
from .runner import MarketRunner, MarketSettings, module_spaces


class Arguments(Fields, total=False):
    """Keywords of :func:`ppo_config`."""

    algorithm: PPOSettings
    timesteps: int
    fixed: Mapping[str, Policy] | None
    information: Information
    markets: int | None
    seed: int
    runners: int


def ppo_config(
    game: Described,
    options: Options | None = None,
    *,
    algorithm: PPOSettings = PPO,
    timesteps: int = 160_000,
    fixed: Mapping[str, Policy] | None = None,
    information: Information = "time",
    markets: int | None = None,
    seed: int = 0,
    runners: int = 0,
    **fields: Unpack[Fields],
) -> PPOConfig:
    """One PPO policy for each agent, all learning at once, on RLlib's new API stack.

    An iteration plays one episode of every market. The configuration adds to RLlib's a batched environment runner,
    networks whose actors have the given information, and schedules over ``timesteps``. It can be changed like any
    other before ``build_algo()``; ``lr`` has to stay a number, since exploration and learning rate have schedules of
    their own (``learner_config_dict``, see :class:`.learner.ShrinkingPPOLearner`).

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        options: of the markets; by default 20 steps an episode.
        algorithm: the hyperparameters, the same for all agents.
        timesteps: joint market steps of the whole training, to which schedules refer.
        fixed: policies of the agents that do not learn.
        information: of the actors; critics see everything.
        markets: number of markets played at once, by all runners together; by default the algorithm's.
        seed: the result is a function of it and of the other arguments.
        runners: number of processes that play; 0: the one that learns.
        fields: of :class:`~makertaker.envs.Options`, such as ``steps``.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> from makertaker.training.rllib import ppo_config
        >>> config = ppo_config("acas", markets=4, runners=2)
        >>> config.num_env_runners, sorted(config.policies)
        (2, ['maker_0', 'maker_1', 'trader_0'])
    """
    fixed = dict(fixed or {})
    game, options, _, random = learned_market(game, options, fields, fixed)
    if not isinstance(algorithm, PPOSettings):
        raise ValueError(f"algorithm: expected PPOSettings, got {algorithm!r}")
    markets = algorithm.markets if markets is None else markets
    check_count("timesteps", timesteps)
    check_count("markets", markets)
    if not set(fixed) < set(game.agents):
        raise ValueError(f"fixed: expected policies of some, not all, of {list(game.agents)}, got {sorted(fixed)}")
    check_count("runners", runners, least=0)
    if runners > markets:
        raise ValueError(f"runners: expected a whole number from 0 to the number of markets {markets}, got {runners}")
    check_count("seed", seed, least=0)
    if seed >= 2**32 - runners:
        raise ValueError(f"seed: expected a whole number from 0 to 2**32 - 1, got {seed}")
    rollout, least = markets * (options.steps or STEPS), 2 * algorithm.minibatches
    if rollout < least:
        raise ValueError(f"markets: PPO needs at least {least} steps in all markets of an episode, got {rollout}")
    agents = learning(game, fixed)
    settings = MarketSettings(
        game=game, options=options, random=random, markets=markets, learners=agents, fixed=fixed, seed=seed
    )
    network = {
        "visible": visible(game, information, 0 if random is None else random.width),
        "hidden": list(algorithm.net_arch),
        "exploration": algorithm.exploration[0],
    }
    specs = {
        agent: RLModuleSpec(
            module_class=PrefixPPOModule, observation_space=observed, action_space=acted, model_config=network
        )
        for agent, (observed, acted) in module_spaces(settings).items()
    }
    return (
        PPOConfig(algo_class=PatientPPO)
        .environment("makertaker", env_config=settings, disable_env_checking=True)
        # not a set: its order, and with it that of the networks' initial weights, would change from process to process
        .multi_agent(policies={agent: PolicySpec() for agent in agents}, policy_mapping_fn=_module_of)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .env_runners(env_runner_cls=MarketRunner, num_env_runners=runners, batch_mode="complete_episodes")
        .learners(
            num_learners=0,
            learner_class=ShrinkingPPOLearner,
            add_default_connectors_to_learner_pipeline=False,
            learner_config_dict={
                "timesteps": timesteps,
                "learning_rate_falls_to": algorithm.learning_rate[1] / algorithm.learning_rate[0],
                "exploration": algorithm.exploration,
            },
        )
        .training(
            lr=algorithm.learning_rate[0],
            gamma=algorithm.gamma,
            lambda_=algorithm.gae_lambda,
            train_batch_size_per_learner=rollout,
            minibatch_size=rollout // algorithm.minibatches,
            num_epochs=algorithm.n_epochs,
            clip_param=algorithm.clip_range,
            vf_loss_coeff=algorithm.vf_coef,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=algorithm.max_grad_norm,
            grad_clip_by="global_norm",
        )
        .fault_tolerance(restart_failed_env_runners=True, env_runner_health_probe_timeout_s=5.0)
        .reporting(min_time_s_per_iteration=0)
        .debugging(seed=seed, log_level="ERROR")
    )


def _module_of(agent: str, *_: object, **__: object) -> str:
    """Every agent has a module of its own name."""
    return agent
